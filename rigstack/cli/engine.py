"""`rigstack logs` and `rigstack compose`: docker compose on exactly the rig's files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rigstack import process
from rigstack.assets import assets_dir
from rigstack.cli.rig import rig_of
from rigstack.config.model import Rig
from rigstack.engine.containers import compose_argv
from rigstack.errors import ConfigError, HostError


@click.command()
@click.argument("names", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come.")
@click.option("--tail", default="100", show_default=True, help="How many of the last lines, or 'all'.")
@click.option("--since", help="Only what is newer: a time, or an age such as 10m.")
@click.pass_context
def logs(context: click.Context, names: tuple[str, ...], follow: bool, tail: str, since: str | None) -> None:
    """Show what services print: NAMES are projects or services (edge, gateway, ddns, demo-notebook...)."""
    place, rig = rig_of(context)
    services = [service for name in names for service in _services(rig, name)]
    words = ["logs", f"--tail={tail}", *(["--follow"] if follow else []), *([f"--since={since}"] if since else [])]
    sys.exit(_attach(place.path, [*words, *services]))


def _services(rig: Rig, name: str) -> list[str]:
    parts = {project.name: [f"{project.name}-workspace", f"{project.name}-notebook"] for project in rig.projects}
    optional = [name for name, wanted in (("ddns", rig.ddns), ("history", rig.gpu_history)) if wanted]
    known = ["edge", "gateway", *optional, *(part for both in parts.values() for part in both)]
    if name in parts:
        return parts[name]
    if name in known:
        return [name]
    raise ConfigError(f'there is no project or service "{name}"', remedy="known: " + ", ".join([*parts, *known]))


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, required=True)
@click.pass_context
def compose(context: click.Context, words: tuple[str, ...]) -> None:
    """Run any docker compose verb on exactly the rig's files: rigstack compose -- ps --all."""
    place, _ = rig_of(context)
    sys.exit(_attach(place.path, list(words)))


def _attach(root: Path, words: list[str]) -> int:
    if not (root / "state" / "compose.json").is_file():
        raise ConfigError(f"{root} was never brought up: it has no state/compose.json", remedy="rigstack up")
    try:
        return process.attach(compose_argv(root, str(assets_dir()), *words))
    except FileNotFoundError:
        raise HostError("docker is not installed", remedy="sudo rigstack host setup") from None
