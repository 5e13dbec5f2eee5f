"""requirements.txt as pip reads it: what stays a line, what becomes a package of the project, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigstack.errors import ConfigError
from rigstack.host.project.requirements import LocalPackage, read_requirements
from rigstack.host.project_files import read_project_inputs


def project(folder: Path, text: str) -> Path:
    """A project with a package in pkg/, a wheel, constraints, and this requirements.txt."""
    (folder / "pkg").mkdir()
    (folder / "pkg/pyproject.toml").write_text('[project]\nname = "pkg"\nversion = "1"\n')
    (folder / "setup.py").write_text("from setuptools import setup\nsetup(name='me', version='1')\n")
    (folder / "wheels").mkdir()
    (folder / "wheels/x-1-py3-none-any.whl").write_bytes(b"zip")
    (folder / "limits.txt").write_text("six<2\n-r more-limits.txt\n")
    (folder / "more-limits.txt").write_text("numpy<3\n")
    (folder / "requirements.txt").write_text(text)
    return folder / "requirements.txt"


PKG = LocalPackage(path="pkg")


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("-e ./pkg", PKG),
        ("-e pkg", PKG),
        ("--editable=./pkg", PKG),
        ("./pkg  # ours", PKG),
        ("pkg/", PKG),
        ("file:pkg", PKG),
        ("pkg @ file:./pkg", PKG),
        ("-e ./pkg[fast, gpu]", LocalPackage(path="pkg", extras=("fast", "gpu"))),
        ("-e .", LocalPackage(path=".")),
        (".[dev]", LocalPackage(path=".", extras=("dev",))),
    ],
)
def test_a_package_of_the_project(tmp_path: Path, line: str, local: LocalPackage) -> None:
    read = read_requirements(project(tmp_path, f"numpy\n{line}\n"))
    assert read.local == (local,)
    assert read.text == "numpy\n"


def test_extras_of_a_package_named_twice_come_together(tmp_path: Path) -> None:
    read = read_requirements(project(tmp_path, "./pkg[a]\n-e ./pkg[b]\n"))
    assert read.local == (LocalPackage(path="pkg", extras=("a", "b")),)


@pytest.mark.parametrize("form", ["-c limits.txt", "--constraint limits.txt", "-c=limits.txt", "-climits.txt  # why"])
def test_constraints_stand_apart(tmp_path: Path, form: str) -> None:
    read = read_requirements(project(tmp_path, f"six\n{form}\n"))
    assert (read.text, read.constraints) == ("six\n", "six<2\nnumpy<3\n")


def test_archives_go_into_the_context(tmp_path: Path) -> None:
    read = read_requirements(project(tmp_path, "./wheels/x-1-py3-none-any.whl\n--find-links ./wheels\n"))
    assert read.text == "/opt/inputs/wheels/x-1-py3-none-any.whl\n--find-links /opt/inputs/wheels\n"
    copies = read_project_inputs(tmp_path).copies
    assert [copy.name for copy in copies] == ["wheels/x-1-py3-none-any.whl"]


@pytest.mark.parametrize(
    "line",
    [
        "git+https://h/x.git@v1#egg=x",
        "x @ git+https://h/x.git",
        "https://h/x-1-py3-none-any.whl",
        "numpy[extra]==1.0 --hash=sha256:aa",
        "    --hash=sha256:bb",
        "--extra-index-url https://h/whl/cu130",
        "-f https://h/links.html",
        "--no-binary x",
    ],
)
def test_a_line_for_uv(tmp_path: Path, line: str) -> None:
    read = read_requirements(project(tmp_path, line + "\n"))
    assert (read.text, read.local, read.wheels) == (line + "\n", (), ())


def test_an_editable_repository_is_installed_as_a_plain_one(tmp_path: Path) -> None:
    assert read_requirements(project(tmp_path, "-e git+https://h/x.git#egg=x")).text == "git+https://h/x.git#egg=x\n"


@pytest.mark.parametrize("line", ["-e ./none", "./none", "-e ..", "-e /etc", "./x.whl", "-c none.txt"])
def test_what_is_not_there_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "demo").mkdir()
    path = project(tmp_path / "demo", f"numpy\n\n{line}\n")
    with pytest.raises(ConfigError, match="in the project") as raised:
        read_requirements(path)
    assert raised.value.what.startswith(f"{path}:3: {line}: ")


def test_a_folder_that_is_no_package(tmp_path: Path) -> None:
    project(tmp_path, "-e ./wheels\n")
    with pytest.raises(ConfigError, match="is no Python package"):
        read_project_inputs(tmp_path)
