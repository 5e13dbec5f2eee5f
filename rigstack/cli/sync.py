"""`rigstack sync`: a local checkout and a project kept equal."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from rigstack.cli import console
from rigstack.cli.tunnel import warn_of_cache
from rigstack.errors import ConfigError
from rigstack.laptop.home import LaptopHome, check_checkout, laptop_home
from rigstack.laptop.kept import Kept, last_lines, list_kept, log_of, start_kept, stop_kept
from rigstack.laptop.rigs import Target, find_project
from rigstack.laptop.sync import Sync, keep_equal, sync_once


@click.command()
@click.argument("project", required=False)
@click.argument("folder", required=False, type=click.Path(file_okay=False))
@click.option("--once", is_flag=True, help="One round, and no watching.")
@click.option("--delete", is_flag=True, help="What is deleted here is deleted there too. Off: nothing is ever deleted.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="With --delete: more deletions at once are refused.",
)
@click.option("--overwrite", is_flag=True, help="Also replace files that are newer on the rig.")
@click.option("--two-way", is_flag=True, help="Both directions, by unison; conflicts are kept as files.")
@click.option("--status", "show", is_flag=True, help="Show the syncs that run, and what they did last.")
@click.option("--stop", is_flag=True, help="Stop PROJECT's sync, or all of them.")
@click.option("--log", is_flag=True, help="Print what PROJECT's sync did.")
@click.option("--foreground", is_flag=True, help="Watch here, and not in the background.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for --once and --status.")
def sync(
    project: str | None,
    folder: str | None,
    once: bool,
    delete: bool,
    limit: int,
    overwrite: bool,
    two_way: bool,
    show: bool,
    stop: bool,
    log: bool,
    foreground: bool,
    as_json: bool,
) -> None:
    """Keep FOLDER (default: the current one) and PROJECT equal: what is saved here is there, a moment later.

    One way, to the rig: a file that is newer there stays. What git ignores and what .rigignore names is not copied.
    """
    home = laptop_home()
    running = list_kept(home, "sync")
    if project is not None:
        target = find_project(home, project)
        running = tuple(one for one in running if one.alias == target.alias)
    if stop or show or (project is None and not log):
        for one in running if stop else ():
            stop_kept(home, one)
        rows = [(one, (last_lines(home, one, 1) or ("",))[0]) for one in running]
        if as_json:
            syncs = [{"alias": one.alias, "folder": one.about["folder"], "last": last} for one, last in rows]
            console.result_json({"syncs": syncs})
        elif rows:
            table = [[one.alias, one.about["folder"], "stopped" if stop else last] for one, last in rows]
            console.result(console.table(["PROJECT", "FOLDER", "LAST"], table))
        else:
            console.result("no syncs")
        return
    if log:
        for one in running:
            console.result(log_of(home, one.id).read_text(errors="replace").rstrip())
        return
    place = Path(folder or ".").absolute()
    job = Sync(target=target, folder=place, delete=delete, limit=limit, overwrite=overwrite)
    if two_way and overwrite:
        raise ConfigError(
            "--two-way does not go with --overwrite",
            cause="no side is the right one: the newer file is taken, the other is kept beside it",
            remedy="leave it out",
        )
    if foreground:
        keep = keep_equal
        if two_way:
            from rigstack.laptop.two_way import keep_both_equal as keep
        keep(home, job, lambda words: console.note(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {words}"))
        return
    if running and not once:
        raise ConfigError(
            f"{target.alias} is kept equal with {running[0].about['folder']} already",
            remedy=f"rigstack sync --stop {project}",
        )
    if two_way:
        _both_ways(home, job, as_json=as_json)
    else:
        _one_way(home, job, as_json=as_json)
    if once:
        return
    options = [*(["--delete"] if delete else []), *(["--overwrite"] if overwrite else []), f"--limit={limit}"]
    options += ["--two-way"] if two_way else []
    words = (sys.executable, "-m", "rigstack", "sync", target.alias, str(place), "--foreground", *options)
    _watch(home, target, place, words)


def _one_way(home: LaptopHome, job: Sync, *, as_json: bool) -> None:
    with console.line_of_progress() as progress:
        done = sync_once(home, job, progress=progress)
    if as_json:
        console.result_json(
            {"sent": list(done.sent), "deleted": list(done.deleted), "git": done.commits, "seconds": done.seconds}
        )
    else:
        console.result(f"{job.target.alias}: {done}")


def _both_ways(home: LaptopHome, job: Sync, *, as_json: bool) -> None:
    from rigstack.laptop.two_way import check_unison, sync_both_ways

    check_checkout(job.folder)
    check_unison(home, job.target)
    done = sync_both_ways(home, job)
    if as_json:
        console.result_json(
            {"done": list(done.lines), "held": list(done.held), "conflicts": done.kept, "kinds": list(done.kinds)}
        )
        return
    for line in done.lines:
        console.note(line)
    for path in done.held:
        console.warn(f"{path} was deleted on one side and stays on the other; --delete takes it away there too")
    for words in done.conflicts():
        console.warn(words)
    for path in done.kinds:
        console.warn(f"{path} is a folder on one side and a file on the other; both stay until you rename one")
    if not done.held and not done.kinds:
        console.result(f"{job.target.alias}: both sides are equal")


def _watch(home: LaptopHome, target: Target, place: Path, words: tuple[str, ...]) -> None:
    start_kept(
        home,
        Kept(kind="sync", id=f"sync-{target.alias}", alias=target.alias, about={"folder": str(place)}, argv=words),
    )
    warn_of_cache()
    name = target.project.name
    console.note(f"watching {place}; rigstack sync --status, --log {name}, --stop {name}")
