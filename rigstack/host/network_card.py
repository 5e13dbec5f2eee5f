"""The network card that can wake this machine: which one it is, its address, and whether it listens for the packet."""

from __future__ import annotations

import os
from pathlib import Path

from rigstack.plan.wake import Card

# linux/sockios.h, linux/ethtool.h
_SIOCETHTOOL = 0x8946
_GET_WAKE, _SET_WAKE = 5, 6
_MAGIC = 1 << 5


def default_interface(root: Path = Path("/")) -> str:
    """The interface of the IPv4 default route, or "" (proc_pid_net(5))."""
    try:
        rows = [line.split() for line in (root / "proc/net/route").read_text().splitlines()[1:]]
    except OSError:
        return ""
    return next((row[0] for row in rows if row[1] == "00000000" and row[7] == "00000000"), "")


def card_of(interface: str, root: Path = Path("/")) -> str:
    """The card behind an interface: below a bridge, a bond or a VLAN the first one; else the interface itself."""
    folder = root / "sys/class/net" / interface
    if not (folder / "device").exists():
        for lower in sorted(folder.glob("lower_*")):
            below = card_of(lower.name.removeprefix("lower_"), root)
            if (root / "sys/class/net" / below / "device").exists():
                return below
    return interface


def wired_cards(root: Path = Path("/")) -> tuple[str, ...]:
    """The interfaces of this machine's own Ethernet cards."""
    found = sorted(path.name for path in (root / "sys/class/net").glob("*"))
    return tuple(one for one in found if _kind(root / "sys/class/net" / one) == "ethernet")


def mac_of(interface: str, root: Path = Path("/")) -> str:
    """The interface's address, or ""."""
    try:
        text = (root / "sys/class/net" / interface / "address").read_text().strip()
    except OSError:
        return ""
    return text if len(text) == 17 and text != "00:00:00:00:00:00" else ""


def wake_card(root: Path = Path("/")) -> str:
    """The interface of the card with the default route, or "": the one that a packet reaches."""
    interface = default_interface(root)
    return card_of(interface, root) if interface else ""


def observe_card(interface: str, root: Path = Path("/")) -> Card:
    """What is known of a card. The kernel tells all of it to root only; others see whether it may wake the machine."""
    folder = root / "sys/class/net" / interface
    if not interface or not folder.exists():
        return Card(interface="")
    card = Card(interface=interface, mac=mac_of(interface, root), kind=_kind(folder))
    try:
        supported, options = _wake_options(interface) if root == Path("/") else (None, None)
    except OSError as refused:
        import errno

        supported, options = (0, 0) if refused.errno in (errno.EOPNOTSUPP, errno.EINVAL) else (None, None)
    if supported is not None and options is not None:
        return card.replace(supported=bool(supported & _MAGIC), enabled=bool(options & _MAGIC))
    try:
        return card.replace(enabled=(folder / "device/power/wakeup").read_text().strip() == "enabled")
    except OSError:
        return card


def enable_wake(interface: str) -> None:
    """Makes the card listen for the packet until the next start. Raises OSError."""
    _, options = _wake_options(interface)
    _ethtool(interface, _SET_WAKE, options | _MAGIC)


def _kind(folder: Path) -> str:
    if not (folder / "device").exists():
        return "virtual"
    return "wireless" if (folder / "wireless").exists() or (folder / "phy80211").exists() else "ethernet"


def _wake_options(interface: str) -> tuple[int, int]:
    """What the card can be woken by, and is woken by now (ethtool(8), "wol"). Raises OSError."""
    return _ethtool(interface, _GET_WAKE, 0)


def _ethtool(interface: str, command: int, options: int) -> tuple[int, int]:
    import array
    import fcntl
    import socket
    import struct

    # struct ethtool_wolinfo: cmd, supported, wolopts, sopass[6]
    told = array.array("B", struct.pack("=III6s2x", command, 0, options, b""))
    request = struct.pack("16sP16x", os.fsencode(interface)[:15], told.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        fcntl.ioctl(door, _SIOCETHTOOL, request)
    _, supported, now, _ = struct.unpack("=III6s2x", told.tobytes())
    return supported, now
