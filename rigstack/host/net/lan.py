"""Looks at the interface that leads to the router: address, static or not, who configures it. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rigstack import process
from rigstack.errors import HostError
from rigstack.plan.net import Lan

Ask = Callable[..., list[dict[str, Any]]]


def ask_ip(*words: str) -> list[dict[str, Any]]:
    """What iproute2 says (ip(8), -json). Raises HostError."""
    try:
        done = process.run(("ip", "-json", *words), timeout=10)
    except FileNotFoundError:
        raise HostError("there is no `ip` on this machine", remedy="sudo apt-get install iproute2") from None
    if not done.ok:
        raise HostError(f"ip {' '.join(words)} failed", details=done.tail(3))
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


def observe_lan(bind: str, *, ask: Ask = ask_ip, root: Path = Path("/")) -> Lan:
    """The interface with the address `bind`, or that of the IPv4 default route where bind is "" or all addresses.

    ask and root stand in for the machine's own in tests. Raises HostError when there is no such interface.
    """
    routes = sorted(ask("-4", "route", "show", "default"), key=lambda one: int(one.get("metric", 0)))
    links = {str(one["ifname"]): one for one in ask("address", "show")}
    name = _holder(links, bind) if bind not in ("", "0.0.0.0", "::") else next((one["dev"] for one in routes), "")
    route = next((one for one in routes if one["dev"] == name), {})
    link = links.get(name, {})
    four = [one for one in link.get("addr_info", ()) if one["family"] == "inet"]
    wanted = (bind, route.get("prefsrc"))
    chosen = next((one for one in four if one["local"] in wanted), four[0] if four else None)
    if chosen is None:
        where = f"has the address {bind}" if bind not in ("", "0.0.0.0", "::") else "leads to a router"
        raise HostError(f"no interface of this machine {where}", remedy="ip address; ip route")
    six = [one["local"] for one in link["addr_info"] if _is_global6(one)]
    routes6 = ask("-6", "route", "show", "default", "dev", name) if six else []
    keeper, profile = _keeper(root, name, int(link["ifindex"]))
    return Lan(
        interface=name,
        address=chosen["local"],
        prefix=int(chosen["prefixlen"]),
        gateway=str(route.get("gateway", "")),
        mac=str(link.get("address", "")),
        addressing=_addressing(chosen, route, keeper, root, name),
        keeper=keeper,
        profile=profile,
        dns=_name_servers(root),
        address6=six[0] if six else "",
        gateway6=next((str(one["gateway"]) for one in routes6 if one.get("gateway")), ""),
    )


def _holder(links: dict[str, dict[str, Any]], address: str) -> str:
    for name, link in links.items():
        if any(one["local"] == address for one in link.get("addr_info", ())):
            return name
    return ""


def _is_global6(one: dict[str, Any]) -> bool:
    """2000::/3 is what is given out (RFC 4291, 2.4); temporary ones (RFC 8981) change every day."""
    if one["family"] != "inet6" or one.get("temporary") or one.get("deprecated") or one.get("tentative"):
        return False
    return one["local"][:1] in "23" and len(one["local"].split(":")[0]) == 4


def _addressing(address: dict[str, Any], route: dict[str, Any], keeper: str, root: Path, name: str) -> str:
    """Whoever got a lease tells the kernel how long it lasts, or marks the route (rtnetlink(7), RTPROT_DHCP)."""
    if address.get("dynamic") or route.get("protocol") == "dhcp":
        return "dhcp"
    if keeper == "ifupdown" and f"iface {name} inet dhcp" in _interfaces(root):
        return "dhcp"
    return "static"


def _keeper(root: Path, name: str, index: int) -> tuple[str, str]:
    """Who configures the interface, and NetworkManager's identifier of its connection."""
    managed = _fields(root / f"run/NetworkManager/devices/{index}")
    if managed.get("managed") in ("true", "full") and managed.get("connection-uuid"):
        return "NetworkManager", managed["connection-uuid"]
    state = _fields(root / f"run/systemd/netif/links/{index}")
    if state.get("ADMIN_STATE") == "configured" or state.get("NETWORK_FILE"):
        return ("netplan" if "netplan" in state.get("NETWORK_FILE", "") else "networkd"), ""
    if f"iface {name} inet" in _interfaces(root):
        return "ifupdown", ""
    return ("netplan", "") if any((root / "etc/netplan").glob("*.yaml")) else ("", "")


def _interfaces(root: Path) -> str:
    """interfaces(5) with what it sources, one blank between words."""
    files = [root / "etc/network/interfaces", *sorted((root / "etc/network/interfaces.d").glob("*"))]
    return "\n".join(" ".join(line.split()) for file in files for line in _read(file).splitlines())


def _name_servers(root: Path) -> tuple[str, ...]:
    """resolv.conf(5); behind systemd-resolved's stub the servers that it asks."""
    for file in ("run/systemd/resolve/resolv.conf", "etc/resolv.conf"):
        words = [line.split() for line in _read(root / file).splitlines()]
        found = tuple(line[1] for line in words if len(line) > 1 and line[0] == "nameserver")
        if found:
            return found
    return ()


def _fields(path: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in _read(path).splitlines() if not line.startswith("#"))
    return {key.strip(): value.strip() for key, found, value in pairs if found}


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
