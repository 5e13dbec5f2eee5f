"""GPUs and a real engine: whose processes are on them, and who is given which.

The GPUs are made up: a stand-in for NVML tells of them, and CDI devices with names of their own reach containers.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rigstack.host.devices import CDI_FOLDERS, KIND
from tests.conftest import MakeRig
from tests.live_rig import LiveRig, docker, wait_for
from tests.nvml_stub import GIB, NvmlStub, a_gpu, build, gpus, uuid_of


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


class MadeUpGpus:
    """Two CDI devices that no other test has, known to the engine and, through `env`, to rigstack."""

    def __init__(self, folder: Path, stub: NvmlStub) -> None:
        token = secrets.token_hex(4)
        self.names = (f"GPU-{token}-00", f"GPU-{token}-01")
        self.stub = stub
        self.folder = folder
        devices = [
            {"name": name, "containerEdits": {"env": [f"MADE_UP_GPU_{n}=here"]}} for n, name in enumerate(self.names)
        ]
        self.text = json.dumps({"cdiVersion": "0.5.0", "kind": KIND, "devices": devices})
        (folder / "made-up.json").write_text(self.text)
        self.spec = Path(CDI_FOLDERS[0]) / f"rigstack-test-{token}.json"

    @property
    def env(self) -> dict[str, str]:
        return {**self.stub.env, "RIGSTACK_CDI_DIR": str(self.folder)}

    def load(self, *percent: int) -> None:
        """How busy each is from now on."""
        lines: dict[str, object] = {"count": len(self.names)}
        for index, (name, load) in enumerate(zip(self.names, percent, strict=True)):
            lines |= a_gpu(index, uuid=name, load=load, used=load * 48 * GIB // 100)
        self.stub.set(lines)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory, stub: NvmlStub, cdi_folder: Path) -> Iterator[MadeUpGpus]:
    made = MadeUpGpus(tmp_path_factory.mktemp("cdi"), stub)
    try:
        made.spec.write_text(made.text)
        yield made
    finally:
        made.spec.unlink(missing_ok=True)


def ask_for(rig: LiveRig, **projects: str) -> None:
    """Replaces the rig's projects: name -> lines."""
    head = rig.toml.partition("\n[projects.")[0]
    tables = "".join(f"\n[projects.{name}]\n{lines}\n" for name, lines in projects.items())
    (rig.path / "rig.toml").write_text(head + tables)


def has(rig: LiveRig, service: str) -> set[int]:
    """The numbers of the made-up GPUs that the engine gave to a container."""
    environ = docker("exec", rig.containers()[service], "cat", "/proc/1/environ").split("\0")
    return {number for number in (0, 1) if f"MADE_UP_GPU_{number}=here" in environ}


def up(rig: LiveRig, made_up: MadeUpGpus, *words: str) -> tuple[int, str, str]:
    done = rig.run("up", *words, env=made_up.env)
    return done.returncode, done.stdout, done.stderr


def test_the_freest_is_given_kept_and_never_given_twice(make_rig: MakeRig, made_up: MadeUpGpus) -> None:
    rig = make_rig(projects=("one",))
    rig.set("cuda", '"none"')
    made_up.load(90, 0)
    ask_for(rig, one='gpus = 1\ngpu_sharing = "exclusive"')
    code, _, told = up(rig, made_up)
    assert code == 0, told
    assert f"note: one gets GPU {made_up.names[1]} (NVIDIA RTX 6000 Ada, free, 48.0 of 48.0 GiB free)" in told
    assert f"Not GPU {made_up.names[0]} (NVIDIA RTX 6000 Ada, busy, 90 % load" in told
    assert has(rig, "one-workspace") == has(rig, "one-notebook") == {1}

    made_up.load(0, 100)  # its own job, say
    before = rig.containers()
    assert up(rig, made_up)[1].startswith("nothing to do")
    ask_for(rig, one='gpus = 1\ngpu_sharing = "exclusive"\npids = 4096')
    assert up(rig, made_up)[0] == 0
    assert rig.containers()["one-workspace"] != before["one-workspace"]
    assert has(rig, "one-workspace") == {1}, "made anew for another reason, it keeps its GPU"
    docker("restart", "--time=1", rig.containers()["one-workspace"])
    assert has(rig, "one-workspace") == {1}

    wants = 'gpus = 1\ngpu_sharing = "exclusive"\npids = 4096'
    before = rig.containers()
    ask_for(rig, one=wants, two=f'gpus = ["{made_up.names[1]}"]')
    code, _, told = up(rig, made_up)
    assert code == 3
    assert f"two cannot have GPU {made_up.names[1]}" in told
    assert f"GPU {made_up.names[1]}: one (exclusive)" in told
    assert rig.containers() == before
    ask_for(rig, one=wants, two="gpus = 2")
    code, _, told = up(rig, made_up)
    assert (code, rig.containers()) == (3, before)
    assert "two cannot have 2 GPUs: 1 can be given" in told


