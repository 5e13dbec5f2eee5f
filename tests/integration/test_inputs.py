"""Repositories of every shape become images that run their code, in the workspace and in a notebook's kernel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import shapes
from tests.conftest import MakeRig
from tests.fake_index import MODULE, PACKAGE, FakeIndex, fake_index
from tests.jupyter import Jupyter
from tests.live_rig import LiveRig, docker, wait_for

UV = str(Path(sys.executable).parent / "uv")
SHAPES = {
    "reqs": shapes.REQUIREMENTS,
    "plainpy": shapes.PYPROJECT,
    "locked": shapes.LOCKED,
    "compiled": shapes.COMPILED,
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
    "apt": ("ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of csv=p=0 /opt/clip.mp4", "10"),
    "compiled": ("python -c 'import fastsum; print(fastsum.total(range(4)))'", "6.0"),
    "own": ("cat /etc/whose /etc/settings/one.conf; echo $THEIR_VALUE; whoami", "they\none\n${not} %{ours}\ndev"),
    "dev": ("cat /etc/said; echo $WHERE", "a ${b}\n/code/dev/data"),
}  # fmt: skip
# project -> how its own tests are run.
SUITES = {
    "compiled": shapes.PYTEST,
    "plainpy": shapes.PYTEST,
    "locked": shapes.PYTEST,
    "apt": shapes.PYTEST,
    "own": shapes.UNITTEST,
    "dev": shapes.UNITTEST,
}


KERNEL = """\
#include <cstdio>
__global__ void add(float *a, const float *b) { a[threadIdx.x] += b[threadIdx.x]; }
int main() {
    int count = -1;
    std::puts(cudaGetErrorName(cudaGetDeviceCount(&count)));
    if (count > 0) add<<<1, 1>>>(nullptr, nullptr);
}
"""
# ptxas says for which GPU it compiles; the program says what cudart finds here, where there is no driver.
COMPILE = "cd /code/reqs && nvcc -arch=sm_90 -cudart shared -Xptxas -v add.cu -o /tmp/add-$$ 2>&1 && /tmp/add-$$"
FROM_INDEX = f"import {MODULE} as m; print(m.ORIGIN.split()[1])"
SETTINGS = """index = ["{index}"]
env = {{ SAID = "größe $x ${{y}}" }}
memory = "900m"
shm = "96m"
ports = [6007]
"""
# project -> where it says the settings above.
SAYS_SETTINGS = {"plainpy": "pyproject.toml", "conda": "rig.toml"}


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Iterator[LiveRig]:
    here = docker("network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Gateway}}")
    with fake_index("", "") as index:
        made = make_rig(projects=tuple(SHAPES))
        yield brought_up(made, index, SETTINGS.format(index=index.url(here)))


def brought_up(made: LiveRig, index: FakeIndex, settings: str) -> LiveRig:
    stat = (made.path / "code").stat()
    for project, files in SHAPES.items():
        shapes.write(made.code(project), files, (stat.st_uid, stat.st_gid))
    wanted = f"{PACKAGE}=={index.version}"
    edit(made.code("plainpy") / "pyproject.toml", '"attrs==25.3.0"', f'"attrs==25.3.0", "{wanted}"')
    edit(made.code("plainpy") / "pyproject.toml", "[tool.ruff]", f"[tool.rigstack]\n{settings}[tool.ruff]")
    edit(made.code("conda") / "environment.yml", "- six==1.16.0", f"- six==1.16.0\n    - {wanted}")
    edit(made.path / "rig.toml", "[projects.conda]\n", f"[projects.conda]\n{settings}")
    edit(made.path / "rig.toml", "[projects.reqs]\n", '[projects.reqs]\ncuda = "devel"\n')
    edit(made.path / "rig.toml", "[projects.plainpy]\n", '[projects.plainpy]\ncuda = "runtime"\n')
    subprocess.run([UV, "lock", "--quiet", "--project", str(made.code("locked"))], check=True)
    said = made.up().stderr
    made.pin_host_keys()
    # What has to be compiled is built by hand once, with the very line that `up` prints.
    line = next(line for line in said.splitlines() if "compiled: . has compiled parts" in line)
    built = made.ssh("compiled", f"cd /code/compiled && {line.partition('workspace: ')[2]}")
    assert built.returncode == 0, built.stderr
    return made


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("project", SHAPES)
def test_its_example_runs_in_the_workspace_and_in_a_notebook(rig: LiveRig, project: str) -> None:
    command, expected = EXAMPLES[project]
    done = rig.ssh(project, command)
    assert done.stdout.strip() == expected, done.stderr
    shown = Jupyter(rig, project).run(f"import subprocess; print(subprocess.getoutput({command!r}))")
    assert shown.strip() == expected


@pytest.mark.parametrize("project", SUITES)
def test_its_own_tests_pass_in_the_workspace_and_in_a_kernel(rig: LiveRig, project: str) -> None:
    suite = SUITES[project]
    done = rig.ssh(project, f'cd /code/{project} && python -c "{suite}"')
    assert done.returncode == 0, done.stdout + done.stderr
    shown = Jupyter(rig, project).run(f"try:\n    {suite}\nexcept SystemExit as end:\n    print('ended', end.code)")
    assert shown.endswith(("ended 0\n", "ended False\n")), shown
    ran = r"\d+ passed" if suite == shapes.PYTEST else r"Ran [1-9]\d* test"
    assert re.search(ran, done.stdout + done.stderr)
    assert re.search(ran, shown)


@pytest.mark.parametrize("project", SAYS_SETTINGS)
def test_settings_of_rig_toml_and_of_the_project_s_own_file_hold(rig: LiveRig, project: str) -> None:
    done = rig.ssh(project, f"echo $SAID; df -k --output=size /dev/shm | tail -n 1; python -c '{FROM_INDEX}'")
    assert done.stdout.split() == ["größe", "$x", "${y}", str(96 * 1024), "fake"], done.stderr
    assert Jupyter(rig, project).run("import os; print(os.environ['SAID'])") == "größe $x ${y}\n"
    for part in ("workspace", "notebook"):
        container = rig.containers()[f"{project}-{part}"]
        limits = docker("inspect", "--format={{.HostConfig.Memory}} {{.HostConfig.ShmSize}}", container)
        assert limits == f"{900 * 1024**2} {96 * 1024**2}"
    described = json.loads((rig.path / "state/ssh/gateway/rig.json").read_text())["projects"]
    assert [one["ports"] for one in described if one["name"] == project] == [[6007]]


def test_what_is_not_honoured_is_said(rig: LiveRig) -> None:
    said = rig.up().stderr
    assert "has compiled parts" not in said  # that is for whoever had it built
    for words in (
        "remoteUser vscode: the person in every container is dev",
        "mounts source=/var/run/docker.sock,target=/var/run/docker.sock,type=bind: no container of the rig may use",
        "mounts source=${localEnv:HOME}/.ssh,target=/home/vscode/.ssh,type=bind,readonly: ",
        "features ghcr.io/devcontainers/features/node:1: write RUN apt-get install -y nodejs npm into the Dockerfile",
    ):
        assert f"dev: .devcontainer/devcontainer.json: not honoured: {words}" in said
    assert said.count("not honoured") == 4


def test_mounts_that_stay_inside_the_rig_are_there(rig: LiveRig) -> None:
    done = rig.ssh("dev", "cat /assets/one.txt; cd /workspaces/dev && pwd -P; date > /commandhistory/kept && id -u")
    assert done.stdout.split() == ["one", "/code/dev", str(rig.code("dev").stat().st_uid)], done.stderr
    assert (rig.path / "homes/dev.volumes/dev-history/kept").exists()
    assert not rig.ssh("dev", "ls /var/run/docker.sock ~/../vscode").stdout
    described = json.loads((rig.path / "state/ssh/gateway/rig.json").read_text())["projects"]
    assert [one["ports"] for one in described if one["name"] == "dev"] == [[6006]]


def test_a_post_create_command_runs_once_in_the_project_s_folder(rig: LiveRig) -> None:
    for project, lines in {"dev": "/code/dev/data\n/code/dev\n", "plainpy": "one\ntwo\n"}.items():
        created = rig.code(project) / "created"
        wait_for(f"postCreateCommand of {project}", lambda created=created: created.exists())
        wait_for("its end", lambda created=created, lines=lines: created.read_text() == lines)


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


def test_nvcc_compiles_and_links_for_an_h100_in_the_workspace_and_in_a_kernel(rig: LiveRig) -> None:
    (rig.code("reqs") / "add.cu").write_text(KERNEL)
    cell = f"import subprocess; print(subprocess.run({COMPILE!r}, shell=True, capture_output=True, text=True).stdout)"
    for said in (rig.ssh("reqs", COMPILE).stdout, Jupyter(rig, "reqs").run(cell)):
        assert "for 'sm_90'" in said
        assert said.split()[-1] in ("cudaErrorInsufficientDriver", "cudaErrorNoDevice")


def test_the_runtime_of_cuda_comes_without_its_compiler(rig: LiveRig) -> None:
    load = 'python -c \'import ctypes; [ctypes.CDLL(x) for x in ("libcudart.so", "libnvrtc.so")]; print("loaded")\''
    assert rig.ssh("plainpy", load).stdout == "loaded\n"
    assert rig.ssh("plainpy", "command -v nvcc").returncode == 1
