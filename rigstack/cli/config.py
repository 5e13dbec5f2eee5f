"""`rigstack config`: check rig.toml, or read about every setting."""

from __future__ import annotations

from pathlib import Path

import click

from rigstack.cli import console
from rigstack.cli.rig import rig_of

REFERENCE = Path(__file__).parent.parent / "config" / "reference.toml"


@click.group()
def config() -> None:
    """Check rig.toml, or show the reference of every setting."""


@config.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Read rig.toml and the projects' own files, and name every mistake; exit code 2 when there is one."""
    from rigstack.cli.rig import ensure_none_broken
    from rigstack.host.facts import observe_host

    place, rig = rig_of(context)
    ensure_none_broken(observe_host(rig).broken)
    console.result(f"{place.toml} is right: {len(rig.projects)} projects")


@config.command()
def reference() -> None:
    """Print the annotated rig.toml that explains every setting and its default."""
    console.result(REFERENCE.read_text(encoding="utf-8").rstrip())