def test_another_rig_of_this_machine_counts_too(make_rig: MakeRig, made_up: MadeUpGpus) -> None:
    """The rig of the test before still runs and has the second GPU for itself."""
    holder = docker("ps", f"--filter=label=rigstack.gpus={made_up.names[1]}", '--format={{.Label "rigstack.rig"}}')
    rig = make_rig(projects=("three",))
    rig.set("cuda", '"none"')
    made_up.load(80, 0)
    ask_for(rig, three="gpus = 1")
    code, _, told = up(rig, made_up)
    assert code == 0, told
    assert has(rig, "three-workspace") == {0}, "busy, and all that is left"
    shown = json.loads(rig.run("gpus", "--json", env=made_up.env).stdout)["gpus"]
    assert [[(one["project"], one["sharing"]) for one in gpu["given_to"]] for gpu in shown] == [
        [("three", "shared")],
        [("one", "exclusive")],
    ]
    ask_for(rig, three="gpus = 2")
    code, _, told = up(rig, made_up)
    assert code == 3
    assert f"GPU {made_up.names[1]}: one of rig {holder.split()[0]} (exclusive)" in told


def test_a_gpu_check_runs_in_the_workspace(make_rig: MakeRig, made_up: MadeUpGpus) -> None:
    """A made-up GPU cannot compute; that it was tried in the container, and what is said, is what can be shown."""
    name = docker("ps", "--filter=label=rigstack.project=three", '--format={{.Label "rigstack.directory"}}').split()[0]
    done = subprocess.run(
        [sys.executable, "-m", "rigstack", "--rig", name, "gpu", "check", "three"],
        capture_output=True,
        text=True,
        env={**os.environ, **made_up.env},
    )
    assert done.returncode == 3, done.stderr
    assert "three has no working GPU: no NVIDIA driver in the container: libcuda.so.1 is not there" in done.stderr


