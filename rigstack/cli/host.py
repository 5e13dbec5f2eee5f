"""`rigstack host`: sets this machine up, and says whether rigstack can run on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rigstack.cli import console

if TYPE_CHECKING:
    from rigstack.host.setup_steps import SetupPlan


@click.group()
def host() -> None:
    """Set up this machine: engine, compose, buildx, GPU toolkit."""


@host.command()
@click.option("--yes", is_flag=True, help="Go ahead without asking.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and stop.")
@click.option("--vendor", is_flag=True, help="Install from Docker's and NVIDIA's own package repositories.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def setup(yes: bool, dry_run: bool, vendor: bool, as_json: bool) -> None:
    """Install and start what rigstack needs; with everything there, do nothing.

    An engine that is here already stays as it is.
    """
    from rigstack.host import machine_report
    from rigstack.host.machine import observe_machine
    from rigstack.host.setup_plan import SetupOptions, plan_setup

    options = SetupOptions(vendor=vendor)
    machine = observe_machine()
    plan = plan_setup(machine, options)
    if plan.steps:
        machine = observe_machine(thorough=True)
        plan = plan_setup(machine, options)
    if plan.steps and not dry_run:
        from rigstack.host.setup import execute
        from rigstack.host.setup_consent import ensure_allowed

        ensure_allowed(plan, machine, lambda plan: _ask(plan, yes=yes))
        execute(plan, machine, console.note)
        machine = observe_machine(thorough=True)
    if as_json:
        console.result_json(machine_report.setup_json(machine, plan, done=not dry_run))
    else:
        for line in machine_report.setup_lines(machine, plan, done=not dry_run):
            console.result(line)


def _ask(plan: SetupPlan, *, yes: bool) -> bool:
    console.note("\n".join(("rigstack will, if you agree:", *(f"  {line}" for line in plan.lines()))))
    return console.confirm("Go ahead?", yes=yes)


@host.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Say what is here, in which version, and what is wrong; exits 3 when rigstack cannot run."""
    from rigstack.errors import HostError
    from rigstack.host import machine_report
    from rigstack.host.machine import observe_machine

    report = machine_report.check_machine(observe_machine(thorough=True))
    if as_json:
        console.result_json(report.as_json())
    else:
        console.result(console.table(("part", "found", "state"), report.rows()))
        for line in report.lines():
            console.result(line)
    ctx.exit(0 if report.able else HostError.exit_code)
