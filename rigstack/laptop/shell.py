"""Command lines for a project's shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import Target


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
