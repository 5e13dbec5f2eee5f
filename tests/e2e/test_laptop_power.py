"""The rig's power from the laptop: a packet that a listener sees, a rig that then answers, a plug that is switched."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigstack.laptop.power import magic_packet
from tests.conftest import MakeRig
from tests.e2e.laptop import Laptop, connected_rig, office
from tests.fake_plugs import fake_plug
from tests.live_rig import LiveRig, docker, wait_for

MAC = "02:00:5e:10:20:30"


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig, laptop: Laptop) -> LiveRig:
    return connected_rig(make_rig, laptop)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Hears what is sent to the port of Wake-on-LAN, as a network card does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("", 9))
        ear.settimeout(30)
        yield ear


def test_a_sleeping_rig_is_woken(laptop: Laptop, rig: LiveRig, listener: socket.socket, tmp_path: Path) -> None:
    assert "is awake" in laptop.rigstack("wake").stdout
    # Asleep: nothing of it answers. It wakes when its card hears its address.
    rig.run("compose", "--", "stop", "gateway")
    broadcast = f"{laptop.rig_address.rpartition('.')[0]}.{int(laptop.rig_address.rpartition('.')[2]) + 2}"
    dry = laptop.rigstack("wake", "--mac", MAC, "--broadcast", broadcast, "--dry-run")
    assert f"would send a packet for {MAC}" in dry.stdout
    # From afar: a machine that is always on sends it on its own LAN.
    with office(laptop, tmp_path):
        afar = laptop.rigstack("wake", "--mac", MAC, "--via", "office", "--broadcast", "127.0.0.1", "--timeout", "0")
    assert (afar.returncode, "did not wake within" in afar.stderr) == (10, True), afar.stderr
    packet, sender = listener.recvfrom(2048)
    assert (packet, sender[0]) == (magic_packet(MAC), "127.0.0.1")
    words = ("-m", "rigstack", "wake", "--mac", MAC, "--broadcast", broadcast)
    waking = laptop.start(sys.executable, *words)
    try:
        packet, sender = listener.recvfrom(2048)
        assert packet == magic_packet(MAC)
        assert sender[0] == laptop.address
        rig.run("compose", "--", "start", "gateway")
        assert waking.wait(timeout=60) == 0
        assert waking.stdout is not None
        said = waking.stdout.read()
        assert "waiting for the rig" in said
        assert "is awake after" in said
    finally:
        waking.kill()
        rig.run("compose", "--", "start", "gateway")


def test_the_plug_of_a_running_rig_is_not_pulled(laptop: Laptop, rig: LiveRig) -> None:
    assert laptop.rigstack("power", "status").returncode == 2
    with fake_plug("shelly2", host=laptop.rig_address) as plug:
        table = f'[power]\nmac = "{MAC}"\nplug = "shelly:{plug.address}"\n'
        (rig.path / "rig.toml").write_text(rig.toml.replace("\n[power]\n", f"\n{table}"))
        rig.up()
        assert laptop.rigstack("refresh").returncode == 0
        told = json.loads(laptop.rigstack("power", "status", "--json").stdout)
        assert told["plug"] == {"kind": "shelly", "address": plug.address, "on": True}
        assert told["rig"] == {"answers": True}
        job = laptop.start("ssh", "box-demo", "exec sleep 602")
        wait_for("the job runs", lambda: laptop.run("ssh", "box-demo.direct", "pgrep -f [s]leep.602").returncode == 0)
        for words in (("off",), ("cycle",)):
            refused = laptop.rigstack("power", *words)
            assert refused.returncode == 8
            assert "without power this ends" in refused.stderr
            assert "demo: ssh session: sleep 602" in refused.stderr
        assert plug.on
        assert laptop.rigstack("power", "off", "--force", "--dry-run").returncode == 0
        assert plug.on
        assert laptop.rigstack("power", "off", "--force").returncode == 0
        assert not plug.on
        assert laptop.rigstack("power", "on").returncode == 0
        laptop.run("ssh", "box-demo.direct", "pkill -f [s]leep.602")
        job.wait(timeout=20)
        notebook = rig.containers()["demo-notebook"]
        look = ("exec", notebook, "/usr/local/lib/rigstack/health-notebook")  # as the engine does every 30 s
        kernel = "import jupyter_client.manager as m, time; m.start_new_kernel(kernel_name='project'); time.sleep(603)"
        python = ("setsid", "-f", "/opt/jupyter/bin/python", "-c", kernel)
        docker("exec", "-d", "-e", "JPY_SESSION_NAME=/code/demo/train.ipynb", notebook, *python)
        wait_for("a kernel", lambda: "ipykernel" in docker("top", notebook, "-eo", "pid,args"))
        docker(*look)
        refused = laptop.rigstack("power", "off")
        assert refused.returncode == 8, refused.stderr
        assert "demo: kernel: /code/demo/train.ipynb" in refused.stderr
        docker("exec", notebook, "sh", "-c", "pkill -f '[s]leep.603'; pkill -f ipykerne[l]")
        docker(*look)
        idle = laptop.rigstack("power", "off")
        assert idle.returncode == 0, idle.stderr
        assert "is running and idle" in idle.stderr
        assert not plug.on
        assert laptop.rigstack("power", "on").returncode == 0
        assert plug.on
        rig.run("compose", "--", "stop", "gateway")
        try:
            done = laptop.rigstack("power", "cycle")
        finally:
            rig.run("compose", "--", "start", "gateway")
        assert done.returncode == 0, done.stderr
        assert plug.on
        assert [one for one in plug.asked if "Switch.Set" in one][-2:] == [
            "/rpc/Switch.Set?id=0&on=false",
            "/rpc/Switch.Set?id=0&on=true",
        ]
    wait_for("the rig answers", lambda: laptop.run("ssh", "box-gateway").returncode == 0)
    assert f"would send a packet for {MAC}" in laptop.rigstack("wake", "--dry-run").stdout
