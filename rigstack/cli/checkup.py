"""Gathers what `rigstack doctor` judges: machine, engine and rig; a part that cannot be asked stays unknown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from rigstack.cli.rig import rig_of, survey
from rigstack.config.model import Rig
from rigstack.config.rigdir import RigDir
from rigstack.engine import checkup as running
from rigstack.errors import EngineError, HostError
from rigstack.host import checkup
from rigstack.host.certificate import ROOT_CERTIFICATE
from rigstack.host.ddns import observe_ddns
from rigstack.host.machine import observe_machine
from rigstack.host.machine_report import check_machine
from rigstack.host.network_card import observe_card, wake_card
from rigstack.plan.checkup import Checkup
from rigstack.plan.ddns import DdnsReport
from rigstack.plan.status import assess
from rigstack.render.edge import lan_names, tls_mode


def observe_checkup(context: click.Context, helper: str | None) -> Checkup:
    """Everything at once; helper: an ssh destination that tries the ports from outside."""
    place, rig = rig_of(context)
    machine = observe_machine(thorough=True)
    report = check_machine(machine)
    root = Path(rig.dir)
    ddns = observe_ddns(root)
    seen = Checkup(
        now=time.time(),
        hostname=rig.hostname,
        engine=getattr(machine.engine, "version", ""),
        missing=tuple((one.what, one.remedy) for one in report.problems),
        holes=tuple((hole.text(), hole.remedy) for hole in report.holes),
        gpu=tuple((one.what, one.remedy) for one in report.gpu),
        live_restore=getattr(machine.engine, "live_restore", None),
        socket=machine.socket,
        socket_mode=checkup.mode_of(machine.socket),
        clock_ahead=checkup.clock_ahead(root),
        clock_synced=checkup.clock_synced(),
        public_address=(ddns.public_address, "the ddns sidecar"),
        dns=_dns(rig, ddns),
        modes=checkup.observe_modes(root),
        firewall=checkup.firewall(),
        updates=checkup.newer_packages(),
        kernel=checkup.newer_kernel(),
        card=observe_card(wake_card()),
    )
    seen = seen.replace(**_router(context, root))
    try:
        return seen.replace(**_observe_running(place, rig, ddns, helper))
    except (HostError, EngineError) as failed:
        room = checkup.observe_room(rig.dir)
        return seen.replace(services=((failed.what, failed.remedy),), rooms=(room,) if room else ())


def _router(context: click.Context, root: Path) -> dict[str, Any]:
    """Asks the router, where `net open` is in force."""
    from rigstack.host.net.record import load_record

    record = load_record(root)
    if record is None:
        return {}
    from rigstack.cli.net import look, port_state
    from rigstack.plan.net import NO_ADDRESS, wanted_ports

    try:
        found = look(context)
    except HostError as failed:
        return {"router_error": failed.what}
    mapped = any(one.family == 4 for one in record.opened)
    if mapped and not found.router.maps:
        return {"router_error": f"the router at {found.lan.gateway} speaks none of UPnP IGD, PCP and NAT-PMP now"}
    if record.kind == "open" and found.wan.kind == "unknown":
        return {"router_error": f"{NO_ADDRESS}; {found.wan.words}"}
    states = {str(port): port_state(found, port)["state"] for port in wanted_ports(found.rig)} if mapped else {}
    # A rig that never had more than holes for IPv6 has what it can have.
    wan = found.wan if mapped or found.wan.kind != record.kind else found.wan.replace(kind="open", ways=())
    return {"router": wan, "lost": tuple(port for port, state in states.items() if state in ("closed", "taken"))}


def _dns(rig: Rig, ddns: DdnsReport) -> tuple[str, str]:
    """(what DNS says, who was asked): the zone's own server where the sidecar asks it, else this machine's resolver."""
    if ddns.dns_server and not ddns.dns_error:
        return ddns.dns_address, ddns.dns_server
    return (checkup.resolve(rig.hostname), "this machine's resolver") if rig.hostname else ("", "")


def _observe_running(place: RigDir, rig: Rig, ddns: DdnsReport, helper: str | None) -> dict[str, Any]:
    """What only a running engine can tell. Raises HostError or EngineError."""
    seen = survey(place, rig, causes=False)
    status = assess(
        rig, seen.host, seen.observed, fingerprint="", certificate={}, changed=False, ddns=ddns if rig.ddns else None
    )
    inspected = [running.observe_hardening(one) for one in seen.observed.containers.values()]
    rooms = [checkup.observe_room(folder) for folder in dict.fromkeys((rig.dir, running.data_folder()))]
    name = rig.hostname or lan_names(seen.host)[0]
    ports = (rig.access.https_port, rig.access.ssh_port)
    tried = (*((port, True) for port in ports), (rig.access.http_port, False))
    address = rig.access.bind if rig.access.bind not in ("", "0.0.0.0", "::") else "127.0.0.1"
    found: dict[str, Any] = {
        "services": tuple((one.what, one.remedy) for one in status.problems if one.check == "services"),
        "no_gpu": tuple((one.what, one.remedy) for one in status.problems if one.check == "gpu"),
        "rooms": tuple(one for one in rooms if one),
        "reached": tuple(checkup.reach_from(helper, name, port, needed=needed) for port, needed in tried)
        if helper
        else (),
        "containers": tuple(hardening for hardening, _ in inspected),
        "published": tuple(sorted({port for _, published in inspected for port in published})),
    }
    there = {service: one for service, one in seen.observed.containers.items() if one.state == "running"}
    if "edge" in there:
        own = Path(rig.dir) / ROOT_CERTIFICATE if tls_mode(rig) == "internal" else None
        found["certificate"] = checkup.observe_certificate(name, address, ports[0], own)
    if "gateway" in there:
        found["sshd"] = running.observe_sshd(there["gateway"].id)
        found["methods"] = checkup.offered_methods(ports[1], address)
    return found
