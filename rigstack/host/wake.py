"""Who keeps a network card's Wake-on-LAN here, and the steps that set it, carried out."""

from __future__ import annotations

import shutil
from pathlib import Path

from rigstack import process
from rigstack.errors import HostError
from rigstack.host.network_card import enable_wake
from rigstack.plan.wake import (
    ADDRESS,
    Card,
    Connection,
    File,
    Keeper,
    Listen,
    Nothing,
    RemoveFile,
    SetConnection,
    Step,
    WriteFile,
    render_if_up,
    render_link,
)

# What systemd's own 99-default.link says, for a machine whose udev does not tell which file applied.
DEFAULT_POLICY = """\
NamePolicy=keep kernel database onboard slot path
AlternativeNamesPolicy=database onboard slot path
MACAddressPolicy=persistent
"""


def observe_keeper(card: Card, root: Path = Path("/")) -> Keeper:
    """NetworkManager where it has the card; else systemd's .link files; else ifupdown's scripts."""
    if connection := _connection(card.interface):
        return connection
    if (root / "run/systemd/system").is_dir():  # sd_booted(3)
        return _file(
            root / "etc/systemd/network/00-rigstack-wake.link", root, render_link(card.mac, _policy(card, root))
        )
    if (root / "etc/network/if-up.d").is_dir():
        if not shutil.which("ethtool"):
            return Nothing(why="its scripts need ethtool, which is not installed (apt-get install ethtool)")
        return _file(root / "etc/network/if-up.d/rigstack-wake", root, render_if_up(card.interface), mode=0o755)
    return Nothing(why="there is no NetworkManager, no systemd and no ifupdown")


def execute(steps: tuple[Step, ...], root: Path = Path("/")) -> None:
    """Does each step. Raises HostError."""
    for step in steps:
        try:
            _do(step, root)
        except PermissionError:
            raise HostError(f"may not {step.text()}", remedy="run it as root: sudo rigstack power setup") from None
        except OSError as failed:
            raise HostError(f"could not {step.text()}: {failed.strerror}", remedy="see the reason above") from None


def _do(step: Step, root: Path) -> None:
    match step:
        case SetConnection():
            done = process.run(("nmcli", "connection", "modify", step.uuid, ADDRESS, step.value), timeout=30)
            if not done.ok:
                raise HostError(
                    f"could not {step.text()}",
                    details=done.tail(3),
                    remedy="run it as root: sudo rigstack power setup",
                )
        case WriteFile():
            path = root / step.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_text(step.content)
            fresh.chmod(step.mode)
            fresh.rename(path)
        case RemoveFile():
            (root / step.path.lstrip("/")).unlink(missing_ok=True)
        case Listen():
            enable_wake(step.interface)


def _connection(interface: str) -> Connection | None:
    """NetworkManager's active connection of the card (nmcli(1), --terse), or None when it does not have the card."""
    if not shutil.which("nmcli"):
        return None
    listed = process.run(("nmcli", "-t", "-f", "UUID,TYPE,DEVICE", "connection", "show", "--active"), timeout=15)
    for line in listed.stdout.splitlines() if listed.ok else ():
        uuid, _, rest = line.partition(":")
        if rest == f"802-3-ethernet:{interface}":
            shown = process.run(("nmcli", "-g", f"connection.id,{ADDRESS}", "connection", "show", uuid), timeout=15)
            name, _, setting = shown.stdout.strip().partition("\n")
            return Connection(uuid=uuid, name=name, setting=setting or "default") if shown.ok else None
    return None


def _policy(card: Card, root: Path) -> str:
    """The [Link] section of the .link file that applied to the card when it came up."""
    if not shutil.which("udevadm"):
        return DEFAULT_POLICY
    device = f"/sys/class/net/{card.interface}"
    told = process.run(("udevadm", "info", "--query=property", f"--path={device}"), timeout=15).stdout
    path = next((line.partition("=")[2] for line in told.splitlines() if line.startswith("ID_NET_LINK_FILE=")), "")
    try:
        text = (root / path.lstrip("/")).read_text() if path else ""
    except OSError:
        text = ""
    section, _, _ = text.partition("[Link]")[2].partition("\n[")
    lines = [line for line in section.splitlines() if "=" in line and not line.startswith(("#", ";"))]
    return "\n".join(lines) or DEFAULT_POLICY


def _file(path: Path, root: Path, text: str, *, mode: int = 0o644) -> File:
    present = path.read_text() if path.exists() else None
    return File(path="/" + str(path.relative_to(root)), text=text, present=present, mode=mode)
