"""`rigstack net`: the LAN, the router and the world beyond it; opens the rig's ports there and closes them again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rigstack.cli import console
from rigstack.cli.rig import rig_of
from rigstack.errors import HostError
from rigstack.plan.net import (
    LEASE,
    LONG_LEASE,
    Opened,
    Port,
    Record,
    Wan,
    judge_wan,
    wanted_ports,
    wants_pinholes,
)
from rigstack.value import Value

if TYPE_CHECKING:
    from rigstack.config.model import Rig
    from rigstack.host.net.router import Failure, Router
    from rigstack.plan.net import Lan


class Seen(Value):
    """What was found. outside, outside6: how the world sees us. record: what we opened, None for never."""

    root: Path
    rig: Rig
    lan: Lan
    router: Router
    outside: str
    outside6: str
    wan: Wan
    record: Record | None

    @property
    def opened(self) -> tuple[Opened, ...]:
        return self.record.opened if self.record else ()


@click.group()
def net() -> None:
    """The way in from the internet: LAN, router, ports, public address.

    Nothing is opened by any other command than `rigstack net open`.
    """


@net.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/guides/anywhere.md).")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """LAN address and whether it stays, what the router speaks, what the world sees, which ports are open."""
    from rigstack.cli.net_page import document, page
    from rigstack.host.net.outside import hairpin

    seen = look(context)
    ports = wanted_ports(seen.rig)
    states = {str(port): port_state(seen, port) for port in ports}
    local = seen.rig.access.bind if seen.rig.access.bind not in ("", "0.0.0.0", "::") else seen.lan.address
    public = seen.outside or seen.router.address
    turn = hairpin(seen.rig.hostname or local, local, public, ports[0].inside) if public != local and public else ""
    if as_json:
        console.result_json(document(seen, states, turn))
    else:
        console.result(page(seen, states, turn))


@net.command("open")
@click.option("--dry-run", is_flag=True, help="Say what would be asked of the router, and stop.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: what is open now and what failed.")
@click.pass_context
def open_(context: click.Context, dry_run: bool, as_json: bool) -> None:
    """Open the rig's ports in the router, for an hour at a time, and have this machine renew them.

    By UPnP IGD, PCP or NAT-PMP; holes in the router's IPv6 firewall too. Where it speaks none of them, this prints what
    to enter in its pages by hand. Exit code 3 when a port could not be opened.
    """
    from rigstack.cli.net_page import plan_lines
    from rigstack.host.net.timer import ensure_timer, renewer
    from rigstack.render.net import render_by_hand

    seen = look(context)
    if seen.wan.kind == "kept":
        raise HostError(seen.wan.words, remedy='set bind = "" in rig.toml, or the LAN address; then rigstack up')
    if seen.wan.kind == "cgnat" and not seen.router.holes:
        raise HostError(seen.wan.words, details=tuple(f"- {way}" for way in seen.wan.ways), remedy="take one of these")
    if not seen.router.maps and not seen.router.holes:
        if seen.wan.kind == "direct":
            console.result(seen.wan.words)
            return
        console.result(render_by_hand(seen.lan, wanted_ports(seen.rig)))
        raise HostError(
            f"the router at {seen.lan.gateway or '(none)'} speaks neither UPnP IGD nor PCP nor NAT-PMP",
            cause="it is switched off there, or the router has none of them",
            remedy="enter the lines above in its pages",
        )
    if dry_run:
        console.result("\n".join(plan_lines(seen, renewer())))
        return
    opened, failures = _open(seen, LEASE if renewer() else LONG_LEASE, seen.wan.kind)
    if not failures:
        _ask_for_certificate(seen)
    renewed = ensure_timer(seen.rig.name, seen.root)
    if as_json:
        done = {"opened": [one.__dict__ for one in opened], "failures": [one.__dict__ for one in failures]}
        console.result_json({**done, "renewed": renewed})
    else:
        for one in opened:
            console.result(f"open: {one} -> {one.client}:{one.inside}  {one.what}  {_how(one)}")
        first = min((one.until for one in opened if one.until), default=0)
        alone = f"nothing on this machine can (no systemd, no cron): run rigstack net renew before {_clock(first)}"
        console.result(f"renewed: {renewed or alone}")
        if seen.wan.closed:
            console.warn("\n  ".join((f"{seen.wan.words}; ways out:", *(f"- {way}" for way in seen.wan.ways))))
    _report(context, failures)


@net.command()
@click.pass_context
def renew(context: click.Context) -> None:
    """What the timer runs: renew what `rigstack net open` opened, and follow rig.toml and this machine's address."""
    from rigstack.host.net.record import load_record

    if load_record(rig_of(context)[0].path) is None:
        console.note("nothing to renew: no port was opened by rigstack net open")
        return
    from rigstack.host.net.timer import renewer

    opened, failures = _open(look(context, outside=False), LEASE if renewer() else LONG_LEASE)
    console.note(f"{len(opened)} open")
    _report(context, failures)


