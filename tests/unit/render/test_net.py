"""Texts a person pastes, and the timer's files: whole, as golden files; systemd itself reads the units where it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from builders import a_rig
from golden import assert_golden

from rigstack.plan.net import Lan, wanted_ports
from rigstack.render.net import render_by_hand, render_crontab, render_static, render_units

LAN = Lan(
    interface="enp5s0",
    address="192.168.1.10",
    prefix=24,
    gateway="192.168.1.1",
    mac="00:11:22:33:44:55",
    dns=("192.168.1.1", "9.9.9.9"),
    profile="1-2-3",
)


@pytest.mark.parametrize("keeper", ["netplan", "NetworkManager", "networkd", "ifupdown"])
def test_how_an_address_is_made_to_stay(keeper: str) -> None:
    place, text = render_static(LAN.replace(keeper=keeper))
    assert_golden(f"static-{keeper}.txt", f"{place}\n\n{text}")


def test_what_to_enter_by_hand() -> None:
    rig = a_rig('[rig]\nhostname = "rig.example.net"\n[projects.demo]\nssh_port = 2201\n')
    assert_golden("router-by-hand.txt", render_by_hand(LAN, wanted_ports(rig)))


ODD = ("/home/me/my rig/.venv/bin/python", "-m", "rigstack", "--rig", '/home/me/50% of "$HOME"', "net", "renew")


def test_units_are_what_systemd_takes(tmp_path: Path) -> None:
    units = render_units("box", ("/bin/true", *ODD[1:]), user="root")
    assert_golden("net-units.txt", "".join(f"# {name}\n{text}\n" for name, text in units.items()))
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in units]
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, timeout=60)
    assert "rigstack-net-box" not in done.stderr, done.stderr


def test_the_crontab_keeps_its_other_lines() -> None:
    before = "# mine\n0 4 * * * backup\n"
    once = render_crontab(before, "box", "python -m rigstack --rig '/50%' net renew")
    assert once.startswith(before)
    assert r"*/10 * * * * python -m rigstack --rig '/50\%' net renew > /dev/null 2>&1 # rigstack-net-box" in once
    assert render_crontab(once, "box", "python -m rigstack --rig '/50%' net renew") == once
    assert render_crontab(render_crontab(once, "other", "x"), "box", "") == render_crontab(before, "other", "x")
    assert render_crontab(once, "box", "") == before
