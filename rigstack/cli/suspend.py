"""`rigstack suspend` on the GPU host: sleep, unless somebody works there."""

from __future__ import annotations

import time

import click

from rigstack.cli import console
from rigstack.cli.rig import rig_of
from rigstack.engine.activity import observe_activity
from rigstack.engine.observe import observe_everywhere
from rigstack.errors import ConsentError
from rigstack.host.network_card import observe_card, wake_card
from rigstack.host.suspend import suspend as sleep
from rigstack.host.suspend import suspend_argv
from rigstack.process import quote

LOOK_AGAIN = 10.0  # seconds


@click.command()
@click.option("--force", is_flag=True, help="Also while jobs, sessions or kernels are there; they go on when it wakes.")
@click.option("--when-idle", is_flag=True, help="Wait until there are none, then sleep.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.pass_context
def suspend(context: click.Context, force: bool, when_idle: bool, dry_run: bool) -> None:
    """Put this machine to sleep; refused while jobs, sessions or kernels are active in a project of any rig on it.

    `rigstack wake` on a laptop wakes it again.
    """
    rig_of(context)
    busy = () if force else _busy()
    told: tuple[str, ...] = ()
    while busy and when_idle and not dry_run:
        if busy != told:
            console.note("waiting for " + "; ".join(busy))
            told = busy
        time.sleep(LOOK_AGAIN)
        busy = _busy()
    if busy:
        raise ConsentError(
            "the machine does not go to sleep, because of what is active on it",
            details=busy,
            remedy="`rigstack suspend --when-idle` waits for it, `--force` sleeps all the same",
        )
    card = observe_card(wake_card())
    if not card.enabled:
        name = card.interface or "its network card"
        console.warn(f"you could not wake it from afar: {name} does not listen; sudo rigstack power setup")
    argv = suspend_argv()
    if dry_run:
        console.result(f"would run: {quote(argv)}")
        return
    sleep(argv)
    console.result("the machine sleeps; rigstack wake on a laptop wakes it")


def _busy() -> tuple[str, ...]:
    """What is active in the workspaces and notebooks of every rig on this machine, one line each."""
    asked = [one for one in observe_everywhere() if one.state == "running" and one.role in ("workspace", "notebook")]
    found = observe_activity(asked)
    return tuple(f"{one.service}: {activity}" for one in asked for activity in found[one.id])
