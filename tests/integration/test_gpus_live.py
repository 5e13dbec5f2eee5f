"""`rigstack gpus` against a real engine: processes of real containers, on GPUs that a stand-in for NVML tells of."""

from __future__ import annotations

import json
import os

import pytest

from tests.live_rig import LiveRig, docker
from tests.nvml_stub import GIB, NvmlStub, build, gpus


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> NvmlStub:
    folder = tmp_path_factory.mktemp("nvml")
    return NvmlStub(build(folder), folder)


def pid_of(container: str) -> int:
    """The process id, on this machine, of a container's first process."""
    return int(docker("inspect", "--format={{.State.Pid}}", container))


def test_processes_are_those_of_real_containers(rig: LiveRig, stub: NvmlStub) -> None:
    containers = rig.containers()
    notebook, workspace = pid_of(containers["demo-notebook"]), pid_of(containers["demo-workspace"])
    foreign = docker("run", "--detach", "--rm", "--network=none", "rigstack/debian:trixie", "sleep", "300")
    try:
        pids = (notebook, workspace, pid_of(foreign), os.getpid())
        stub.set(gpus(1, compute=" ".join(f"{pid}:{GIB}" for pid in pids)))
        shown = json.loads(rig.run("gpus", "--json", env=stub.env).stdout)
        page = rig.run("gpus", env=stub.env).stdout
    finally:
        docker("rm", "--force", foreign)
    found = {process["pid"]: process for process in shown["gpus"][0]["processes"]}
    assert {pid: (one["rig"], one["project"], one["holder"]) for pid, one in found.items() if one["rig"]} == {
        notebook: (rig.name, "demo", "notebook"),
        workspace: (rig.name, "demo", "workspace"),
    }
    assert found[notebook]["container"] == f"rigstack-{rig.name}-demo-notebook-1"
    assert found[pids[2]]["holder"] == "container"
    assert found[pids[3]]["project"] == ""
    assert "demo notebook" in page and "demo workspace" in page