def test_a_container_sees_its_own_gpus(
    make_rig: MakeRig, stub: NvmlStub, cdi_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The stand-in for the driver's library is injected as the real one is: a mount of a CDI device."""
    token = secrets.token_hex(4)
    folder = tmp_path_factory.mktemp("inside")
    folder.chmod(0o755)
    stub.library.chmod(0o755)

    def a_device(name: str, lines: dict[str, object]) -> dict[str, object]:
        """A CDI device that brings the stand-in, and what it tells in the containers that have this device."""
        (folder / name).mkdir()
        inside = NvmlStub(stub.library, folder / name)
        inside.set(lines)
        (folder / name).chmod(0o755)
        mounts = {
            str(stub.library / "libnvidia-ml.so.1"): "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
            str(inside.scenario): "/etc/nvml-scenario",
        }
        options = {"options": ["ro", "bind"]}
        bound = [{"hostPath": here, "containerPath": there, **options} for here, there in mounts.items()]
        return {"name": name, "containerEdits": {"env": ["NVML_STUB=/etc/nvml-scenario"], "mounts": bound}}

    one = gpus(1, load=42, used=9 * GIB, compute="1:1073741824 4194303:5")
    both = a_gpu(1, load=77) | one | {"count": 2}
    names = (f"GPU-{token}-00", f"GPU-{token}-01")
    made_up = [a_device(names[0], one), a_device(names[1], a_gpu(1) | {"count": 1}), a_device("all", both)]
    spec = {"cdiVersion": "0.5.0", "kind": KIND, "devices": made_up}
    (folder / "cdi").mkdir()
    (folder / "cdi/inside.json").write_text(json.dumps(spec))
    file = Path(CDI_FOLDERS[0]) / f"rigstack-test-{token}.json"
    rig = make_rig(projects=("four", "five"))
    rig.set("cuda", '"none"')
    rig.set("history", "true")
    ask_for(rig, four=f'gpus = ["{names[0]}"]', five='gpus = "none"')
    try:
        file.write_text(json.dumps(spec))
        done = rig.run("up", env={"RIGSTACK_CDI_DIR": str(folder / "cdi")})
        assert done.returncode == 0, done.stderr
        rig.pin_host_keys()
        shown = rig.ssh("four", "rigstack-gpus")
        limits = rig.ssh("four", "ulimit -Sn; ulimit -Hn")
        bare = rig.ssh("five", "rigstack-gpus")
        dashboard = ask_jupyter(rig, "four", "/nvdashboard/accelerators/check", password_in(done.stderr))
        wait_for("samples", lambda: "most 77%" in rig.run("gpus", "--since", "5m").stdout)
        history = rig.run("gpus", "--since", "5m", "--csv").stdout
        watcher = json.loads(docker("inspect", rig.containers()["history"]))[0]
        taken = json.loads(rig.run("gpus", "--json", env=stub.env).stdout)["gpus"]
        doctored = json.loads(rig.run("doctor", "--json").stdout)["findings"]
    finally:
        file.unlink(missing_ok=True)
    lines = shown.stdout.splitlines()
    assert "NVIDIA RTX 6000 Ada  busy" in lines[1], shown
    assert "42 %  9.0 / 48.0 GiB  34 C" in lines[1]
    assert any(line.split()[:2] == ["0", "1"] and "1024 MiB" in line for line in lines)
    assert "(not of this container)" in shown.stdout
    soft, hard = (int(line) for line in limits.stdout.split())
    assert soft == min(hard, 1048576)
    assert (bare.returncode, bare.stderr.strip()) == (3, "this container has no GPU")
    assert (dashboard["has_gpu"], dashboard["ngpus"]) == (True, 1)
    loads = {line.split(",")[1]: line.split(",")[2] for line in history.splitlines()[1:]}
    assert loads == {uuid_of(0): "42", uuid_of(1): "77"}, "the second GPU is no project's"
    assert watcher["HostConfig"]["NetworkMode"] == "none"
    assert watcher["HostConfig"]["ReadonlyRootfs"] and watcher["HostConfig"]["CapDrop"] == ["ALL"]
    assert [mount["Destination"] for mount in watcher["Mounts"] if mount["RW"]] == ["/var/lib/rigstack/gpu-history"]
    assert not any("history" in one["containers"] for gpu in taken for one in gpu["given_to"])
    assert next(one for one in doctored if one["check"] == "containers")["state"] == "ok", doctored


def password_in(said: str) -> str:
    found = re.search(r"shown once\): (\S+)", said)
    assert found is not None, said
    return found.group(1)


def ask_jupyter(rig: LiveRig, project: str, path: str, password: str) -> dict[str, Any]:
    """The JSON answer of a project's JupyterLab, through the edge, to somebody who has logged in."""
    jar = str(rig.key.parent / "cookies")
    login = f"/p/{project}/login"
    rig.curl(login, "-o", "/dev/null", "-c", jar)
    token = next(line.split()[-1] for line in Path(jar).read_text().splitlines() if "_xsrf" in line)
    form = ("--data-urlencode", f"password={password}", "--data-urlencode", f"_xsrf={token}")
    rig.curl(login, "-o", "/dev/null", "-b", jar, "-c", jar, *form)
    answer = rig.curl(f"/p/{project}{path}", "-b", jar)
    shown: dict[str, Any] = json.loads(answer.stdout)
    return shown
