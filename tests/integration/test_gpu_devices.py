"""GPUs reach containers through the real engine: made-up CDI devices with a variable and a fake nvidia-smi."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigstack.host.devices import CDI_FOLDERS, KIND, RUNTIME_PROGRAMS
from tests.conftest import MakeRig
from tests.live_rig import LiveRig, docker, wait_for

SPEC = Path(CDI_FOLDERS[0]) / "rigstack-test-fake.json"
PARTS = ("demo-workspace", "demo-notebook")
CONTROL = "/dev/fuse"  # in the place of the driver's control device: one that anybody may open and that does nothing

pytestmark = [
    pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a real GPU"),
]


def fake_device(name: str, numbers: tuple[str, ...]) -> dict[str, object]:
    return {"name": name, "containerEdits": {"env": [f"FAKE_GPU_{number}=here" for number in numbers]}}


def fake_spec(fake_nvidia_smi: Path) -> str:
    """The shape of what nvidia-ctk writes: what every device needs once, and a device called all."""
    mount = {
        "hostPath": str(fake_nvidia_smi),
        "containerPath": "/usr/bin/nvidia-smi",
        "options": ["ro", "nosuid", "nodev", "bind"],
    }
    return json.dumps(
        {
            "cdiVersion": "0.5.0",
            "kind": KIND,
            "devices": [fake_device("0", ("0",)), fake_device("1", ("1",)), fake_device("all", ("0", "1"))],
            "containerEdits": {
                "env": ["NVIDIA_VISIBLE_DEVICES=void"],
                "mounts": [mount],
                "deviceNodes": [{"path": "/dev/nvidiactl", "hostPath": CONTROL}],
            },
        }
    )


@pytest.fixture(scope="module")
def fake_gpus(tmp_path_factory: pytest.TempPathFactory, cdi_folder: Path) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("fake-gpu")
    smi = folder / "fake-nvidia-smi"
    smi.write_text("#!/bin/sh\nenv | sed -n 's/^FAKE_GPU_\\(.*\\)=here$/fake GPU \\1/p' | sort\n")
    smi.chmod(0o755)
    try:
        SPEC.write_text(fake_spec(smi))
        yield
    finally:
        SPEC.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def gpu_rig(make_rig: MakeRig, fake_gpus: None) -> Iterator[LiveRig]:
    rig = make_rig()
    rig.set("cuda", '"none"')  # of [images]: half a gigabyte that no test here needs
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RIGSTACK_CDI_DIR", raising=False)
        yield rig


def ask_for(rig: LiveRig, gpus: str) -> None:
    """Sets the project's `gpus`; it has no other setting."""
    head = rig.toml.rpartition("[projects.demo]")[0]
    (rig.path / "rig.toml").write_text(f"{head}[projects.demo]\ngpus = {gpus}\n")


def has(rig: LiveRig, service: str) -> set[str]:
    """The fake GPUs that the engine has given to this service's container: its first process's variables.

    Not those of `docker exec`: the engine starts such a process without a device's edits.
    """
    environ = docker("exec", rig.containers()[service], "cat", "/proc/1/environ")
    return {pair.removesuffix("=here") for pair in environ.split("\0") if pair.endswith("=here")}


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [('"all"', ("0", "1")), ("1", ("0",)), ("2", ("0", "1")), ('["1"]', ("1",))],
)
def test_devices_reach_workspace_and_notebook(gpu_rig: LiveRig, gpus: str, expected: tuple[str, ...]) -> None:
    ask_for(gpu_rig, gpus)
    done = gpu_rig.up()
    gpu_rig.pin_host_keys()
    for service in PARTS:
        assert has(gpu_rig, service) == {f"FAKE_GPU_{number}" for number in expected}, service
        requests = json.loads(
            docker("inspect", "--format={{json .HostConfig.DeviceRequests}}", gpu_rig.containers()[service])
        )
        assert [request["Driver"] for request in requests] == ["cdi"]
    seen = gpu_rig.ssh("demo", "nvidia-smi")
    assert seen.stdout.splitlines() == [f"fake GPU {number}" for number in expected], seen.stderr
    assert gpu_rig.ssh("demo", "echo $NVIDIA_VISIBLE_DEVICES").stdout == "void\n"
    assert "no GPU" not in done.stderr


