"""What of a project's repository goes into its image, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigstack.errors import ConfigError
from rigstack.host.project.requirements import read_requirements
from rigstack.host.project_files import read_project_inputs


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_txt", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_an_empty_project(tmp_path: Path) -> None:
    assert read_project_inputs(tmp_path).files == ()
    assert read_project_inputs(tmp_path / "none").files == ()


TEXTS = {"pyproject.toml": '[project]\nname = "x"\nversion = "1"\n'}


def test_the_conventions_and_nothing_else(tmp_path: Path) -> None:
    for name in ("requirements.txt", "apt.txt", "postBuild", "pyproject.toml", "uv.lock", "train.py", ".env"):
        (tmp_path / name).write_text(TEXTS.get(name, f"text of {name}\n"))
    assert read_project_inputs(tmp_path).files == (
        ("apt.txt", "text of apt.txt\n"),
        ("postBuild", "text of postBuild\n"),
        ("pyproject/pyproject.toml", TEXTS["pyproject.toml"]),
        ("pyproject/uv.lock", "text of uv.lock\n"),
        ("requirements.txt", "text of requirements.txt\n"),
    )


def test_includes_are_put_in_place(tmp_path: Path) -> None:
    write(
        tmp_path,
        requirements_txt="numpy\n-r base.txt\n  --requirement=sub/more.txt  # why\n-r=base.txt\n-rbase.txt\ntorch",
        base_txt="scipy\n",
        sub__more_txt="-r ../base.txt\njax",
    )
    text = read_requirements(tmp_path / "requirements.txt").text
    assert text.split() == ["numpy", "scipy", "scipy", "jax", "scipy", "scipy", "torch"]
    assert text.endswith("torch\n")


@pytest.mark.parametrize(
    "line",
    [
        "# -r base.txt",
        "numpy  # -r base.txt",
        "--require-hashes",
        "numpy[x,y]>=1 ; python_version > '3'",
        "-i https://x/y",
        "",
    ],
)
def test_other_lines_stay_as_they_are(tmp_path: Path, line: str) -> None:
    write(tmp_path, requirements_txt=line + "\n")
    assert read_requirements(tmp_path / "requirements.txt").text == line + "\n"


def test_a_loop_is_named(tmp_path: Path) -> None:
    write(tmp_path, requirements_txt="-r a.txt", a_txt="-r b.txt", b_txt="-r a.txt")
    with pytest.raises(ConfigError, match=r"includes itself: requirements\.txt -> a\.txt -> b\.txt -> a\.txt"):
        read_project_inputs(tmp_path)
    write(tmp_path, requirements_txt="-r requirements.txt")
    with pytest.raises(ConfigError, match="includes itself"):
        read_project_inputs(tmp_path)


@pytest.mark.parametrize(
    "include", ["none.txt", "../outside.txt", "/etc/hostname", "link.txt", "sub", "https://x/y.txt"]
)
def test_an_include_that_is_not_in_the_project_is_refused_with_its_line(tmp_path: Path, include: str) -> None:
    project = tmp_path / "demo"
    write(tmp_path, outside_txt="secret")
    write(project, requirements_txt=f"numpy\n-r {include}\n", sub__x="")
    (project / "link.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(ConfigError) as raised:
        read_project_inputs(project)
    assert raised.value.what.startswith(f"{project}/requirements.txt:2: -r {include}: ")
    assert "inside the project's folder" in raised.value.remedy


def test_an_include_may_go_up_inside_the_project_and_not_beyond(tmp_path: Path) -> None:
    project = tmp_path / "demo"
    write(tmp_path, outside_txt="secret")
    write(project, requirements_txt="-r sub/a.txt", sub__a_txt="-r ../../outside.txt")
    with pytest.raises(ConfigError, match=r"sub/a\.txt:1: "):
        read_project_inputs(project)


@pytest.mark.parametrize("name", ["requirements.txt", "apt.txt", "pyproject.toml"])
def test_what_is_no_text_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=f"cannot read {tmp_path}/{name}"):
        read_project_inputs(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=f"cannot read {tmp_path}/{name}"):
        read_project_inputs(tmp_path)
