"""What makes a network card wake the machine, now and after each start: decided here, observed and done by the host."""

from __future__ import annotations

from rigstack.errors import HostError
from rigstack.value import Value

# The firmware's own words for it, which differ by maker; what each does when it is wrong.
FIRMWARE = (
    '"Wake on LAN", "Wake on Magic Packet", "Wake on PCI-E", "PME Event Wake Up": on, or no packet wakes it',
    '"ErP", "EuP", "Deep Sleep", "S5 Maximum Power Savings": off, or the card has no power while the machine is off',
    '"AC Back", "Restore on AC Power Loss", "After Power Failure": on, for `rigstack power cycle` to start it',
)
ADDRESS = "802-3-ethernet.wake-on-lan"


class Card(Value):
    """A network card. interface: "" when there is none. mac: its address, or "".

    kind: "ethernet", "wireless", or "virtual" when no hardware of this machine is behind it.
    supported, enabled: whether it can wake the machine by a magic packet and whether it does now; None is unknown.
    """

    interface: str
    mac: str = ""
    kind: str = "virtual"
    supported: bool | None = None
    enabled: bool | None = None


class Connection(Value):
    """NetworkManager has the card: the connection's uuid and name, and its wake-on-lan as nmcli says it."""

    uuid: str
    name: str
    setting: str


class File(Value):
    """A file of ours has it listen at each start. text: what it should say; present: what it says, None without one."""

    path: str
    text: str
    present: str | None
    mode: int = 0o644


class Nothing(Value):
    """Nothing here keeps such a setting. why: in words."""

    why: str


Keeper = Connection | File | Nothing


class SetConnection(Value):
    """Changes a connection of NetworkManager."""

    uuid: str
    name: str
    value: str

    def text(self) -> str:
        return f'set {ADDRESS} of the connection "{self.name}" to {self.value}'


class WriteFile(Value):
    """Writes a file that has the card listen at each start."""

    path: str
    content: str
    mode: int

    def text(self) -> str:
        return f"write {self.path}"


class RemoveFile(Value):
    """Takes that file away."""

    path: str

    def text(self) -> str:
        return f"delete {self.path}"


class Listen(Value):
    """Makes the card listen until the next start."""

    interface: str

    def text(self) -> str:
        return f"have {self.interface} listen for the packet now"


Step = SetConnection | WriteFile | RemoveFile | Listen


def render_link(mac: str, policy: str) -> str:
    """A systemd.link(5) file for one card: what applied to it until now, and Wake-on-LAN.

    Only the first file that matches a card counts, so `policy`, the [Link] section of the one that did, goes on here:
    without it the interface would lose its name. PermanentMACAddress is the card's alone; a bridge or VLAN may share
    the present one.
    """
    lines = [line for line in policy.splitlines() if line.strip() and not line.lower().startswith("wakeonlan=")]
    return "\n".join(
        [
            "# Written by `rigstack power setup`; `rigstack power setup --undo` deletes it.",
            "[Match]",
            f"PermanentMACAddress={mac}",
            "",
            "[Link]",
            *lines,
            "WakeOnLan=magic",
            "",
        ]
    )


def render_if_up(interface: str) -> str:
    """A script for /etc/network/if-up.d (interfaces(5)), where no systemd applies .link files."""
    return f"""\
#!/bin/sh
# Written by `rigstack power setup`; `rigstack power setup --undo` deletes it.
[ "$IFACE" = {interface} ] || exit 0
ethtool -s {interface} wol g
"""


def plan_wake(card: Card, keeper: Keeper, wired: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """What is left to do for the card to wake this machine for good; () when all is so.

    wired: the machine's Ethernet cards, for the advice. Raises HostError when it cannot be, with the reason.
    """
    _check(card, wired)
    steps: list[Step] = []
    match keeper:
        case Connection(setting="default"):
            steps.append(SetConnection(uuid=keeper.uuid, name=keeper.name, value="magic"))
        case Connection() if "magic" not in keeper.setting:
            raise HostError(
                f'NetworkManager\'s connection "{keeper.name}" says wake-on-lan = {keeper.setting}',
                cause="somebody chose that; rigstack leaves it alone",
                remedy=f'nmcli connection modify {keeper.uuid} {ADDRESS} "{keeper.setting},magic", or default',
            )
        case File() if keeper.present != keeper.text:
            steps.append(WriteFile(path=keeper.path, content=keeper.text, mode=keeper.mode))
        case Nothing():
            raise HostError(
                f"nothing here would have {card.interface} listen after the next start: {keeper.why}",
                remedy=f"say at each start: ethtool -s {card.interface} wol g",
            )
    if not card.enabled:
        steps.append(Listen(interface=card.interface))
    return tuple(steps)


def plan_undo(keeper: Keeper) -> tuple[Step, ...]:
    """Takes what plan_wake had kept away; the card itself stays as it is until the next start."""
    match keeper:
        case Connection(setting="magic"):
            return (SetConnection(uuid=keeper.uuid, name=keeper.name, value="default"),)
        case File(present=str()):
            return (RemoveFile(path=keeper.path),)
    return ()


def _check(card: Card, wired: tuple[str, ...]) -> None:
    others = [one for one in wired if one != card.interface]
    another = f"; its Ethernet cards: {', '.join(others)} (--interface)" if others else ""
    if not card.interface:
        raise HostError(f"this machine has no such network card{another}", remedy="name one: --interface eno1")
    if card.kind == "wireless":
        raise HostError(
            f"{card.interface} is a wireless card, and a machine that is off hears no radio{another}",
            remedy="connect the machine by a cable, and run this again",
        )
    if card.kind == "virtual":
        raise HostError(
            f"{card.interface} is no hardware of this machine, so nothing can wake it that way{another}",
            cause="a container or a virtual machine is started by its host",
            remedy="run this on the machine itself, or name its card: --interface eno1",
        )
    if card.supported is False:
        raise HostError(
            f"{card.interface} does not support Wake-on-LAN by a magic packet{another}",
            remedy="use the card of the mainboard, or a smart plug and AC back in the BIOS: [power] plug in rig.toml",
        )
