"""`rigstack tunnel`: ports of a project on this laptop, kept in the background."""

from __future__ import annotations

import sys

import click

from rigstack.cli import console
from rigstack.config import schema
from rigstack.errors import ConfigError
from rigstack.laptop.home import LaptopHome, laptop_home
from rigstack.laptop.kept import Kept, list_kept, stop_kept
from rigstack.laptop.rigs import find_project
from rigstack.laptop.tunnel import answers, find_tunnel, pick_port, start_tunnel


@click.command()
@click.argument("project", required=False)
@click.argument("ports", nargs=-1, metavar="[PORT[:LOCAL]]...")
@click.option("--list", "show", is_flag=True, help="Show the tunnels there are.")
@click.option("--stop", is_flag=True, help="Stop these tunnels; without PORT all of PROJECT's, without PROJECT all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the tunnels.")
def tunnel(project: str | None, ports: tuple[str, ...], show: bool, stop: bool, as_json: bool) -> None:
    """Keep PORTs of PROJECT's programs on this laptop: `rigstack tunnel demo 6006` is tensorboard on 127.0.0.1:6006.

    Runs in the background and comes back by itself after a cut, and after a restart of this machine when you log in.
    When a port is taken here the next free one is used. --list shows what `rigstack pycharm` keeps up, too.
    """
    home = laptop_home()
    if stop:
        gone = _chosen(home, project, ports)
        for one in gone:
            stop_kept(home, one)
        _report(gone, as_json=as_json, verb="stopped")
        return
    if show or project is None:
        list_kept(home)  # revives what died with a restart, of every kind: what runs at login counts on it
        _report(_chosen(home, project, ()), as_json=as_json)
        return
    target = find_project(home, project)
    if not ports:
        ports = tuple(str(port) for port in target.project.ports)
    if not ports:
        raise ConfigError(f"say which port of {project}", remedy=f"rigstack tunnel {project} 6006")
    made = []
    for remote, wanted in [_pair(text) for text in ports]:
        there = find_tunnel(home, target.alias, remote)
        if there is None:
            local = pick_port(wanted or remote)
            if local != (wanted or remote):
                console.note(f"port {wanted or remote} is taken here; {local} it is")
            there = start_tunnel(home, target, remote, local)
        elif wanted and there.about["local"] != str(wanted):
            raise ConfigError(
                f"port {remote} of {project} is 127.0.0.1:{there.about['local']} already",
                remedy=f"rigstack tunnel --stop {project} {remote}",
            )
        made.append(there)
    warn_of_cache()
    _report(tuple(made), as_json=as_json)


def warn_of_cache() -> None:
    """What is kept up is started again by this very rigstack."""
    from rigstack.laptop.login import in_a_cache

    if in_a_cache():
        console.warn(f"this rigstack lies in a cache ({sys.prefix}); when that is emptied, nothing that it keeps up")
        console.note(
            "comes back when you log in, until the next rigstack command. Install it: uv tool install rigstack"
        )


def _pair(text: str) -> tuple[int, int | None]:
    remote, colon, local = text.partition(":")
    try:
        return schema.port(int(remote)), schema.port(int(local)) if colon else None
    except ValueError:
        raise ConfigError(f"{text!r} is not right; expected PORT or PORT:LOCAL, such as 6006:16006") from None


def _chosen(home: LaptopHome, project: str | None, ports: tuple[str, ...]) -> tuple[Kept, ...]:
    kept = (*list_kept(home, "tunnel"), *list_kept(home, "forward"))
    if project is not None:
        try:
            alias = find_project(home, project).alias
        except ConfigError:
            alias = project  # its rig is gone, and its tunnel may go too
        kept = tuple(one for one in kept if one.alias == alias)
    if ports:
        numbers = {str(_pair(text)[0]) for text in ports}
        kept = tuple(one for one in kept if one.about["remote"] in numbers)
    return kept


def _report(kept: tuple[Kept, ...], *, as_json: bool, verb: str = "") -> None:
    states = {one.id: verb or ("up" if answers(int(one.about["local"])) else "reconnecting") for one in kept}
    if as_json:
        rows = [
            {
                "alias": one.alias,
                "port": int(one.about["remote"]),
                "local": int(one.about["local"]),
                "for": "pycharm" if one.kind == "forward" else "you",
                "state": states[one.id],
                "since": one.since,
            }
            for one in kept
        ]
        console.result_json({"tunnels": rows})
    elif not kept:
        console.result("no tunnels")
    else:
        lines = [
            [
                one.alias,
                one.about["remote"] + (" (PyCharm)" if one.kind == "forward" else ""),
                f"127.0.0.1:{one.about['local']}",
                states[one.id],
                one.since,
            ]
            for one in kept
        ]
        console.result(console.table(["PROJECT", "PORT", "HERE", "STATE", "SINCE"], lines))
