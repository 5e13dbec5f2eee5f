"""`rigstack ddns`: what the DDNS sidecar knows, an update at a person's word, and taking the record back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rigstack.cli import console
from rigstack.cli.rig import rig_of
from rigstack.errors import ConfigError, EngineError
from rigstack.host.ddns import observe_ddns
from rigstack.plan.ddns import ddns_problem, iso

if TYPE_CHECKING:
    from rigstack.config.rigdir import RigDir
    from rigstack.plan.ddns import DdnsReport

CONTROL = "/usr/local/lib/rigstack/ddns-control"


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def ddns(context: click.Context, as_json: bool) -> None:
    """The rig's name and its public address: what was told, what DNS says, when next."""
    if context.invoked_subcommand is None:
        place, container = _sidecar(context)
        _ask(container, "look")
        _show(observe_ddns(place.path), as_json)


@ddns.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def update(context: click.Context, as_json: bool) -> None:
    """Tell the provider the address now, also after a refusal or when it did not change."""
    place, container = _sidecar(context)
    _ask(container, "update")
    report = observe_ddns(place.path)
    _show(report, as_json)
    if report.state != "current":
        context.exit(5)


@ddns.command()
@click.option("--yes", is_flag=True, help="Go ahead without asking.")
@click.pass_context
def deregister(context: click.Context, yes: bool) -> None:
    """Take the record back: whoever gets your address next could otherwise have certificates for your name.

    Until the next `rigstack ddns update` the sidecar sends nothing.
    """
    from rigstack.errors import ConsentError

    place, container = _sidecar(context)
    name = observe_ddns(place.path).hostname
    if not console.confirm(f"Remove the address of {name} from DNS?", yes=yes):
        raise ConsentError("nothing was taken back: nobody said yes", remedy="run it with --yes")
    _ask(container, "deregister")
    console.result(f"{name} has no address any more; `rigstack ddns update` sets it again")


def _sidecar(context: click.Context) -> tuple[RigDir, str]:
    """The rig directory and the running sidecar's container id. Raises ConfigError or EngineError."""
    from rigstack.engine.observe import observe_containers

    place, rig = rig_of(context)
    if rig.ddns is None:
        raise ConfigError(
            "this rig has no DDNS: rig.toml has no [ddns] table",
            remedy="rigstack config reference shows one; then rigstack up",
        )
    there = observe_containers(rig.name, rig.dir).get("ddns")
    if there is None or there.state != "running":
        raise EngineError("the ddns sidecar does not run", remedy="rigstack up; rigstack logs ddns")
    return place, there.id


def _ask(container: str, word: str) -> None:
    from rigstack.engine.containers import run_inside

    status, said = run_inside(container, (CONTROL, word))
    if status:
        raise EngineError(
            f"ddns {word} did not come to its end",
            details=tuple(said.strip().splitlines()),
            remedy="rigstack logs ddns",
        )


def _show(report: DdnsReport, as_json: bool) -> None:
    if as_json:
        console.result_json(report.document())
        return
    console.result(console.table(("DDNS", f"{report.hostname} by {report.provider}"), rows(report)))
    if problem := ddns_problem(report):
        console.result(f"\n{console.paint('!', 'yellow')} {problem[0]}\n  {problem[1]}")


def rows(report: DdnsReport) -> list[tuple[str, str]]:
    """The report as a person reads it."""

    def both(four: str, six: str) -> str:
        return " and ".join(filter(None, (four, six))) or "not known"

    dns = report.dns_error or f"{both(report.dns_address, report.dns_address6)}  (asked at {report.dns_server})"
    return [
        ("state", report.state),
        ("public address", both(report.public_address, report.public_address6)),
        ("DNS says", dns),
        ("told last", f"{both(report.address, report.address6)}  {iso(report.updated_at)}".rstrip()),
        ("last answer", f"{report.answer or 'none yet'}  {iso(report.answered_at)}".rstrip()),
        ("next", iso(report.next_at) or "when you say so"),
        ("updates sent", str(report.sent)),
    ]
