"""A failed build becomes one message: whose image, which file of theirs, the lines that matter, what to do."""

from __future__ import annotations

from pathlib import Path

import build_logs
import pytest
from builders import DEMO, a_desire

from rigstack.engine.build import _new_log, stage
from rigstack.engine.build_failure import build_failure as _failure
from rigstack.engine.build_failure import refused_step
from rigstack.engine.build_progress import PlainProgress, brief
from rigstack.errors import BuildError, HostError
from rigstack.plan.images import ALWAYS_STAGED

LOG = Path("/rig/state/logs/build.log")


def read(text: str) -> tuple[PlainProgress, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    reader = PlainProgress(on_line=lambda image, words: told.append((image, words)))
    for line in text.splitlines():
        reader.read(line)
    return reader, told


@pytest.mark.parametrize(
    ("log", "place", "lines"),
    [
        (
            build_logs.REQUIREMENTS,
            "requirements.txt",
            (
                "Using Python 3.13.5 environment at: /opt/env",
                "  \N{MULTIPLICATION SIGN} No solution found when resolving dependencies:",
                "  ╰─▶ Because nunpy was not found in the package registry and you require",
                "      nunpy, we can conclude that your requirements are unsatisfiable.",
            ),
        ),
        (
            build_logs.APT,
            "apt.txt",
            (
                "Hit:1 http://mirror.example.org/debian trixie InRelease",
                "Reading package lists...",
                "E: Unable to locate package ffmpge",
            ),
        ),
        (
            build_logs.POST_BUILD,
            "postBuild",
            ("+ jupyter labextension list", "/opt/inputs/postBuild: line 3: jupiter: command not found"),
        ),
        (
            build_logs.PYPROJECT,
            "uv.lock",
            ("Resolved 3 packages", "error: The lockfile at `uv.lock` needs to be updated"),
        ),
    ],
)
def test_a_mistake_in_a_project_s_file(log: str, place: str, lines: tuple[str, ...]) -> None:
    error = _failure(read(log)[0], LOG)
    assert isinstance(error, BuildError)
    assert error.exit_code == 7
    assert error.what == f"the image of demo could not be built: {place}; what ran before still runs"
    assert error.details == (*lines, f"the whole log: {LOG}")
    assert error.remedy == f"mend {place} of demo, then run `rigstack up` again"


@pytest.mark.parametrize(
    "log",
    [
        build_logs.FULL_ENGINE,
        build_logs.said_in_a_step("error: failed to write `/opt/env/x.so`: No space left on device (os error 28)"),
        build_logs.said_in_a_step("OSError: [Errno 28] No space left on device: '/opt/env/x'"),
        build_logs.said_in_a_step("E: You don't have enough free space in /var/cache/apt/archives/."),
    ],
)
def test_a_full_disk(log: str) -> None:
    error = _failure(read(log)[0], LOG)
    assert isinstance(error, HostError)
    assert error.what == "the disk is full: an image could not be built; what ran before still runs"
    assert "docker system df" in error.remedy
    assert error.details[-1] == f"the whole log: {LOG}"


@pytest.mark.parametrize(
    "said",
    [
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))",
        "  Caused by: invalid peer certificate: UnknownIssuer",
        "  Certificate verification failed: The certificate is NOT trusted.",
        "fatal: unable to access 'https://host/x.git/': server certificate verification failed.",
        "curl: (60) SSL certificate problem: unable to get local issuer certificate",
    ],
)
def test_a_network_that_looks_into_tls(said: str) -> None:
    error = _failure(read(build_logs.said_in_a_step(said))[0], LOG)
    assert "looks into TLS" in error.cause
    assert "[images] ca_bundle" in error.remedy


def test_rigstack_s_own_image_names_that_image_and_no_project() -> None:
    error = _failure(read(build_logs.GATEWAY)[0], LOG)
    assert error.what == "the image of gateway could not be built; what ran before still runs"
    assert error.details[-2].endswith("Temporary failure resolving")
    assert "Using Python" not in "".join(error.details)
    assert "project" not in error.remedy


RECIPES = {
    "base": "FROM x\nRUN --mount=type=cache,id=y \\\n    # why\n    apt-install a \\\n    b\n",
    "own-demo": "FROM y\nRUN make\n",
    "base-demo": "FROM x\nRUN --mount=type=cache,id=y \\\n    apt-install a \\\n    b\n",
    "project-demo": "FROM z\nRUN install-packages /opt/inputs/apt.txt\n",
    "project-plain": "FROM z\nRUN install-packages /opt/inputs/apt.txt\n",
}


