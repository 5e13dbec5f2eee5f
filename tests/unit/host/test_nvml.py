"""`rigstack gpus` end to end: the real nvidia-ml-py over a compiled stand-in for NVIDIA's library."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine, fake_engine

from rigstack import process
from tests.nvml_stub import GIB, NvmlStub, a_gpu, build, gpus, uuid_of


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def stub(library: Path, tmp_path: Path) -> NvmlStub:
    return NvmlStub(library, tmp_path)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with fake_engine(tmp_path, {"/containers/json": []}) as engine:
        engine.asked.append("(not every test gets as far as asking)")
        yield engine


def rigstack(stub: NvmlStub | None, engine: FakeEngine, *words: str) -> process.Completed:
    env = {"DOCKER_HOST": engine.url, **(stub.env if stub else {})}
    return process.run((sys.executable, "-m", "rigstack", "gpus", *words), env=env)


def document(stub: NvmlStub, engine: FakeEngine) -> dict[str, Any]:
    done = rigstack(stub, engine, "--json")
    assert done.stderr == ""
    shown: dict[str, Any] = json.loads(done.stdout)
    assert "nvmlInitWithFlags" in stub.calls
    return shown


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a driver here")
def test_no_driver_is_one_line(engine: FakeEngine) -> None:
    done = rigstack(None, engine)
    assert (done.status, done.stdout, done.stderr) == (0, "this machine has no NVIDIA driver\n", "")
    shown = json.loads(rigstack(None, engine, "--json").stdout)
    assert (shown["schema"], shown["state"], shown["gpus"]) == (1, "none", [])


def test_a_driver_without_gpus(stub: NvmlStub, engine: FakeEngine) -> None:
    stub.set({"count": 0})
    assert rigstack(stub, engine).stdout == "the NVIDIA driver sees no GPU\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (18, "the NVIDIA driver in the kernel and its libraries are of different versions\n  next: reboot"),
        (4, "this user may not ask the NVIDIA driver\n  next: run with sudo"),
        (9, "the NVIDIA driver is installed and not loaded\n  next: sudo modprobe nvidia"),
        (999, "the NVIDIA driver does not answer\n  next: see"),
        (77, "the NVIDIA driver does not answer: "),
    ],
)
def test_a_broken_driver_is_one_line_and_exit_3(stub: NvmlStub, engine: FakeEngine, code: int, words: str) -> None:
    stub.set({"error.nvmlInitWithFlags": code, **gpus(1)})
    done = rigstack(stub, engine)
    assert done.stdout.startswith(words)
    assert (done.status, done.stderr, len(done.stdout.splitlines())) == (3, "", 2)


@pytest.mark.parametrize("count", [1, 4, 8])
def test_idle_gpus_are_free(stub: NvmlStub, engine: FakeEngine, count: int) -> None:
    stub.set(gpus(count))
    shown = document(stub, engine)
    assert (shown["state"], shown["driver"], shown["cuda"]) == ("ok", "580.65.06", "13.0")
    assert [gpu["free"] for gpu in shown["gpus"]] == [True] * count
    assert [gpu["uuid"] for gpu in shown["gpus"]] == [uuid_of(index) for index in range(count)]
    first = shown["gpus"][0]
    assert first["memory"] == {"total": 48 * GIB, "used": 300 * 1024**2, "free": 48 * GIB - 300 * 1024**2}
    assert (first["temperature"], first["power"]) == (34, {"used": 21.5, "limit": 300.0})
    assert first["problems"] == []
    page = rigstack(stub, engine).stdout
    assert page.startswith(f"free: {', '.join(map(str, range(count)))}   driver 580.65.06, CUDA up to 13.0\n")
    assert "0.3 / 48.0 GiB" in page and "22 / 300 W" in page


def test_processes_are_told_apart(stub: NvmlStub, engine: FakeEngine) -> None:
    """This test's own process is no container's; pid 4194303 ended meanwhile; pid 0 and 2^31 are nonsense."""
    me = os.getpid()
    compute = f"{me}:{3 * GIB} 4194303:1024 0:5 2147483648:5"
    stub.set(gpus(2) | a_gpu(0, used=20 * GIB, load=97, compute=compute, graphics=f"{me}:7"))
    shown = document(stub, engine)
    user = pwd.getpwuid(os.getuid()).pw_name
    mine, gone = shown["gpus"][0]["processes"]
    assert (mine["pid"], mine["kind"], mine["memory"]) == (me, "compute", 3 * GIB)
    assert gone["pid"] == 4194303 and gone["holder"] == "unknown"
    assert [gpu["state"] for gpu in shown["gpus"]] == ["busy", "free"]
    if mine["holder"] == "user":  # the tests themselves may run in a container
        assert (mine["user"], mine["who"]) == (user, f"user {user}")
        assert mine["program"] == Path(f"/proc/{me}/comm").read_text().strip()
    page = rigstack(stub, engine).stdout
    assert page.startswith("free: 1 ")
    assert str(me) in page and "3072 MiB" in page


def test_a_process_without_a_figure_makes_a_gpu_busy(stub: NvmlStub, engine: FakeEngine) -> None:
    stub.set(gpus(1, compute=str(os.getpid())))
    gpu = document(stub, engine)["gpus"][0]
    assert (gpu["state"], gpu["processes"][0]["memory"]) == ("busy", None)


def test_nonsense_is_unknown(stub: NvmlStub, engine: FakeEngine) -> None:
    nonsense = dict.fromkeys(("load", "temperature", "power", "power_limit"), 4294967295)
    stub.set(gpus(1, used=60 * GIB, name="RTX \x1b[31m", compute=f"{os.getpid()}:{2**63}", **nonsense))
    gpu = document(stub, engine)["gpus"][0]
    assert gpu["memory"] == {"total": None, "used": None, "free": None}
    assert (gpu["load"], gpu["temperature"], gpu["power"]) == (None, None, {"used": None, "limit": None})
    assert gpu["name"] == "RTX [31m"
    assert gpu["processes"][0]["memory"] is None
    assert rigstack(stub, engine).status == 0


def test_a_gpu_that_tells_nothing_is_unknown(stub: NvmlStub, engine: FakeEngine) -> None:
    stub.set({"count": 1})
    gpu = document(stub, engine)["gpus"][0]
    assert (gpu["state"], gpu["free"], gpu["uuid"], gpu["problems"]) == ("unknown", False, "", [])
    assert rigstack(stub, engine).stdout.startswith("no GPU is free ")


def test_a_fallen_gpu_leaves_the_others(stub: NvmlStub, engine: FakeEngine) -> None:
    stub.set({**gpus(3), "1.error.nvmlDeviceGetHandleByIndex_v2": 15, "2.error.nvmlDeviceGetUtilizationRates": 15})
    done = rigstack(stub, engine)
    assert [gpu["state"] for gpu in document(stub, engine)["gpus"]] == ["free", "lost", "lost"]
    assert done.stdout.startswith("free: 0 ")
    assert "! GPU 1: it has fallen off the bus: reboot" in done.stdout
    assert done.stdout.count("fallen off the bus") == 2


def test_errors_midway_are_told_and_the_rest_is_shown(stub: NvmlStub, engine: FakeEngine) -> None:
    stub.set(
        {
            **gpus(1),
            "error.nvmlDeviceGetTemperature": 999,
            "error.nvmlDeviceGetTemperatureV": 999,
            "error.nvmlDeviceGetComputeRunningProcesses_v3": 4,
            "error.nvmlDeviceGetPowerUsage": 10,
        }
    )
    gpu = document(stub, engine)["gpus"][0]
    assert gpu["temperature"] is None and gpu["memory"]["used"]
    assert gpu["problems"] == [
        "processes: this user may not see that; run with sudo",
        "temperature cannot be read: Unknown Error",
        "power cannot be read: Timeout",
    ]


def test_the_driver_goes_away_between_two_questions(stub: NvmlStub, engine: FakeEngine) -> None:
    stub.set({**gpus(1), "error.nvmlDeviceGetCount_v2": 999})
    done = rigstack(stub, engine)
    assert (done.status, done.stderr) == (3, "")
    assert done.stdout.startswith("the NVIDIA driver stopped answering: Unknown Error\n")


def test_what_is_wrong_with_a_gpu(stub: NvmlStub, engine: FakeEngine) -> None:
    stub.set(gpus(1, ecc=2, rows_pending=1, slowdown=0x40 | 0x04))
    assert document(stub, engine)["gpus"][0]["problems"] == [
        "2 uncorrected memory errors since boot",
        "a bad memory row is replaced at the next reboot",
        "slowed down by the hardware: too hot",
    ]


def test_mig_instances_take_the_place_of_their_gpu(stub: NvmlStub, engine: FakeEngine) -> None:
    me = os.getpid()
    instance = {"uuid": "MIG-aaaa", "name": "H100 MIG 1g.10gb", "total": 10 * GIB, "used": 100}
    busy = {"uuid": "MIG-bbbb", "name": "H100 MIG 2g.20gb", "total": 20 * GIB, "used": 9 * GIB, "compute": f"{me}:9"}
    stub.set(
        {
            **gpus(2),
            **a_gpu(0, name="H100", mig=2, load=None, compute=f"{me}:9"),
            **{f"0:0.{key}": value for key, value in instance.items()},
            **{f"0:1.{key}": value for key, value in busy.items()},
        }
    )
    shown = document(stub, engine)
    gpu = shown["gpus"][0]
    assert (gpu["state"], gpu["split"]) == ("split", True)
    assert [(one["device"], one["uuid"], one["state"]) for one in gpu["instances"]] == [
        ("0:0", "MIG-aaaa", "free"),
        ("0:1", "MIG-bbbb", "busy"),
    ]
    page = rigstack(stub, engine).stdout
    assert page.startswith("free: 0:0, 1 ")
    assert page.count(f"  {me}  ") == 1


def test_mig_without_instances(stub: NvmlStub, engine: FakeEngine) -> None:
    stub.set(gpus(1, mig=0))
    assert document(stub, engine)["gpus"][0]["problems"] == ["MIG is on and no instance was made: nothing can use it"]


def test_mixed_models_and_neighbours(stub: NvmlStub, engine: FakeEngine) -> None:
    lines = gpus(4)
    for one, other in ((0, 1), (1, 0)):
        lines |= {f"{one}.link.{link}": f"00000000:{other + 1:02X}:00.0" for link in range(4)}
    lines |= {f"{one}.near.{other}": 50 for one in range(4) for other in range(one + 1, 4)}
    stub.set(lines | a_gpu(3, name="NVIDIA T400") | {"2.near.3": 10})
    shown = document(stub, engine)["gpus"]
    assert [gpu["name"] for gpu in shown] == ["NVIDIA RTX 6000 Ada"] * 3 + ["NVIDIA T400"]
    assert shown[0]["neighbours"][0] == {"gpu": "1", "nvlinks": 4, "path": "system"}
    assert shown[3]["neighbours"][2] == {"gpu": "2", "nvlinks": 0, "path": "switch"}


def test_an_older_driver_lacks_functions(tmp_path: Path, engine: FakeEngine) -> None:
    without = (
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetNvLinkState",
        "nvmlDeviceGetTopologyCommonAncestor",
    )
    stub = NvmlStub(build(tmp_path / "old", without=without), tmp_path)
    stub.set(gpus(2, compute=f"{os.getpid()}:5", slowdown=0x20))
    gpu = document(stub, engine)["gpus"][0]
    assert gpu["memory"]["total"] == 48 * GIB
    assert gpu["processes"][0]["pid"] == os.getpid()
    assert gpu["problems"] == ["slowed down by the driver: too hot"]
    assert "nvmlDeviceGetMigMode" not in stub.calls


def test_a_newer_driver_lacks_functions_too(tmp_path: Path, engine: FakeEngine) -> None:
    """What nvml.h calls deprecated, and what it already replaced."""
    gone = (
        *("nvmlDeviceGetTemperature", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetCurrentClocksThrottleReasons"),
        "nvmlDeviceGetComputeRunningProcesses_v2",
    )
    stub = NvmlStub(build(tmp_path / "new", without=gone), tmp_path)
    stub.set(gpus(1, compute=f"{os.getpid()}:5", slowdown=0x20, temperature=61), driver="700.1", cuda=14000)
    gpu = document(stub, engine)["gpus"][0]
    assert (gpu["temperature"], gpu["memory"]["total"]) == (61, 48 * GIB)
    assert gpu["processes"][0]["pid"] == os.getpid()
    assert gpu["problems"] == ["slowed down by the driver: too hot"]


def test_memory_that_is_the_machine_s_own_is_not_told(stub: NvmlStub, engine: FakeEngine) -> None:
    """GB10: memory, power limit and ECC are "not supported", and processes come with what they use."""
    nothing = dict.fromkeys(("total", "used", "power_limit", "ecc", "rows_pending"))
    stub.set(gpus(1, name="NVIDIA GB10", **nothing) | {"0.error.nvmlDeviceGetMemoryInfo_v2": 3})
    gpu = document(stub, engine)["gpus"][0]
    assert (gpu["state"], gpu["memory"], gpu["problems"]) == ("free", dict.fromkeys(gpu["memory"]), [])
    assert "22 / ? W" in rigstack(stub, engine).stdout
    stub.set(gpus(1, name="NVIDIA GB10", load=96, compute=f"{os.getpid()}:{9 * GIB}", **nothing))
    gpu = document(stub, engine)["gpus"][0]
    assert (gpu["state"], gpu["processes"][0]["memory"]) == ("busy", 9 * GIB)


def test_one_gpu_that_this_user_may_not_use(stub: NvmlStub, engine: FakeEngine) -> None:
    stub.set({**gpus(2), "0.error.nvmlDeviceGetHandleByIndex_v2": 4})
    shown = document(stub, engine)["gpus"]
    assert [(gpu["state"], gpu["problems"]) for gpu in shown] == [("lost", ["this user may not use it"]), ("free", [])]


def test_a_library_that_is_none_of_nvidia_s(tmp_path: Path, engine: FakeEngine) -> None:
    stub = NvmlStub(build(tmp_path / "odd", without=("nvmlInitWithFlags",)), tmp_path)
    stub.set(gpus(1))
    done = rigstack(stub, engine)
    assert (done.status, done.stderr) == (3, "")
    assert done.stdout.startswith("the NVIDIA driver does not answer: Function Not Found\n")


def test_what_containers_were_given(stub: NvmlStub, tmp_path: Path) -> None:
    def a_container(project: str, role: str, **labels: str) -> dict[str, object]:
        ours = {"rigstack.rig": "box", "rigstack.project": project, "rigstack.role": role}
        return {"Id": f"{project}{role}", "Names": [f"/{project}-{role}"], "State": "running", "Labels": ours | labels}

    exclusive = {"rigstack.gpus": uuid_of(1), "rigstack.gpu_sharing": "exclusive"}
    containers = [
        a_container("demo", "workspace", **{"rigstack.gpus": "0"}),
        a_container("demo", "notebook", **{"rigstack.gpus": "0"}),
        a_container("cifar", "workspace", **exclusive),
        a_container("cpu", "workspace"),
        {"Id": "x", "Names": ["/other"], "State": "running", "Labels": None},
    ]
    stub.set(gpus(3))
    with fake_engine(tmp_path, {"/containers/json": containers}) as engine:
        shown = document(stub, engine)["gpus"]
        page = rigstack(stub, engine).stdout
    assert [gpu["given_to"] for gpu in shown] == [
        [{"rig": "box", "project": "demo", "sharing": "shared", "containers": ["workspace", "notebook"]}],
        [{"rig": "box", "project": "cifar", "sharing": "exclusive", "containers": ["workspace"]}],
        [],
    ]
    assert "cifar (exclusive)" in page


def test_without_an_engine_the_gpus_are_shown_all_the_same(stub: NvmlStub, tmp_path: Path) -> None:
    stub.set(gpus(1, compute=f"{os.getpid()}:5"))
    env = {**stub.env, "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    done = process.run((sys.executable, "-m", "rigstack", "gpus"), env=env)
    assert (done.status, done.stderr) == (0, "")
    assert str(os.getpid()) in done.stdout
    assert "! containers cannot be told apart: no engine answers at" in done.stdout


def test_watching_looks_again(stub: NvmlStub, engine: FakeEngine) -> None:
    import subprocess

    stub.set(gpus(1))
    words = [sys.executable, "-m", "rigstack", "gpus", "--watch", "--interval=0.1"]
    env = {**os.environ, **stub.env, "DOCKER_HOST": engine.url}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env) as child:
        assert child.stdout is not None
        seen = [child.stdout.readline()]
        stub.set(gpus(1, load=50))
        while not seen[-1].startswith("no GPU is free"):
            seen.append(child.stdout.readline())
            assert seen[-1], seen
        child.terminate()
    assert seen[0].startswith("free: 0 ")
