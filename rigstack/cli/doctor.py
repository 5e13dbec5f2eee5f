"""`rigstack doctor`: every check on one page, each with its state, evidence and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rigstack.cli import console
from rigstack.errors import UnhealthyError

if TYPE_CHECKING:
    from rigstack.plan.checkup import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "dim"}


@click.command()
@click.option("--fix", is_flag=True, help="Do what is safe: make modes of keys, secrets and the socket stricter.")
@click.option("--from", "helper", metavar="USER@HOST", help="Ask this machine, over ssh, whether the ports answer.")
@click.option("--from-laptop", metavar="HOST[:PORT]", help="On the laptop: try the rig at HOST (its SSH port PORT).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every finding.")
@click.pass_context
def doctor(context: click.Context, fix: bool, helper: str | None, from_laptop: str | None, as_json: bool) -> None:
    """Check the rig and its machine: state, evidence, remedy. Exit code 5 when something fails."""
    from rigstack.cli.checkup import observe_checkup
    from rigstack.plan.checks import examine

    if from_laptop:
        findings = _from_outside(from_laptop)
    else:
        findings = examine(observe_checkup(context, helper))
        fixes = [one for finding in findings for one in finding.fixes]
        if fix and fixes:
            from rigstack.host.checkup import apply

            for one in fixes:
                apply(one)
                console.note(f"did: {one}")
            findings = examine(observe_checkup(context, helper))
    if as_json:
        console.result_json({"ok": _well(findings), "findings": [_json(one) for one in findings]})
    else:
        console.result(_page(findings))
    if not _well(findings):
        context.exit(UnhealthyError.exit_code)


def _well(findings: tuple[Finding, ...]) -> bool:
    return not any(one.state == "fail" for one in findings)


def _json(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "state": finding.state,
        "evidence": finding.evidence,
        "remedy": finding.remedy,
        "fixable": bool(finding.fixes),
    }


def _page(findings: tuple[Finding, ...]) -> str:
    rows = []
    for one in findings:
        rows.append((console.paint(one.state, _STYLES[one.state]), one.check, one.evidence))
        if one.remedy:
            rows.append(("", "", console.paint(f"-> {one.remedy}", "cyan")))
    count = {state: sum(one.state == state for one in findings) for state in _STYLES}
    words = ", ".join(f"{number} {state}" for state, number in count.items() if number)
    return f"{console.table(('STATE', 'CHECK', 'EVIDENCE'), rows)}\n\n{words}"


def _from_outside(target: str) -> tuple[Finding, ...]:
    """From any machine, without a rig: the ports, and the certificate as a browser sees it."""
    import time

    from rigstack.config.schema import TABLES
    from rigstack.host import checkup
    from rigstack.plan import checks
    from rigstack.plan.checkup import Checkup

    name, _, port = target.partition(":")
    numbers = (443, int(port) if port.isdigit() else int(TABLES["access"]["ssh_port"].default))
    seen = Checkup(
        now=time.time(),
        hostname=name,
        reached=(*(checkup.reach(name, number) for number in numbers), checkup.reach(name, 80, needed=False)),
        certificate=checkup.observe_certificate(name, name, 443, None),
        methods=checkup.offered_methods(numbers[1], name),
        sshd=checks.SSHD,
    )
    return checks.ports(seen), checks.certificate(seen), checks.sshd(seen)
