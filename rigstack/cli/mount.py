"""`rigstack mount` and `rigstack unmount`: a project's files as a folder of this machine."""

from __future__ import annotations

from pathlib import Path

import click

from rigstack.cli import console
from rigstack.errors import ConfigError
from rigstack.laptop.home import laptop_home
from rigstack.laptop.mount import (
    DEFAULT,
    Mount,
    ensure_mounted,
    ensure_unmounted,
    list_mounts,
    mount_answers,
    place_of,
)
from rigstack.laptop.rigs import find_project


@click.command()
@click.argument("project", required=False)
@click.argument("folder", required=False, type=click.Path(file_okay=False, readable=False))
@click.option("--path", help="Mount this folder of the workspace. Default: the project's; /data is the data sets.")
@click.option("--list", "show", is_flag=True, help="Show the mounts there are.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the command, and mount nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the mounts.")
def mount(project: str | None, folder: str | None, path: str | None, show: bool, dry_run: bool, as_json: bool) -> None:
    """Mount PROJECT's files on FOLDER (default: ~/rigs/RIG-PROJECT) by sshfs. It comes back by itself after a cut.

    For editing many files over a distance `rigstack sync` is faster.
    """
    if show or project is None:
        _report(list_mounts(), as_json=as_json)
        return
    home = laptop_home()
    target = find_project(home, project)
    point = place_of(Path(folder) if folder else home.path / DEFAULT / target.alias)
    source = path or target.project.folder
    if not source.startswith("/"):
        raise ConfigError(f"--path {source!r} is not right; expected a path that starts with /")
    if dry_run:
        from rigstack.laptop.mount import sshfs_argv
        from rigstack.process import quote

        console.result(quote(sshfs_argv(home, target, source, point)))
        return
    if not ensure_mounted(home, target, source, point):
        console.note(f"{point} was mounted already")
    _report(tuple(one for one in list_mounts() if one.folder == str(point)), as_json=as_json)


@click.command()
@click.argument("name", required=False, metavar="[PROJECT|FOLDER]")
@click.option("--force", is_flag=True, help="Also while a program uses it, or the connection is dead.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with what was unmounted.")
def unmount(name: str | None, force: bool, as_json: bool) -> None:
    """Unmount a project, one folder, or without an argument all of them."""
    mounts = list_mounts()
    if name is not None:
        folder = str(place_of(Path(name)))
        mounts = tuple(one for one in mounts if one.folder == folder)
        if not mounts:
            alias = find_project(laptop_home(), name).direct
            mounts = list_mounts(frozenset({alias}))
    for one in mounts:
        ensure_unmounted(Path(one.folder), force=force)
    _report(mounts, as_json=as_json, verb="unmounted")


def _report(mounts: tuple[Mount, ...], *, as_json: bool, verb: str = "") -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=8) as pool:
        words = list(pool.map(lambda one: verb or ("mounted" if mount_answers(one) else "does not answer"), mounts))
    if as_json:
        rows = zip(mounts, words, strict=True)
        console.result_json(
            {"mounts": [{"source": one.source, "folder": one.folder, "state": state} for one, state in rows]}
        )
    elif not mounts:
        console.result("no mounts")
    else:
        lines = [
            [one.source.replace(".direct:", ":", 1), one.folder, state]
            for one, state in zip(mounts, words, strict=True)
        ]
        console.result(console.table(["PROJECT", "FOLDER", "STATE"], lines))