@pytest.mark.parametrize(
    ("printed", "step", "said"),
    [
        ("project-plain", "RUN --mount=type=cache,id=y     apt-install a     b", "of base could not be built; what"),
        (
            "project-demo",
            "RUN --mount=type=cache,id=y     apt-install a     b",
            "of demo could not be built: adding sshd",
        ),
        ("project-demo", "RUN make", "of demo could not be built: Dockerfile"),
        ("project-demo", "RUN install-packages /opt/inputs/apt.txt", "of demo could not be built: apt.txt"),
        ("project-plain", "RUN unknown", "of plain could not be built; what"),
    ],
)
def test_a_step_that_images_share_is_laid_at_its_own_image_s_door(printed: str, step: str, said: str) -> None:
    reader, _ = read(f"#7 [{printed} 2/9] {step}\n#7 1.0 it broke\n#7 ERROR: process did not complete\n")
    assert said in _failure(reader, LOG, RECIPES).what


def test_a_failure_before_any_step() -> None:
    error = _failure(read(build_logs.BEFORE_ANY_STEP)[0], LOG)
    assert error.what == "the image of the rig could not be built; what ran before still runs"
    assert error.details == ("failed to find target project-demo", f"the whole log: {LOG}")


def test_a_failure_that_says_nothing() -> None:
    error = _failure(read("")[0], LOG)
    assert error.details == (f"the whole log: {LOG}",)


def test_long_output_keeps_its_last_lines() -> None:
    noise = "".join(f"#20 1.0 Downloading part {n}\n" for n in range(500))
    text = build_logs.REQUIREMENTS.replace("#20 0.402 Using", noise + "#20 0.402 Using")
    error = _failure(read(text)[0], LOG)
    assert len(error.details) == 13
    assert "unsatisfiable" in error.details[-2]


def test_whose_packages_are_no_addition_to_those_of_before() -> None:
    assert refused_step(read(build_logs.NO_ADDITION)[0]) == "project-demo"
    assert refused_step(read(build_logs.REQUIREMENTS)[0]) == ""


def test_progress_names_each_step_once_by_its_image() -> None:
    reader, told = read(build_logs.REQUIREMENTS)
    assert told == [
        ("base", "FROM docker.io/rigstack/debian:trixie"),
        ("gateway", "RUN ./apt-install openssh-server"),
        ("project-demo", f"RUN {build_logs.INSTALL_PYTHON}"),
    ]
    assert not reader.succeeded
    assert read("exit: 0")[0].succeeded


def test_a_build_of_one_image_leaves_its_name_out() -> None:
    told: list[tuple[str, str]] = []
    reader = PlainProgress(on_line=lambda image, words: told.append((image, words)), only="project-demo")
    for line in build_logs.APT.replace("[project-demo ", "[").splitlines():
        reader.read(line)
    assert {image for image, _ in told} == {"project-demo"}
    assert _failure(reader, LOG).what.startswith("the image of demo could not be built: apt.txt")


def test_brief() -> None:
    assert brief("RUN --mount=type=cache,id=x     --mount=type=secret,id=y     echo   a") == "RUN echo a"
    assert len(brief("RUN " + "x" * 300)) == 100


def test_only_what_the_tag_is_made_of_is_staged(tmp_path: Path) -> None:
    desired = a_desire(DEMO, files={"demo": {"requirements.txt": "numpy\n", "postBuild": "#!/bin/sh\n"}})
    (tmp_path / "project-demo").mkdir()
    (tmp_path / "project-demo" / "left-over").write_text("x")
    stage(tmp_path, desired.images)
    staged = {str(p.relative_to(tmp_path)): p for p in tmp_path.rglob("*") if p.is_file()}
    assert sorted(staged) == [f"project-demo/{name}" for name in sorted((*ALWAYS_STAGED, "requirements.txt"))]
    assert staged["project-demo/requirements.txt"].read_text() == "numpy\n"
    assert staged["project-demo/postBuild"].stat().st_mode & 0o777 == 0o755


def test_a_staged_file_that_changed_has_another_time_even_if_its_size_is_the_same(tmp_path: Path) -> None:
    """BuildKit would else build with the text that it was sent the last time."""
    times = []
    for text in ("numpy==2.0\n", "numpy==2.1\n"):
        stage(tmp_path, a_desire(DEMO, files={"demo": {"requirements.txt": text}}).images)
        times.append((tmp_path / "project-demo" / "requirements.txt").stat().st_mtime_ns)
    assert times[0] != times[1]


def test_the_last_ten_logs_are_kept(tmp_path: Path) -> None:
    for number in range(15):
        (tmp_path / f"build-20260101-0000{number:02}-1.log").write_text("")
    _new_log(tmp_path).write_text("")
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == 10
    assert kept[0] == "build-20260101-000006-1.log"
