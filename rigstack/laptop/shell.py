"""Command lines for a project's shell and for copying files."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rigstack.assets import assets_dir
from rigstack.errors import ConfigError, HostError
from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import Target, find_project

PARTIAL = ".rigstack-partial"  # the folder for what was copied in part; rsync resumes it, and takes it away


def command_argv(home: LaptopHome, target: Target, command: Sequence[str]) -> tuple[str, ...]:
    """Runs a command in the project's folder. One word is shell text, as with ssh; several are words."""
    text = command[0] if len(command) == 1 else shlex.join(command)
    return ssh.client_argv(home, target.alias, f"cd {shlex.quote(target.project.folder)} || exit\n{text}")


def login_argv(home: LaptopHome, target: Target, *, terminal: bool) -> tuple[str, ...]:
    """A login shell, which lands in the project's folder."""
    return ssh.client_argv(home, *(("-t",) if terminal else ()), target.alias)


def tmux_argv(home: LaptopHome, target: Target, session: str) -> tuple[str, ...]:
    """The tmux session of that name, begun in the project's folder when there is none.

    tmux ends at once on a terminal it has no description of: those get the plainest that has colours.
    """
    text = (
        'infocmp "$TERM" > /dev/null 2>&1 || export TERM=xterm-256color; '
        f"exec tmux -u new-session -A -s {session} -c {shlex.quote(target.project.folder)}"
    )
    return ssh.client_argv(home, "-t", "-o", "ServerAliveInterval=5", target.alias, text)


def copy_argv(home: LaptopHome, paths: Sequence[str], *, dry_run: bool = False) -> tuple[tuple[str, ...], Target]:
    """rsync (scp where there is none) for `paths`, the last of which is the destination; and the project in them.

    Raises ConfigError unless exactly one project is named, on one side, and what is to be copied from here is here.
    dry_run: rsync only tells; HostError where there is none.
    """
    split = [_remote(home, path) for path in paths]
    targets = {target.alias: target for target, _ in split if target is not None}
    sides = {target is not None for target, _ in split[:-1]}
    if len(targets) != 1 or len(sides) != 1 or sides == {split[-1][0] is not None}:
        raise ConfigError(
            "one side must be a project (PROJECT:PATH) and the other this machine",
            remedy="rigstack cp results.csv demo:data/, or rigstack cp demo:runs/ .",
        )
    target = next(iter(targets.values()))
    for there, path in split[:-1]:
        if there is None and not os.path.lexists(path):
            raise ConfigError(f"there is no {path} here")
    words = [f"{target.alias}:{path}" if there else path for there, path in split]
    if shutil.which("rsync"):
        # What was copied in part waits in a folder beside, under no name that a person would take for the file.
        # The timeout is for the other side, which must not wait for ever to put it there.
        options = ("-a", f"--partial-dir={PARTIAL}", "--timeout=60", "--progress", *(("--dry-run",) if dry_run else ()))
        argv = ("rsync", *options, "-e", shlex.join(lanes_argv(home, target)), "--", *words)
    elif dry_run:
        raise HostError("scp cannot say what it would copy", remedy="install rsync")
    else:
        argv = ("scp", *home.ssh_words(), "-rp", "--", *words)
    return argv, target


def lanes_argv(home: LaptopHome, target: Target) -> tuple[str, ...]:
    """The remote shell under `copy_argv`: from afar it takes several connections (programs/lanes.py)."""
    program = str(assets_dir() / "programs/lanes.py")
    return (sys.executable, "-IS", program, target.direct, target.alias, *ssh.client_argv(home))


def _remote(home: LaptopHome, path: str) -> tuple[Target | None, str]:
    """The project and the path in it that `PROJECT:PATH` names; (None, path) for a file of this machine."""
    name, colon, rest = path.partition(":")
    if not colon or "/" in name or Path(path).exists():
        return None, path
    target = find_project(home, name)
    return target, rest if rest.startswith(("/", "~")) else f"{target.project.folder}/{rest}"
