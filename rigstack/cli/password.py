"""`rigstack password`: sets the notebook password."""

from __future__ import annotations

import sys

import click

from rigstack.cli import console
from rigstack.cli.rig import rig_of
from rigstack.errors import ConfigError
from rigstack.secret import Secret

SHORTEST = 10


@click.command()
@click.option("--generate", is_flag=True, help="Make a random one and show it once.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read it from standard input (one line).")
@click.pass_context
def password(context: click.Context, generate: bool, from_stdin: bool) -> None:
    """Set the password of the notebooks and of the edge's project list.

    Counts within a second: every login with the old one ends, open pages are cut off; kernels go on.
    """
    from rigstack.host.facts import code_owner
    from rigstack.host.lock import rig_lock
    from rigstack.host.password import new_password, set_password

    place, _ = rig_of(context)
    chosen = new_password() if generate else _read(from_stdin)
    with rig_lock(place.path, "password", on_wait=console.note):
        set_password(place.path, chosen, owner=code_owner(place.path))
    console.result(f"the notebook password is {chosen.reveal()}" if generate else "the notebook password is set")


def _read(from_stdin: bool) -> Secret:
    if from_stdin or not sys.stdin.isatty():
        text = sys.stdin.readline().rstrip("\n")
    else:
        text = click.prompt("New notebook password", hide_input=True, confirmation_prompt=True, err=True)
    if len(text) < SHORTEST:
        raise ConfigError(
            f"the password has fewer than {SHORTEST} characters",
            remedy="choose a longer one, or let `rigstack password --generate` make one",
        )
    return Secret(text)
