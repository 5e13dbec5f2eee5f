"""A mistake in a project's files is one clear message, and what ran before still runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live_rig import LiveRig, docker

Make = Callable[[Path], object]


def says(name: str, text: str) -> Make:
    def make(folder: Path) -> None:
        (folder / name).write_text(text)

    return make


def big(folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM rigstack/debian:trixie\nCOPY . /all\n")
    with (folder / "data set \N{SNOWMAN}.bin").open("wb") as file:
        file.truncate(2 * 1024**3)


def link(folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM rigstack/debian:trixie\nCOPY out /out\n")
    (folder / "out").symlink_to("/etc/hostname")


# case -> how the folder becomes bad, the exit code, and what the message says besides.
CASES: dict[str, tuple[Make, int, tuple[str, ...]]] = {
    "a requirement that does not resolve": (
        says("requirements.txt", "numpy\nsix==99.9\n"),
        7,
        ("of demo could not be built: requirements.txt", "six==99.9"),
    ),
    "requirements that contradict their constraints": (
        says("requirements.txt", "six==1.16.0\n-c limits.txt\n"),
        2,
        ("requirements.txt:2: -c limits.txt: there is no such file",),
    ),
    "a package that is not there": (
        says("requirements.txt", "numpy\n-e ./nowhere\n"),
        2,
        ("requirements.txt:2: -e ./nowhere: there is no such folder",),
    ),
    "a syntax error in pyproject.toml": (
        says("pyproject.toml", '[project]\nname = "x\n'),
        2,
        ("pyproject.toml is not valid TOML", "line 2"),
    ),
    "a Debian package that does not exist": (
        says("apt.txt", "no-such-package-of-rigstack\n"),
        7,
        ("of demo could not be built: apt.txt", "Unable to locate package no-such-package-of-rigstack"),
    ),
    "a postBuild that fails": (
        says("postBuild", "#!/bin/bash\necho before\nno-such-command\n"),
        7,
        ("of demo could not be built: postBuild", "line 3: no-such-command: command not found"),
    ),
    "conda packages that have no wheel": (
        says("environment.yml", "dependencies:\n  - six\n  - no-such-package-of-rigstack\n  - ffmpeg\n"),
        7,
        (
            "of demo could not be built: environment.yml",
            "no wheel for no-such-package-of-rigstack",
            "ffmpeg into apt.txt",
        ),
    ),
    "an environment.yml that is no YAML": (
        says("environment.yml", "dependencies:\n\t- six\n"),
        2,
        ("environment.yml is not valid YAML in line 2: found character",),
    ),
    "a Python that cannot be had": (
        says("pyproject.toml", '[tool.rigstack]\npython = "3.2"\n'),
        7,
        ("of demo could not be built: the setting python", "Python 3.2 is not in this image"),
    ),
    "a Dockerfile without a shell": (
        says("Dockerfile", "FROM scratch\nCOPY README.md /\n"),
        7,
        ("of demo could not be built: adding sshd and JupyterLab", "has no shell"),
    ),
    "a Dockerfile whose step fails": (
        says("Dockerfile", "FROM rigstack/debian:trixie\nRUN echo a \\\n && no-such-command\n"),
        7,
        ("of demo could not be built: Dockerfile", "no-such-command: not found"),
    ),
    "a Dockerfile from nowhere": (
        says("Dockerfile", "FROM no-such-image-of-rigstack:1\n"),
        7,
        ("of demo could not be built: Dockerfile", "that its FROM names is not here"),
    ),
    "a file too large to copy": (big, 2, ("copies more than 256 MB", "2,048 MB  data set \N{SNOWMAN}.bin")),
    "a link out of the project": (link, 2, ("out is a link out of the project, to /etc/hostname",)),
    "a devcontainer of several services": (
        says(".devcontainer.json", '{"dockerComposeFile": "x.yml"}'),
        2,
        (".devcontainer.json: dockerComposeFile",),
    ),
}


def test_the_other_projects_are_brought_up(rig: LiveRig) -> None:
    before = rig.containers()
    pyproject = rig.code() / "pyproject.toml"
    pyproject.write_text('[tool.rigstack]\nmemry = "1g"\n')
    rig.append("[projects.other]")
    done = rig.run("up")
    assert done.returncode == 2, done.stderr
    assert "error: demo is left as it is: " in done.stderr and "did you mean 'memory'?" in done.stderr
    after = rig.containers()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"other-workspace", "other-notebook"}
    assert rig.curl("/p/demo/api").stdout.startswith('{"version"')
    status = rig.run("status")
    assert status.returncode == 2
    assert "! demo: " in status.stdout and "other" in status.stdout
    pyproject.unlink()
    assert rig.up().stdout.startswith("nothing to do")


def test_a_build_that_fails_stops_no_other(rig: LiveRig) -> None:
    before = rig.containers()
    (rig.code() / "postBuild").write_text("#!/bin/sh\nno-such-command\n")
    for name, script in {"other": "#!/bin/sh\nsleep 3\necho new > /etc/new\n", "third": "#!/bin/sh\nexit 4\n"}.items():
        rig.code(name).mkdir(exist_ok=True)
        (rig.code(name) / "postBuild").write_text(script)
    rig.append("[projects.third]")
    done = rig.run("up")
    assert done.returncode == 7, done.stderr
    error = done.stderr[done.stderr.index("error: ") :]
    assert error.startswith("error: demo, third left as they are: ")
    assert "the image of demo could not be built: postBuild" in error
    assert "the image of third could not be built: postBuild" in error
    after = rig.containers()
    assert {name for name in before if after[name] != before[name]} == {"other-workspace", "other-notebook"}
    assert set(after) == set(before)
    assert docker("exec", after["other-workspace"], "cat", "/etc/new") == "new"
    (rig.code() / "postBuild").unlink()
    (rig.code("third") / "postBuild").unlink()
    (rig.path / "rig.toml").write_text(rig.toml.replace("[projects.third]", ""))
    rig.up()
    assert rig.containers() == after


@pytest.mark.parametrize("case", CASES)
def test_one_message_and_nothing_else_changes(rig: LiveRig, case: str) -> None:
    make, code, said = CASES[case]
    folder = rig.code()
    before = rig.containers()
    kept = {path: path.read_bytes() for path in folder.iterdir() if path.is_file() and not path.is_symlink()}
    try:
        (folder / "requirements.txt").unlink()
        make(folder)
        failed = rig.run("up")
    finally:
        for path in folder.iterdir():
            if path.is_file() or not path.exists():
                path.unlink()
        for path, content in kept.items():
            path.write_bytes(content)
    assert failed.returncode == code, failed.stderr
    message = failed.stderr[failed.stderr.index("error: ") :]
    for words in said:
        assert words in message
    assert "  next:  " in message
    assert len(message.splitlines()) <= 20
    assert "Traceback" not in failed.stderr
    assert rig.containers() == before
    assert rig.run("up", "--dry-run").stdout.strip() == "nothing to do"
