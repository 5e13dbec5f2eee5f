"""A further environment becomes a kernel where JupyterLab looks, and only when it can be one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bare_rig import make_bare_rig, rigstack


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    return make_bare_rig(tmp_path)


def make_venv(rig: Path, path: str, *, ipykernel: bool = True) -> None:
    folder = rig / "code/demo" / path
    package = folder / "lib/python3.13/site-packages/ipykernel"
    package.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    if ipykernel:
        (package / "__init__.py").touch()


def test_an_environment_becomes_a_kernel_and_goes_again(rig: Path) -> None:
    make_venv(rig, "envs/Old")
    done = rigstack(rig, "project", "kernel", "demo", "envs/Old", "--title", "old torch")
    assert done.status == 0, done.stderr
    file = rig / "homes/demo/.local/share/jupyter/kernels/venv-envs-old/kernel.json"
    spec = json.loads(file.read_text())
    assert spec["argv"][:3] == ["/code/demo/envs/Old/bin/python", "-m", "ipykernel_launcher"]
    assert spec["display_name"] == "old torch"
    assert file.stat().st_uid == (rig / "code").stat().st_uid
    assert rigstack(rig, "project", "kernel", "demo", "envs/Old", "--remove").status == 0
    assert not file.exists()
    assert (rig / "code/demo/envs/Old/pyvenv.cfg").exists()


def test_the_path_in_the_container_is_as_good(rig: Path) -> None:
    make_venv(rig, ".venv")
    assert rigstack(rig, "project", "kernel", "demo", "/code/demo/.venv").status == 0
    assert (rig / "homes/demo/.local/share/jupyter/kernels/venv-venv/kernel.json").is_file()


def test_what_cannot_be_one_is_refused(rig: Path) -> None:
    make_venv(rig, "bare", ipykernel=False)
    for path, said in (("bare", "has no ipykernel"), ("none", "is no virtual environment"), ("../x", "is no virtual")):
        done = rigstack(rig, "project", "kernel", "demo", path)
        assert done.status == 2
        assert said in done.stderr
