"""Repositories of every shape become images that run their code, in the workspace and in a notebook's kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import shapes
from tests.conftest import MakeRig
from tests.live_rig import LiveRig, docker, wait_for

UV = str(Path(sys.executable).parent / "uv")
SHAPES = {
    "reqs": shapes.REQUIREMENTS,
    "plainpy": shapes.PYPROJECT,
    "locked": {**shapes.package("locked", dependencies='"six==1.16.0"')},
    "conda": shapes.CONDA,
    "apt": shapes.APT,
    "own": shapes.DOCKERFILE,
    "dev": shapes.DEVCONTAINER,
}
# project -> a command of its own and what it prints.
EXAMPLES = {
    "reqs": ("python -c 'import six, sgp4, toolz, old, colorama as c; print(six.__version__, old.answer)'; tools-hello",
             "1.16.0 42\nhello from /code/reqs/tools/src/tools/main.py 1.2.3"),
    "plainpy": ("python -c 'import attrs; print(attrs.__version__)'; plainpy-hello",
                "25.3.0\nhello from /code/plainpy/src/plainpy/main.py 1.2.3"),
    "locked": ("python -c 'import six; print(six.__version__)'; locked-hello",
               "1.16.0\nhello from /code/locked/src/locked/main.py 1.2.3"),
    "conda": ("python -c 'import six, toolz, packaging as p; print(six.__version__, toolz.__version__, p.__version__)'",
              "1.16.0 1.0.0 25.0"),
    "apt": ("sqlite3 /opt/made.db .tables", "t"),
    "own": ("cat /etc/whose /etc/settings/one.conf; echo $THEIR_VALUE; whoami", "they\none\n${not} %{ours}\ndev"),
    "dev": ("cat /etc/said; echo $WHERE", "a ${b}\n/code/dev/data"),
}  # fmt: skip


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> LiveRig:
    made = make_rig(projects=tuple(SHAPES))
    stat = (made.path / "code").stat()
    for project, files in SHAPES.items():
        shapes.write(made.code(project), files, (stat.st_uid, stat.st_gid))
    subprocess.run([UV, "lock", "--quiet", "--project", str(made.code("locked"))], check=True)
    made.up()
    made.pin_host_keys()
    return made


def in_a_kernel(rig: LiveRig, project: str, code: str) -> str:
    """What `code` prints when a notebook's kernel runs it."""
    script = (
        "import sys; from jupyter_client.manager import start_new_kernel\n"
        "manager, client = start_new_kernel(kernel_name='project')\n"
        "client.execute_interactive(sys.argv[1], timeout=60); manager.shutdown_kernel(now=True)"
    )
    container = rig.containers()[f"{project}-notebook"]
    return docker("exec", "-w", f"/code/{project}", container, "/opt/jupyter/bin/python", "-c", script, code)


@pytest.mark.parametrize("project", SHAPES)
def test_its_example_runs_in_the_workspace_and_in_a_notebook(rig: LiveRig, project: str) -> None:
    command, expected = EXAMPLES[project]
    done = rig.ssh(project, command)
    assert done.stdout.strip() == expected, done.stderr
    shown = in_a_kernel(rig, project, f"import subprocess; print(subprocess.getoutput({command!r}))")
    assert shown.strip() == expected


def test_what_is_not_honoured_is_said(rig: LiveRig) -> None:
    said = rig.up().stderr
    assert "dev: .devcontainer/devcontainer.json: not honoured: remoteUser" in said
    assert "not honoured: mounts" in said
    assert json.loads((rig.path / "state/ssh/gateway/rig.json").read_text())["projects"]


def test_a_post_create_command_runs_once_in_the_project_s_folder(rig: LiveRig) -> None:
    created = rig.code("dev") / "created"
    wait_for("postCreateCommand", created.exists)
    wait_for("its end", lambda: created.read_text().count("\n") == 2)
    assert created.read_text() == "/code/dev/data\n/code/dev\n"


def test_editing_code_and_tool_settings_rebuilds_nothing(rig: LiveRig) -> None:
    (rig.code("reqs") / "tools/src/tools/main.py").write_text("def hello():\n    print('edited')\n")
    (rig.code("own") / "train.py").write_text("print('edited')\n")
    pyproject = rig.code("plainpy") / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("line-length = 100", "line-length = 120"))
    assert rig.run("up", "--dry-run").stdout.strip() == "nothing to do"
    assert rig.ssh("reqs", "tools-hello").stdout.strip() == "edited"


def test_what_the_dockerfile_copies_rebuilds(rig: LiveRig) -> None:
    (rig.code("own") / "settings/one.conf").write_text("two\n")
    planned = rig.run("up", "--dry-run").stdout
    assert "settings/one.conf" in planned
    assert "project-own" in planned or "own" in planned
    assert "reqs" not in planned
    (rig.code("own") / "settings/one.conf").write_text("one\n")
    assert rig.run("up", "--dry-run").stdout.strip() == "nothing to do"
