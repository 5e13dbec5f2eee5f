"""PyCharm and VS Code: their files, and what PyCharm's own SSH library does, done by a client like it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from rigstack.laptop.login import REVIVE
from tests.conftest import MakeRig
from tests.e2e.laptop import Laptop, connected_rig
from tests.live_rig import LiveRig, free_port, wait_for

MADE = ["sshConfigs.xml", "webServers.xml"]
SSHJ_LIKE = Path(__file__).parent / "sshj_like.py"


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig, laptop: Laptop) -> LiveRig:
    return connected_rig(make_rig, laptop)


def as_pycharm(laptop: Laptop, host: str, port: int) -> dict[str, object]:
    laptop.run("rm", "-rf", "helpers")
    done = laptop.run(
        sys.executable, str(SSHJ_LIKE), host, str(port), ".ssh/id_ed25519", ".ssh/known_hosts", timeout=120
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    print(seen)
    return seen


def holds(seen: dict[str, object]) -> None:
    assert seen["silent"]
    assert seen["uploaded"] == seen["copied"]
    assert int(str(seen["uploaded"])) > 100
    assert seen["unbuffered"] == "helper"
    assert seen["debugged"] == {"line": 3, "value": "int: 1000", "output": "total 42"}


def test_through_a_kept_forward(laptop: Laptop, rig: LiveRig) -> None:
    laptop.path("work").mkdir()
    laptop.path("work/train.py").write_text("print(1)\n")
    dry = laptop.rigstack("pycharm", "demo", "work", "--dry-run")
    assert "PublishConfigData" in dry.stdout
    assert not laptop.path("work/.idea").exists()
    done = laptop.rigstack("pycharm", "demo", "work", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["host"] == "127.0.0.1"
    assert f'port="{told["port"]}"' in laptop.path("work/.idea/sshConfigs.xml").read_text()
    again = json.loads(laptop.rigstack("pycharm", "demo", "work", "--json").stdout)
    assert (again["port"], again["files"]) == (told["port"], [])
    steps = laptop.rigstack("pycharm", "demo", "work").stdout
    assert "/home/dev/.env/bin/python" in steps
    assert "jetbrains-gateway://" in steps
    holds(as_pycharm(laptop, told["host"], told["port"]))


def test_the_forward_comes_back_after_a_cut(laptop: Laptop, rig: LiveRig) -> None:
    told = json.loads(laptop.rigstack("pycharm", "demo", "work", "--json").stdout)

    def greets() -> bool:
        keys = laptop.run("ssh-keyscan", "-T", "2", "-t", "ed25519", "-p", str(told["port"]), "127.0.0.1")
        return "ssh-ed25519" in keys.stdout

    assert greets()
    laptop.cut()
    try:
        assert not greets(), "the cut did not hurt"
        log = next(laptop.path(".ssh/rigstack/kept").glob("forward-*.log"))
        wait_for("the cut is noticed", lambda: "again in" in log.read_text(), timeout=60)
    finally:
        laptop.heal()
    healed = time.monotonic()
    wait_for("the forward is back", greets, timeout=60)
    print(f"PyCharm's forward: back {time.monotonic() - healed:.1f} s after the cut healed")


def test_the_forward_comes_back_after_a_restart_of_the_laptop(laptop: Laptop, rig: LiveRig) -> None:
    told = json.loads(laptop.rigstack("pycharm", "demo", "work", "--json").stdout)
    keys = ("ssh-keyscan", "-T", "2", "-t", "ed25519", "-p", str(told["port"]), "127.0.0.1")
    laptop.run("pkill", "-KILL", "-f", "rigstack-kept")
    laptop.run("pkill", "-KILL", "-f", "box-gateway")
    wait_for("the forward is gone", lambda: "ssh-ed25519" not in laptop.run(*keys).stdout)
    assert laptop.run(*REVIVE).returncode == 0  # what runs at login
    wait_for("the forward is back", lambda: "ssh-ed25519" in laptop.run(*keys).stdout)
    again = json.loads(laptop.rigstack("pycharm", "demo", "work", "--json").stdout)
    assert (again["port"], again["files"]) == (told["port"], [])


def test_the_forward_is_shown_and_can_be_stopped(laptop: Laptop, rig: LiveRig) -> None:
    told = json.loads(laptop.rigstack("pycharm", "demo", "work", "--json").stdout)
    (one,) = json.loads(laptop.rigstack("tunnel", "--list", "--json").stdout)["tunnels"]
    assert (one["port"], one["local"], one["for"], one["state"]) == (22, told["port"], "pycharm", "up")
    undone = laptop.rigstack("pycharm", "demo", "work", "--undo")
    assert "rigstack tunnel --stop demo 22" in undone.stderr
    assert "22 (PyCharm)" in laptop.rigstack("tunnel", "--stop", "demo", "22").stdout
    assert laptop.rigstack("tunnel", "--list").stdout == "no tunnels\n"
    assert laptop.rigstack("pycharm", "demo", "work").returncode == 0


def test_undo_puts_the_project_back(laptop: Laptop, rig: LiveRig) -> None:
    own = '<?xml version="1.0" encoding="UTF-8"?>\n<project version="4">\n</project>\n'
    laptop.path("other/.idea").mkdir(parents=True)
    laptop.path("other/.idea/deployment.xml").write_text(own)
    assert laptop.rigstack("pycharm", "demo", "other").returncode == 0
    assert "box-demo" in laptop.path("other/.idea/deployment.xml").read_text()
    undone = json.loads(laptop.rigstack("pycharm", "demo", "other", "--undo", "--json").stdout)
    assert sorted(path.rpartition("/")[2] for path in undone["files"]) == ["deployment.xml", *MADE]
    assert [path.name for path in laptop.path("other/.idea").iterdir()] == ["deployment.xml"]
    assert laptop.path("other/.idea/deployment.xml").read_text() == own
    # PyCharm wrote something of its own into it since: that is not lost.
    assert laptop.rigstack("pycharm", "demo", "other").returncode == 0
    more = laptop.path("other/.idea/deployment.xml").read_text().replace("</project>", "<!-- more --></project>")
    laptop.path("other/.idea/deployment.xml").write_text(more)
    assert "it had changed since" in laptop.rigstack("pycharm", "demo", "other", "--undo").stderr
    assert laptop.path("other/.idea/deployment.xml").read_text() == own
    assert laptop.path("other/.idea/deployment.xml.before-undo").read_text() == more
    laptop.path("fresh").mkdir()
    for words in ((), ("--undo",)):
        assert laptop.rigstack("pycharm", "demo", "fresh", *words).returncode == 0
    assert list(laptop.path("fresh").iterdir()) == []


def test_code(laptop: Laptop, rig: LiveRig) -> None:
    done = laptop.rigstack("code", "demo", "src", "--print", "--hints")
    url = "vscode://vscode-remote/ssh-remote+box-demo/code/demo/src"
    assert done.stdout == url + "\n"
    told = json.loads(laptop.rigstack("code", "demo", "src", "--print", "--json").stdout)
    assert told == {"schema": 1, "url": url, "host": "box-demo", "folder": "/code/demo/src"}
    settings = rig.code() / ".vscode/settings.json"
    assert json.loads(settings.read_text())["python.defaultInterpreterPath"] == "/home/dev/.env/bin/python"
    settings.write_text("{}")
    assert laptop.rigstack("code", "demo", "--print", "--hints").returncode == 0
    assert settings.read_text() == "{}"


def test_straight_into_a_project_s_own_port(laptop: Laptop, rig: LiveRig) -> None:
    port = free_port()
    (rig.path / "rig.toml").write_text(
        rig.toml.replace("\n[projects.demo]\n", f"\n[projects.demo]\nssh_port = {port}\n")
    )
    rig.up("--yes")  # the kept forward is a session of ours
    assert laptop.rigstack("refresh").returncode == 0
    done = laptop.rigstack("pycharm", "demo", "work", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["host"], told["port"]) == (laptop.rig_address, port)
    holds(as_pycharm(laptop, told["host"], told["port"]))


def test_disconnect_takes_the_pin_away(laptop: Laptop, rig: LiveRig) -> None:
    assert "rigstack:box-demo" in laptop.path(".ssh/known_hosts").read_text()
    assert laptop.rigstack("disconnect").returncode == 0
    assert not laptop.path(".ssh/known_hosts").exists()
    assert laptop.processes("box-gateway") == []
