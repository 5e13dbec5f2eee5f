"""Of a project's own packages only what they say about themselves is an input: no code, no table of a linter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rigstack.errors import ConfigError
from rigstack.host.project.packages import parse_pyproject, without_tools
from rigstack.host.project_files import read_project_inputs

PROJECT = '[project]\nname = "me"\nversion = "1"\ndependencies = ["six"]\n'
BUILD = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


def staged(folder: Path) -> dict[str, str]:
    return dict(read_project_inputs(folder).files)


def test_a_pyproject_that_can_be_built_is_a_package(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "pyproject.toml").write_text(PROJECT + BUILD)
    files = staged(tmp_path)
    assert sorted(files) == ["local/0/package.json", "local/0/pyproject.toml", "pyproject/pyproject.toml"]
    assert json.loads(files["local/0/package.json"]) == {
        "path": f"/code/{tmp_path.name}",
        "extras": [],
        "roots": ["src"],
        "dependencies": False,
    }


def test_one_that_cannot_is_dependencies_only(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    assert sorted(staged(tmp_path)) == ["pyproject/pyproject.toml"]
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    assert staged(tmp_path) == {}


def test_code_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT + BUILD)
    before = read_project_inputs(tmp_path)
    (tmp_path / "me").mkdir()
    (tmp_path / "me/__init__.py").write_text("x = 1\n")
    (tmp_path / "pyproject.toml").write_text(PROJECT + BUILD + "[tool.ruff]\nline-length = 99\n")
    assert read_project_inputs(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "roots"),
    [
        ("[tool.setuptools.packages.find]\nwhere = ['lib']", ["lib"]),
        ("[tool.setuptools.package-dir]\n'' = 'lib'", ["lib"]),
        ("[tool.hatch.build.targets.wheel]\npackages = ['lib/me']", ["lib"]),
        ("[tool.poetry]\npackages = [{include = 'me', from = 'lib'}]", ["lib"]),
        ("[tool.uv.build-backend]\nmodule-root = ''", ["."]),
        ("", ["."]),
    ],
)
def test_where_the_code_is(tmp_path: Path, text: str, roots: list[str]) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT + BUILD + text)
    assert json.loads(staged(tmp_path)["local/0/package.json"])["roots"] == roots


def test_a_setup_py_comes_with_what_it_may_read(tmp_path: Path) -> None:
    for name in ("setup.py", "setup.cfg", "README.md", "requirements.in", "code.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / "requirements.txt").write_text("-e .\n")
    names = [name for name in staged(tmp_path) if name.startswith("local/0/")]
    assert names == [
        f"local/0/{name}"
        for name in ("README.md", "package.json", "requirements.in", "requirements.txt", "setup.cfg", "setup.py")
    ]


def test_a_package_with_compiled_parts_needs_a_hand(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        PROJECT + '[build-system]\nrequires = ["maturin"]\nbuild-backend = "maturin"'
    )
    assert read_project_inputs(tmp_path).once == (". has compiled parts: run once in the workspace: pip install -e .",)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("[project]\nname='x'\n[tool.ruff]\na = 1\n[tool.ruff.lint]\nb = 2\n", "[project]\nname='x'\n"),
        ("[tool.mypy]\na = 1\n[project]\nname='x'\n", "[project]\nname='x'\n"),
        ("[[tool.mypy.overrides]]\nm = 'x'\n[project]\nname='x'\n", "[project]\nname='x'\n"),
        ("[project]\nname='x'\n[tool.uv]\nindex = []\n", "[project]\nname='x'\n[tool.uv]\nindex = []\n"),
        # Cutting by lines would break these: they stay whole.
        ("[tool.ruff]\na = [\n[1],\n]\n[project]\nname='x'\n", None),
        ("tool.ruff.a = 1\n[project]\nname='x'\n", None),
    ],
)
def test_tables_of_tools_are_cut_out_only_when_nothing_else_changes(text: str, kept: str | None) -> None:
    assert without_tools(text, parse_pyproject(Path("x"), text)) == (text if kept is None else kept)


def test_a_mistake_in_pyproject_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x\n')
    with pytest.raises(ConfigError, match=r"pyproject\.toml is not valid TOML: .*line 2") as raised:
        read_project_inputs(tmp_path)
    assert raised.value.remedy == "mend that line"


def test_environment_yml_counts_where_nothing_else_says_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text(
        "dependencies:\n  - python=3.12\n  - numpy\n  - pip:\n    - -r more.txt\n    - six\n"
    )
    (tmp_path / "more.txt").write_text("toolz\n")
    inputs = read_project_inputs(tmp_path)
    assert inputs.python == "3.12"
    assert dict(inputs.files) == {
        "environment.txt": "conda numpy numpy\npip six\n",
        "requirements.txt": "".join(f"{line}\n" for line in ("", "", "", "", "toolz", "")),
    }
    (tmp_path / "environment.yml").write_text("dependencies:\n  - pip:\n    - -e ./none\n")
    with pytest.raises(ConfigError, match=r"environment\.yml:3: -e \./none: there is no such folder"):
        read_project_inputs(tmp_path)
    (tmp_path / "requirements.txt").write_text("six\n")
    inputs = read_project_inputs(tmp_path)
    assert (inputs.python, [name for name, _ in inputs.files]) == ("", ["requirements.txt"])
    assert "environment.yml is not used" in inputs.notes[0]