def test_a_new_image_keeps_the_devices(gpu_rig: LiveRig) -> None:
    ask_for(gpu_rig, '["1"]')
    gpu_rig.up()
    before = {part: docker("inspect", "--format={{.Config.Image}}", gpu_rig.containers()[part]) for part in PARTS}
    (gpu_rig.code() / "postBuild").write_text("#!/bin/sh\n:\n")
    gpu_rig.up("--yes")
    for part in PARTS:
        assert docker("inspect", "--format={{.Config.Image}}", gpu_rig.containers()[part]) != before[part]
        assert has(gpu_rig, part) == {"FAKE_GPU_1"}


def test_a_project_s_own_settings_ask_for_devices_and_rig_toml_wins(gpu_rig: LiveRig) -> None:
    head = gpu_rig.toml.rpartition("[projects.demo]")[0]
    (gpu_rig.path / "rig.toml").write_text(f"{head}[projects.demo]\n")
    pyproject = gpu_rig.code() / "pyproject.toml"
    pyproject.write_text('[tool.rigstack]\ngpus = ["0"]\n')
    try:
        gpu_rig.up()
        assert [has(gpu_rig, part) for part in PARTS] == [{"FAKE_GPU_0"}] * 2
        ask_for(gpu_rig, '["1"]')
        gpu_rig.up()
        assert [has(gpu_rig, part) for part in PARTS] == [{"FAKE_GPU_1"}] * 2
    finally:
        pyproject.unlink()


def a_quick_notebook(rig: LiveRig) -> str:
    """Puts a container in the place of the notebook whose health is asked often, and that runs a job; its id.

    Same image, labels and devices. The engine asks a real one every 30 s, and believes the third bad answer.
    """
    there = json.loads(docker("inspect", rig.containers()["demo-notebook"]))[0]
    labels = [f"--label={name}={value}" for name, value in there["Config"]["Labels"].items()]
    docker("rm", "--force", there["Id"])
    return docker(
        *("run", "--detach", "--network=none", "--name", there["Name"].lstrip("/"), "--user", there["Config"]["User"]),
        *("--device", f"{KIND}=0", "--health-cmd=/usr/local/lib/rigstack/health-gpu", "--health-interval=200ms"),
        *("--health-retries=1", "--entrypoint=sh", *labels),
        *(there["Config"]["Image"], "-c", "sleep 601 & wait"),
    )


def take_gpus_away(container: str) -> None:
    """What systemd does at a daemon-reload with devices that it does not know: the device rules forbid them."""
    pid = docker("inspect", "--format={{.State.Pid}}", container)
    found = re.search(r"^\d+:devices:(/.+)$", Path(f"/proc/{pid}/cgroup").read_text(), re.M)
    if found is None:
        pytest.skip("control groups v2: device rules are a program in the kernel that cannot be written to")
    numbers = Path(CONTROL).stat().st_rdev
    rule = f"c {os.major(numbers)}:{os.minor(numbers)} rwm"
    Path(f"/sys/fs/cgroup/devices{found.group(1)}/devices.deny").write_text(rule)


def test_gpus_lost_while_running_are_noticed_and_given_back(gpu_rig: LiveRig) -> None:
    ask_for(gpu_rig, '["0"]')
    gpu_rig.up("--yes")
    for part in PARTS:
        docker(
            "exec", gpu_rig.containers()[part], "sh", "-c", ": <> /dev/nvidiactl && /usr/local/lib/rigstack/health-gpu"
        )
    quick = a_quick_notebook(gpu_rig)
    wait_for("it is healthy", lambda: gpu_rig.status()["projects"][0]["notebook"]["health"] == "healthy")
    assert gpu_rig.run("up").stdout.startswith("nothing to do")

    take_gpus_away(quick)
    lost = "demo-notebook lost its GPUs: /dev/nvidiactl may not be opened any more"
    wait_for("status tells it", lambda: lost in gpu_rig.run("status").stdout)
    refused = gpu_rig.run("up")
    assert "job: sleep 601" in refused.stderr, "nobody's job ends without a yes"
    assert refused.returncode not in (0, 1)
    assert gpu_rig.containers()["demo-notebook"] == quick
    gpu_rig.up("--yes")
    healed = gpu_rig.containers()["demo-notebook"]
    assert healed != quick
    docker("exec", healed, "sh", "-c", ": <> /dev/nvidiactl")
    assert has(gpu_rig, "demo-notebook") == {"FAKE_GPU_0"}
    assert gpu_rig.run("up").stdout.startswith("nothing to do")


