"""What `rigstack net status` shows, as JSON and as a page, and what `rigstack net open --dry-run` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rigstack.cli import console
from rigstack.plan.ddns import iso
from rigstack.plan.net import wanted_ports
from rigstack.render.net import RENEW_MINUTES, render_by_hand, render_static

if TYPE_CHECKING:
    from rigstack.cli.net import Seen

_STYLES = {"open": "green", "taken": "red", "closed": "yellow", "unknown": "dim"}


def document(seen: Seen, states: dict[str, dict[str, Any]], hairpin: str) -> dict[str, Any]:
    """The `--json` object (docs/guides/anywhere.md)."""
    lan = seen.lan
    return {
        "lan": {**lan.__dict__, "dns": list(lan.dns)},
        "router": {
            "name": seen.router.name,
            "speaks": [one.how for one in seen.router.maps],
            "speaks_ipv6": [one.how for one in seen.router.holes],
            "address": seen.router.address,
        },
        "outside": {"address": seen.outside, "address6": seen.outside6},
        "verdict": {"kind": seen.wan.kind, "words": seen.wan.words, "ways": list(seen.wan.ways)},
        "hairpin": hairpin or "unknown",
        "ports": [
            {
                "outside": port.outside,
                "inside": port.inside,
                "transport": port.transport,
                "what": port.what,
                **{**states[str(port)], "until": iso(states[str(port)]["until"])},
            }
            for port in wanted_ports(seen.rig)
        ],
        "opened": seen.record is not None,
    }


def page(seen: Seen, states: dict[str, dict[str, Any]], hairpin: str) -> str:
    """The same for a person, with what to do next."""
    lan, router = seen.lan, seen.router
    stays = {"dhcp": "by DHCP: it may change", "static": "static"}[lan.addressing]
    speaks = ", ".join(one.how for one in router.maps) or "none of UPnP IGD, PCP, NAT-PMP"
    name = f" ({router.name})" if router.name else ""
    rows = [
        ["LAN", f"{lan.address}/{lan.prefix} on {lan.interface}, {stays}"],
        ["router", f"{lan.gateway or 'none'}{name}, speaks {speaks}"],
        ["public address", f"{seen.outside or 'nobody outside answers'}   {seen.wan.kind}: {seen.wan.words}"],
    ]
    if lan.address6:
        six = ", ".join(one.how for one in router.holes) or "no protocol that opens its firewall"
        rows.append(["IPv6", f"{lan.address6}; the router speaks {six}"])
    if hairpin:
        inside = "the public name works from the LAN too" if hairpin == "yes" else _NO_HAIRPIN
        rows.append(["hairpin", f"{hairpin}: {inside}"])
    ports = [
        [str(port), f"{port.inside}", port.what, console.paint(state["state"], _STYLES[state["state"]]), _ends(state)]
        for port in wanted_ports(seen.rig)
        if (state := states[str(port)])
    ]
    parts = [
        console.table(("NETWORK", seen.rig.hostname or "no public name"), rows),
        console.table(("PORT", "HERE", "FOR", "STATE", ""), ports),
        *_next_steps(seen, states),
    ]
    return "\n\n".join(parts)


_NO_HAIRPIN = "from the LAN use the LAN name or address; for a browser there, the router's DNS may map the name"


def _ends(state: dict[str, Any]) -> str:
    if state["state"] == "taken":
        return f"leads to {state['to']}"
    until = f" until {iso(state['until'])}" if state["until"] else ""
    six = ", and IPv6" if state["ipv6"] else ""
    return f"{state['how']}{until}{six}" if state["state"] == "open" else ""


def _next_steps(seen: Seen, states: dict[str, dict[str, Any]]) -> list[str]:
    steps = []
    if seen.wan.ways:
        steps.append(
            "\n".join(
                (f"Mapping ports will not do ({seen.wan.kind}). Ways out:", *(f"- {one}" for one in seen.wan.ways))
            )
        )
    elif not seen.router.maps and seen.wan.kind != "direct":
        steps.append(render_by_hand(seen.lan, wanted_ports(seen.rig)))
    elif any(state["state"] == "closed" for state in states.values()) and seen.wan.kind != "direct":
        steps.append("To open them: rigstack net open")
    if seen.lan.addressing == "dhcp":
        place, text = render_static(seen.lan)
        steps.append(
            f"To keep {seen.lan.address}: reserve it for {seen.lan.mac} in the router's DHCP pages; or, outside of its "
            f"DHCP range, make it static: {place}\n\n{text.rstrip()}"
        )
    return steps


def plan_lines(seen: Seen, renewer: str) -> list[str]:
    """What `net open` would ask for."""
    lines = []
    for port in wanted_ports(seen.rig):
        if seen.router.maps:
            how = seen.router.maps[0].how
            lines.append(f"would open {port} -> {seen.lan.address}:{port.inside}  {port.what}  ({how})")
        if seen.router.holes and port.outside == port.inside:
            how = seen.router.holes[0].how
            lines.append(f"would open [{seen.lan.address6}]:{port}  {port.what}  ({how}, IPv6 firewall)")
    lines.append(
        f"would renew every {RENEW_MINUTES} minutes by {renewer}" if renewer else "nothing here could renew them"
    )
    return lines
