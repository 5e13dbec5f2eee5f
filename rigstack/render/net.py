"""What a person pastes to make an address stay and to open ports by hand; and the timer that renews mappings."""

from __future__ import annotations

from collections.abc import Iterable

from rigstack.plan.net import Lan, Port

RENEW_MINUTES = 10  # routers forget their mappings when they restart, as many do each night


def render_static(lan: Lan) -> tuple[str, str]:
    """(the file or command's name, its text) that keeps this very address on this very interface.

    netplan-yaml(5), nm-settings-nmcli(5), systemd.network(5), interfaces(5).
    """
    here = f"{lan.address}/{lan.prefix}"
    dns = lan.dns or ((lan.gateway,) if lan.gateway else ())
    match lan.keeper:
        case "NetworkManager":
            profile = lan.profile or lan.interface
            return "run, then: nmcli connection up " + profile, (
                f"nmcli connection modify {profile} ipv4.method manual \\\n"
                f"  ipv4.addresses {here} ipv4.gateway {lan.gateway} ipv4.dns {','.join(dns)}\n"
            )
        case "netplan":
            return "/etc/netplan/90-rigstack.yaml (mode 0600), then: sudo netplan try", (
                "network:\n  version: 2\n  ethernets:\n"
                f"    {lan.interface}:\n      dhcp4: false\n      addresses: [{here}]\n"
                f"      routes: [{{to: default, via: {lan.gateway}}}]\n"
                f"      nameservers: {{addresses: [{', '.join(dns)}]}}\n"
            )
        case "networkd":
            servers = "".join(f"DNS={one}\n" for one in dns)
            return f"/etc/systemd/network/05-{lan.interface}.network, then: sudo networkctl reload", (
                f"[Match]\nName={lan.interface}\n\n[Network]\nAddress={here}\nGateway={lan.gateway}\n{servers}"
            )
    return f"/etc/network/interfaces, in place of what it says of {lan.interface}; then restart the machine", (
        f"auto {lan.interface}\niface {lan.interface} inet static\n    address {here}\n    gateway {lan.gateway}\n"
        f"    dns-nameservers {' '.join(dns)}\n"
    )


def render_by_hand(lan: Lan, ports: Iterable[Port]) -> str:
    """What to enter in the router's own pages, with the very values."""
    lines = [
        f'In the router\'s pages (http://{lan.gateway or "ROUTER"}/, often below "port forwarding", "virtual server"',
        f'or "port sharing"), make these entries for this machine, {lan.address} ({lan.mac}):',
        "",
        f"  {'outside':>8}  {'protocol':8}  {'to':21}  for",
    ]
    for port in ports:
        to = f"{lan.address}:{port.inside}"
        lines.append(f"  {port.outside:>8}  {port.transport.upper():8}  {to:21}  {port.what}")
    lines += ["", 'Or switch on "UPnP" or "devices may open ports" there, and run rigstack net open again.']
    return "\n".join(lines)


def unit_name(rig_name: str) -> str:
    return f"rigstack-net-{rig_name}"


def render_units(rig_name: str, argv: Iterable[str], user: str = "") -> dict[str, str]:
    """file -> text of a systemd service and its timer (systemd.timer(5)); user: whom a system service runs as."""
    name, about = unit_name(rig_name), f"Description=Keeps the ports of the rig {rig_name} open in the router"
    command = " ".join(_unit_word(word) for word in argv)
    who = f"User={user}\nNoNewPrivileges=yes\n" if user else ""
    return {
        f"{name}.service": (
            f"[Unit]\n{about}\nAfter=network-online.target\n\n"
            f"[Service]\nType=oneshot\n{who}ExecStart={command}\nTimeoutStartSec=120\n"
        ),
        f"{name}.timer": (
            f"[Unit]\n{about}\n\n"
            f"[Timer]\nOnBootSec=30\nOnUnitActiveSec={RENEW_MINUTES}min\n\n[Install]\nWantedBy=timers.target\n"
        ),
    }


def _unit_word(word: str) -> str:
    """A word of ExecStart (systemd.service(5), "Command lines"): quoted, and nothing in it expanded."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"'


def render_crontab(before: str, rig_name: str, command: str) -> str:
    """The crontab with the rig's line, or without it where command is "" (crontab(5): % ends a line's command)."""
    sign = f"# {unit_name(rig_name)}"
    kept = [line for line in before.splitlines() if not line.endswith(sign)]
    if command:
        kept.append(f"*/{RENEW_MINUTES} * * * * {command.replace('%', chr(92) + '%')} > /dev/null 2>&1 {sign}")
    return "".join(f"{line}\n" for line in kept)