def test_none_means_none(gpu_rig: LiveRig) -> None:
    ask_for(gpu_rig, '"none"')
    done = gpu_rig.up()
    for service in PARTS:
        assert has(gpu_rig, service) == set()
    assert gpu_rig.ssh("demo", "nvidia-smi").returncode == 127
    assert "no GPU" not in done.stderr, "who asked for none is not told about it"


def test_a_device_that_is_not_there_is_named_before_anything_is_stopped(gpu_rig: LiveRig) -> None:
    ask_for(gpu_rig, '"all"')
    gpu_rig.up()
    before = gpu_rig.containers()
    ask_for(gpu_rig, '["0", "7"]')
    failed = gpu_rig.run("up")
    assert gpu_rig.containers() == before
    assert gpu_rig.ssh("demo", "nvidia-smi").stdout == "fake GPU 0\nfake GPU 1\n"
    assert failed.returncode == 3, failed.stderr
    assert "demo asks for GPU 7, which this machine does not have" in failed.stderr
    assert "it has: 0, 1" in failed.stderr


def test_a_device_that_the_engine_does_not_know_leaves_the_others_running(gpu_rig: LiveRig, tmp_path: Path) -> None:
    """A specification that we read and the engine does not, as after a change that it has not taken in."""
    ask_for(gpu_rig, '"all"')
    gpu_rig.up()
    before = gpu_rig.containers()
    fake = json.loads(SPEC.read_text())
    fake["devices"].append(fake_device("5", ("5",)))
    (tmp_path / "fake.json").write_text(json.dumps(fake))
    ask_for(gpu_rig, '["5"]')
    failed = gpu_rig.run("up", env={"RIGSTACK_CDI_DIR": str(tmp_path)})
    states = {name: part["state"] for name, part in gpu_rig.status().items() if name in ("edge", "gateway")}
    assert states == {"edge": "healthy", "gateway": "healthy"}
    assert {name: gpu_rig.containers()[name] for name in states} == {name: before[name] for name in states}
    assert failed.returncode == 3, failed.stderr
    assert f"{KIND}=5" in failed.stderr
    assert "sudo rigstack host setup" in failed.stderr

    ask_for(gpu_rig, '"all"')
    gpu_rig.up()
    assert gpu_rig.status()["rig"]["state"] == "running"
    assert has(gpu_rig, "demo-workspace") == {"FAKE_GPU_0", "FAKE_GPU_1"}


def test_gpu_mode_none_keeps_devices_out(gpu_rig: LiveRig) -> None:
    ask_for(gpu_rig, '"all"')
    before = gpu_rig.toml
    try:
        (gpu_rig.path / "rig.toml").write_text(before.replace("\n[gpu]\n", '\n[gpu]\nmode = "none"\n'))
        done = gpu_rig.up()
        assert has(gpu_rig, "demo-workspace") == set()
        assert "no GPU" not in done.stderr
    finally:
        (gpu_rig.path / "rig.toml").write_text(before)


def test_gpu_mode_nvidia_without_its_runtime_is_a_mistake(gpu_rig: LiveRig) -> None:
    if any(Path(program).exists() for program in RUNTIME_PROGRAMS):
        pytest.skip("the nvidia runtime is installed")
    before = gpu_rig.toml
    try:
        (gpu_rig.path / "rig.toml").write_text(before.replace("\n[gpu]\n", '\n[gpu]\nmode = "nvidia"\n'))
        failed = gpu_rig.run("up")
        assert failed.returncode == 2
        assert 'gpu.mode is "nvidia"' in failed.stderr
        assert "next:  sudo rigstack host setup" in failed.stderr
    finally:
        (gpu_rig.path / "rig.toml").write_text(before)


def test_without_a_gpu_one_clear_line_says_so(gpu_rig: LiveRig, tmp_path: Path) -> None:
    ask_for(gpu_rig, '"all"')
    nothing = {"RIGSTACK_CDI_DIR": str(tmp_path)}
    done = gpu_rig.run("up", env=nothing)
    assert done.returncode == 0, done.stderr
    assert gpu_rig.status()["edge"]["state"] == "healthy"
    assert has(gpu_rig, "demo-notebook") == set()
    lines = [line for line in done.stderr.splitlines() if "GPU" in line]
    assert lines == ["note: no GPU in the containers: this machine has no NVIDIA driver"]
