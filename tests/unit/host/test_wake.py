"""Wake-on-LAN on the host: which card, who keeps the setting, what is written, and what cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rigstack.errors import HostError
from rigstack.host.network_card import observe_card, wake_card, wired_cards
from rigstack.host.wake import execute, observe_keeper
from rigstack.plan.wake import Card, Connection, File, Keeper, Nothing, Step, plan_undo, plan_wake, render_link

MAC = "00:11:22:33:44:55"
CARD = Card(interface="eno1", mac=MAC, kind="ethernet", supported=True, enabled=False)


def a_machine(root: Path, *, route: str = "eno1") -> None:
    """A machine with a wired card below a bridge, a wireless one, and a default route."""
    (root / "proc/net").mkdir(parents=True)
    header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
    (root / "proc/net/route").write_text(f"{header}{route}\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\n")
    for name, address in (("eno1", MAC), ("wlan0", "00:11:22:33:44:66"), ("br0", "00:11:22:33:44:77")):
        folder = root / "sys/class/net" / name
        folder.mkdir(parents=True)
        (folder / "address").write_text(f"{address}\n")
    (root / "sys/class/net/wlan0/wireless").mkdir()
    for name in ("eno1", "wlan0"):
        (root / f"sys/class/net/{name}/device/power").mkdir(parents=True)
        (root / f"sys/class/net/{name}/device/power/wakeup").write_text("disabled\n")
    (root / "sys/class/net/br0/lower_eno1").mkdir()


@pytest.mark.parametrize("route", ["eno1", "br0"])
def test_the_card_is_the_one_behind_the_default_route(tmp_path: Path, route: str) -> None:
    a_machine(tmp_path, route=route)
    assert wake_card(tmp_path) == "eno1"
    assert wired_cards(tmp_path) == ("eno1",)
    assert observe_card("eno1", tmp_path) == CARD.replace(supported=None)
    (tmp_path / "sys/class/net/eno1/device/power/wakeup").write_text("enabled\n")
    assert observe_card("eno1", tmp_path).enabled


def test_the_kernel_itself_is_asked() -> None:
    """The loopback of this machine: the real answer is that it cannot be woken by."""
    card = observe_card("lo")
    assert (card.kind, card.enabled) in (("virtual", False), ("virtual", None))


def test_without_a_route_or_a_card(tmp_path: Path) -> None:
    assert wake_card(tmp_path) == ""
    with pytest.raises(HostError, match="no such network card; its Ethernet cards: eno1"):
        plan_wake(observe_card("", tmp_path), Nothing(why=""), ("eno1",))


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (CARD.replace(kind="wireless"), "wireless"),
        (CARD.replace(kind="virtual"), "no hardware of this machine"),
        (CARD.replace(supported=False), "does not support Wake-on-LAN"),
    ],
)
def test_a_card_that_cannot(card: Card, words: str) -> None:
    with pytest.raises(HostError, match=words) as caught:
        plan_wake(card, Nothing(why=""), ("eno1", "eno2"))
    assert "eno2 (--interface)" in caught.value.what
    assert caught.value.remedy


def planned(keeper: Keeper, card: Card = CARD) -> list[str]:
    return [step.text() for step in plan_wake(card, keeper)]


def test_the_plan() -> None:
    wired = Connection(uuid="u-1", name="Wired 1", setting="default")
    listen = "have eno1 listen for the packet now"
    assert planned(wired) == ['set 802-3-ethernet.wake-on-lan of the connection "Wired 1" to magic', listen]
    assert planned(wired.replace(setting="magic"), CARD.replace(enabled=True)) == []
    assert planned(wired.replace(setting="phy,magic")) == [listen]
    with pytest.raises(HostError, match="says wake-on-lan = ignore"):
        planned(wired.replace(setting="ignore"))
    with pytest.raises(HostError, match="after the next start: no systemd"):
        planned(Nothing(why="no systemd"))
    file = File(path="/etc/x", text="new", present=None)
    assert planned(file) == ["write /etc/x", listen]
    assert planned(file.replace(present="old"), CARD.replace(enabled=True)) == ["write /etc/x"]
    assert planned(file.replace(present="new"), CARD.replace(enabled=True)) == []
    assert [step.text() for step in plan_undo(file.replace(present="new"))] == ["delete /etc/x"]
    assert plan_undo(file) == plan_undo(wired) == ()


def test_a_link_file_keeps_what_applied_before() -> None:
    text = render_link(MAC, "NamePolicy=keep\nWakeOnLan=off\nMTUBytes=9000\n")
    assert text.splitlines()[1:] == [
        "[Match]",
        f"PermanentMACAddress={MAC}",
        "",
        "[Link]",
        "NamePolicy=keep",
        "MTUBytes=9000",
        "WakeOnLan=magic",
    ]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cat", "sh"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def without_listening(keeper: Keeper) -> tuple[Step, ...]:
    return plan_wake(CARD.replace(enabled=True), keeper)


def test_systemd_gets_a_link_file_and_undo_takes_it_away(tmp_path: Path, programs: Path) -> None:
    root = tmp_path / "root"
    (root / "run/systemd/system").mkdir(parents=True)
    (root / "usr/lib/systemd/network").mkdir(parents=True)
    own = "[Match]\nOriginalName=*\n\n[Link]\n# names\nNamePolicy=keep slot\n\n[SR-IOV]\nMACAddress=x\n"
    (root / "usr/lib/systemd/network/99-default.link").write_text(own)
    script(programs / "udevadm", "echo ID_NET_LINK_FILE=/usr/lib/systemd/network/99-default.link")
    execute(without_listening(observe_keeper(CARD, root)), root)
    path = root / "etc/systemd/network/00-rigstack-wake.link"
    assert path.read_text() == render_link(MAC, "NamePolicy=keep slot")
    # From then on this very file is the one that applies.
    script(programs / "udevadm", "echo ID_NET_LINK_FILE=/etc/systemd/network/00-rigstack-wake.link")
    assert without_listening(observe_keeper(CARD, root)) == ()
    execute(plan_undo(observe_keeper(CARD, root)), root)
    assert not path.exists()


def test_ifupdown_gets_a_script(tmp_path: Path, programs: Path) -> None:
    root = tmp_path / "root"
    (root / "etc/network/if-up.d").mkdir(parents=True)
    assert "need ethtool" in str(observe_keeper(CARD, root))
    script(programs / "ethtool", 'echo "$@" > "$0.log"')
    execute(without_listening(observe_keeper(CARD, root)), root)
    path = root / "etc/network/if-up.d/rigstack-wake"
    assert path.stat().st_mode & 0o777 == 0o755
    for interface, ran in (("lo", False), ("eno1", True)):
        assert os.spawnve(os.P_WAIT, str(path), [str(path)], {**os.environ, "IFACE": interface}) == 0
        assert (programs / "ethtool.log").exists() == ran
    assert (programs / "ethtool.log").read_text() == "-s eno1 wol g\n"


def test_a_machine_with_nothing_to_keep_it(tmp_path: Path, programs: Path) -> None:
    assert isinstance(observe_keeper(CARD, tmp_path / "root"), Nothing)


FAKE_NETWORK_MANAGER = """\
state="$0.state"
[ -e "$state" ] || echo default > "$state"
echo "$*" >> "$0.log"
case "$*" in
    "-t -f UUID,TYPE,DEVICE connection show --active") echo u-2:802-11-wireless:wlan0; echo u-1:802-3-ethernet:eno1 ;;
    "-g connection.id,802-3-ethernet.wake-on-lan connection show u-1") echo "Wired: 1"; cat "$state" ;;
    "connection modify u-1 802-3-ethernet.wake-on-lan "*) echo "$5" > "$state" ;;
    *) exit 2 ;;
esac"""


def test_network_manager_is_told_where_it_has_the_card(tmp_path: Path, programs: Path) -> None:
    """A fake nmcli, since NetworkManager has to own the machine's network; it answers in nmcli's own words."""
    (tmp_path / "root/run/systemd/system").mkdir(parents=True)
    script(programs / "nmcli", FAKE_NETWORK_MANAGER)
    root = tmp_path / "root"
    assert observe_keeper(CARD, root) == Connection(uuid="u-1", name="Wired: 1", setting="default")
    execute(without_listening(observe_keeper(CARD, root)), root)
    assert observe_keeper(CARD, root) == Connection(uuid="u-1", name="Wired: 1", setting="magic")
    assert without_listening(observe_keeper(CARD, root)) == ()
    execute(plan_undo(observe_keeper(CARD, root)), root)
    assert (programs / "nmcli.state").read_text() == "default\n"
    assert "modify" in (programs / "nmcli.log").read_text()
    # A card that it does not have is systemd's.
    assert isinstance(observe_keeper(CARD.replace(interface="eno2"), root), File)


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