@net.command()
@click.option("--dry-run", is_flag=True, help="Say what would be closed, and stop.")
@click.pass_context
def close(context: click.Context, dry_run: bool) -> None:
    """Take away exactly what `rigstack net open` opened in the router, and the timer."""
    from rigstack.host.net.record import save_record
    from rigstack.host.net.router import close_ports
    from rigstack.host.net.timer import remove_timer

    seen = look(context, outside=False)
    record = seen.opened
    # Mappings that carry our description and lead here are ours, also when state/ was deleted since.
    known = {(one.how, str(one)) for one in record}
    listed = seen.router.igd.ours() if seen.router.igd else ()
    every = (*record, *(one for one in listed if (one.how, str(one)) not in known))
    for one in every:
        console.result(f"{'would close' if dry_run else 'closing'}: {one} -> {one.client}:{one.inside}  {_how(one)}")
    if not every:
        console.result("nothing of ours is open in the router")
    if dry_run:
        return
    remove_timer(seen.rig.name, seen.root)
    failures = close_ports(seen.router, every)
    if not failures:
        save_record(seen.root, None)
    _report(context, failures)


def look(context: click.Context, *, outside: bool = True) -> Seen:
    """Everything about the way out. outside: also ask somebody in the world how he sees us."""
    from rigstack.host.net.lan import observe_lan
    from rigstack.host.net.outside import router_after
    from rigstack.host.net.record import load_record
    from rigstack.host.net.router import observe_router

    place, rig = rig_of(context)
    lan = observe_lan(rig.access.bind)
    router = observe_router(lan, rig.name, ipv6=wants_pinholes(rig, lan))
    four, six = _outside(place.path, rig, lan) if outside else ("", "")
    beyond = router_after(lan) if outside and not router.address else ""
    return Seen(
        root=place.path,
        rig=rig,
        lan=lan,
        router=router,
        outside=four,
        outside6=six,
        wan=judge_wan(lan, router.address if router.maps else None, four, beyond),
        record=load_record(place.path),
    )


def _outside(root: Path, rig: Rig, lan: Lan) -> tuple[str, str]:
    """How the world sees us: as the DDNS sidecar saw it in the last two minutes, else asked now."""
    from rigstack.host.ddns import observe_ddns
    from rigstack.host.net.outside import public_address
    from rigstack.render.ddns import address_places

    report = observe_ddns(root)
    if rig.ddns and report.public_address and time.time() - report.looked_at < 120:
        return report.public_address, report.public_address6
    four = public_address(address_places(rig.ddns, 4), lan.address)
    return four, public_address(address_places(rig.ddns, 6), lan.address6) if lan.address6 else ""


def _open(seen: Seen, lease: int, kind: str = "") -> tuple[tuple[Opened, ...], tuple[Failure, ...]]:
    from rigstack.host.net.record import save_record
    from rigstack.host.net.router import open_ports

    router = seen.router.replace(maps=()) if seen.wan.kind == "cgnat" else seen.router
    opened, failures = open_ports(router, wanted_ports(seen.rig), seen.opened, lease)
    record = Record(
        opened=opened,
        router=seen.router.address,
        kind=kind or (seen.record.kind if seen.record else ""),
        at=int(time.time()),
        failures=tuple(one.why for one in failures),
    )
    save_record(seen.root, record)
    return opened, failures


def _ask_for_certificate(seen: Seen) -> None:
    from rigstack.host.certificate import acme_issued
    from rigstack.render.edge import tls_mode

    if tls_mode(seen.rig) == "acme" and not acme_issued(seen.root, seen.rig.hostname):
        from rigstack.cli.first_certificate import ask_for_certificate

        ask_for_certificate(seen.rig)


def port_state(seen: Seen, port: Port) -> dict[str, Any]:
    """Of one port at the router: state open, taken, closed or unknown; in whose favour; until when."""
    standing = [one for one in seen.opened if one.fits(port) and seen.router.remembers(one)]
    ours = next((one for one in standing if one.family == 4), None)
    hole = any(one.family == 6 for one in standing)
    found = {
        "state": "closed",
        "to": "",
        "how": ours.how if ours else "",
        "until": ours.until if ours else 0,
        "ipv6": hole,
    }
    if seen.router.igd is not None:
        try:
            held = seen.router.igd.held(port)
        except HostError:
            return {**found, "state": "unknown"}
        if held is None:
            return found
        to = f"{held.client}:{held.inside}"
        here = to == f"{seen.lan.address}:{port.inside}"
        until = int(time.time()) + held.lease if held.lease else 0
        return {
            **found,
            "state": "open" if here else "taken",
            "to": to,
            "until": until,
            "how": found["how"] or "UPnP IGD",
        }
    if ours and (ours.until == 0 or ours.until > time.time()):
        return {**found, "state": "open", "to": f"{ours.client}:{ours.inside}"}
    return {**found, "state": "closed" if seen.router.maps or seen.opened else "unknown"}


def _report(context: click.Context, failures: tuple[Failure, ...]) -> None:
    for one in failures:
        console.error(HostError(one.why, remedy=one.remedy))
    if failures:
        context.exit(HostError.exit_code)


def _how(one: Opened) -> str:
    kind = "hole in the IPv6 firewall, " if one.family == 6 else ""
    return f"({kind}{one.how}, {f'until {_clock(one.until)}' if one.until else 'without an end'})"


def _clock(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
