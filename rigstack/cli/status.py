"""`rigstack status`: at a glance, what works, where to click, what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rigstack.cli import console
from rigstack.cli.rig import rig_of, survey
from rigstack.config.model import Rig
from rigstack.host.certificate import observe_certificate, observe_issuer, refusal
from rigstack.host.ddns import observe_ddns
from rigstack.plan.ddns import DdnsReport
from rigstack.plan.fingerprint import fingerprint
from rigstack.plan.reconcile import reconcile
from rigstack.plan.status import Status, assess
from rigstack.render.edge import tls_mode

_GOOD = {"healthy", "running"}
_QUIET = {"off", "absent", "starting"}


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/reference/status.md).")
@click.pass_context
def status(context: click.Context, name: str | None, as_json: bool) -> None:
    """What runs, where to click, what is wrong and what to do. Exit code 5 when something is wrong,
    2 when only the files of a project are.

    On a laptop (no rig directory here, or the NAME of a connected rig given): what answers from there.
    """
    from rigstack.cli.status_from_afar import is_from_afar, status_from_afar

    if is_from_afar(context.obj, name):
        status_from_afar(context, name, as_json=as_json)
        return
    place, rig = rig_of(context)
    seen = survey(place, rig, causes=False)
    report = assess(
        rig,
        seen.host,
        seen.observed,
        fingerprint=fingerprint(seen.host.host_keys.get("gateway", "")),
        certificate={
            "mode": tls_mode(rig),
            "expires": observe_certificate(place.path, rig, seen.host),
            "issuer": observe_issuer(place.path, rig),
            "error": refusal(place.path, rig),
        },
        changed=bool(reconcile(seen.desired, seen.observed)),
        choice=seen.choice,
        ddns=observe_ddns(place.path) if rig.ddns else None,
        router=_router(place.path, rig),
    )
    if as_json:
        console.result_json(report.document)
    else:
        console.result(_page(report))
    if report.document["rig"]["state"] in ("down", "degraded"):
        context.exit(5)
    if seen.host.broken:
        context.exit(2)


def _router(root: Path, rig: Rig) -> tuple[str, str] | None:
    """What is wrong with the ports that `rigstack net open` opened, by what the last renewal left: nobody is asked."""
    if not (root / "state/net.json").exists():
        return None
    import time

    from rigstack.host.net.record import load_record
    from rigstack.plan.net import router_problem

    record, told = load_record(root), observe_ddns(root) if rig.ddns else DdnsReport()
    return router_problem(record, told.public_address, told.updated_at, time.time()) if record else None


def _page(report: Status) -> str:
    document = report.document
    rig, edge, gateway, ddns = (document[key] for key in ("rig", "edge", "gateway", "ddns"))
    until = f", certificate until {edge['tls']['expires']}" if edge["tls"]["expires"] else ""
    rows = [
        ["edge", _word(edge["state"]), f"{edge['url']}  (TLS {edge['tls']['mode']}{until})"],
        ["gateway", _word(gateway["state"]), f"port {gateway['port']}  {gateway['fingerprint']}"],
        ["ddns", _word(ddns["state"]), _ddns(ddns)],
    ]
    lines = [f"{console.paint(rig['name'], 'bold')}: {_word(rig['state'])}   {rig['directory']}", ""]
    lines.append(console.table(["SERVICE", "STATE", "WHERE"], rows))
    if document["projects"]:
        lines += ["", console.table(_PROJECT_HEADERS, [_project_row(project) for project in document["projects"]])]
    else:
        lines += ["", "no project yet: add a [projects.NAME] table to rig.toml"]
    for problem in report.problems:
        lines += ["", f"{console.paint('!', 'yellow')} {problem.what}", f"  {problem.remedy}"]
    return "\n".join(lines)


def _ddns(ddns: dict[str, Any]) -> str:
    if not ddns["public_address"]:
        return str(ddns["hostname"])
    dns = ddns["dns"]
    there = (
        f"DNS says {dns['address'] or 'no address'}" if dns["server"] and not dns["error"] else "DNS does not answer"
    )
    answer = f'; last update {ddns["updated"] or "never"}, answer "{ddns["answer"]}"' if ddns["answer"] else ""
    after = f"; next look {ddns['next']}" if ddns["next"] else ""
    return f"{ddns['hostname']}  public {ddns['public_address']}, {there}{answer}{after}"


_PROJECT_HEADERS = ["PROJECT", "WORKSPACE", "NOTEBOOK", "GPUS", "NOTEBOOK ADDRESS"]


def _project_row(project: dict[str, Any]) -> list[str]:
    return [
        project["name"],
        _word(project["workspace"]["health"] or project["workspace"]["state"]),
        _word(project["notebook"]["health"] or project["notebook"]["state"]),
        _gpus(project),
        project["notebook"]["url"],
    ]


def _gpus(project: dict[str, Any]) -> str:
    """What it has, "0,1", where a number was asked for; else what was asked for."""
    asked, has = project["gpus"], project["devices"]
    named = has if isinstance(asked, int) and has else asked if isinstance(asked, list) else [str(asked)]
    return ",".join(named) + (" (exclusive)" if has and project["gpu_sharing"] == "exclusive" else "")


def _word(state: str) -> str:
    return console.paint(state, "green" if state in _GOOD else "dim" if state in _QUIET else "red")
