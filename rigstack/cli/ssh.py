"""`rigstack ssh` and `rigstack cp`: a project's shell, which survives a lost connection, and files to and fro."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from rigstack import process
from rigstack.cli import console
from rigstack.errors import ConfigError
from rigstack.laptop.home import LaptopHome, laptop_home
from rigstack.laptop.rigs import Target, find_project
from rigstack.laptop.shell import command_argv, login_argv, tmux_argv

if TYPE_CHECKING:
    from rigstack.laptop.copy import Copy

LOST = 255  # ssh's own status when the connection fails or breaks: ssh(1), EXIT STATUS
BROKEN = (10, 12, 30, 35, LOST)  # rsync's: rsync(1), EXIT VALUES


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--no-tmux", is_flag=True, help="A plain login shell, which ends with the connection.")
@click.option("--session", default="main", show_default=True, help="The tmux session to go on with, or to begin.")
@click.argument("project")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(no_tmux: bool, session: str, project: str, command: tuple[str, ...]) -> None:
    """A shell in PROJECT, or COMMAND run in its folder.

    The shell is in tmux: when the connection is lost it goes on, and rigstack comes back to it by itself.
    """
    home = laptop_home()
    target = find_project(home, project)
    if command[:1] == ("--",):  # as with `ssh HOST -- COMMAND`
        command = command[1:]
    if command:
        status = process.attach(command_argv(home, target, command))
    elif no_tmux or not sys.stdin.isatty():
        status = process.attach(login_argv(home, target, terminal=sys.stdin.isatty()))
    else:
        status = _until_it_ends(home, target, _session(session))
    if status == LOST:
        _explain(home, target)
    sys.exit(status)


def _session(name: str) -> str:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"--session {name!r} is not right; expected letters, digits, '-' and '_'")
    return name


def _until_it_ends(home: LaptopHome, target: Target, session: str) -> int:
    """Stays with the tmux session through lost connections; the status of the ssh that ended otherwise."""
    argv = tmux_argv(home, target, session)
    lost_at: float | None = None
    pause = 1.0
    while True:
        began = time.monotonic()
        status = process.attach(argv)
        lasted = time.monotonic() - began
        if status != LOST or (lost_at is None and lasted < 3):
            return status
        if lost_at is None or lasted > 20:
            lost_at, pause = time.monotonic(), 1.0
            console.note("\nThe connection is lost; what runs there goes on. Coming back to it (Ctrl-C ends this)...")
        try:
            time.sleep(pause)
        except KeyboardInterrupt:
            return 130
        pause = min(pause * 2, 8.0)


def _explain(home: LaptopHome, target: Target) -> None:
    from rigstack.laptop.reach import explain

    if error := explain(home, target):
        raise error


@click.command()
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be copied, and copy nothing.")
@click.argument("paths", nargs=-1, required=True, metavar="SOURCE... DESTINATION")
def cp(dry_run: bool, paths: tuple[str, ...]) -> None:
    """Copy files between this machine and a project, written PROJECT:PATH. What was copied in part goes on.

    A relative PATH starts in the project's folder; folders are copied whole. From afar it takes several connections.
    """
    if len(paths) < 2:
        raise ConfigError("say from where to where", remedy="rigstack cp results.csv demo:data/")
    from rigstack.laptop.copy import copy_argv, read_copy

    home = laptop_home()
    copy = read_copy(home, paths)
    status = process.attach(copy_argv(home, copy, dry_run=True)) if dry_run else _copy(home, copy)
    if status in BROKEN:
        console.note("The connection failed or broke off; the same command again goes on from there.")
        _explain(home, copy.target)
    sys.exit(status)


def _copy(home: LaptopHome, copy: Copy) -> int:
    from rigstack.laptop.bulk import big_files, pour
    from rigstack.laptop.copy import FAR, clean_here, copy_argv, ready_argv

    answer = process.round_trip(ready_argv(home, copy))
    if answer is None:
        return LOST
    far = answer[0] >= FAR
    argv = copy_argv(home, copy, far=far)
    if not copy.there:
        clean_here(copy.folders())
    with console.line_of_progress() as progress:
        for big in big_files(copy, answer[1]) if argv[0] == "rsync" else ():
            if pour(home, copy, big, far=far, tell=progress and _told(progress)) == LOST:
                return LOST
    return process.attach(argv)


def _told(progress: Callable[[str], None]) -> Callable[[str, int, int], None]:
    began = time.monotonic()

    def tell(name: str, done: int, size: int) -> None:
        speed = done / (time.monotonic() - began) / (1 << 20)
        progress(f"{name} {100 * done // size}% of {size >> 20} MiB at {speed:.0f} MiB/s")

    return tell
