"""Sync in both directions by unison: what changed on either side goes to the other, and a conflict loses nothing.

unison remembers both sides, so it knows what changed where. When the same file changed on both, the newer one is taken
and the other is kept beside it, with "conflict" in its name. Nothing is deleted: a file that is gone on one side comes
back from the other.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rigstack import process
from rigstack.errors import HostError, ReachError
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import Target
from rigstack.laptop.sync import PARTIAL, sync_ssh_argv
from rigstack.laptop.sync_git import ignored_paths
from rigstack.render.pycharm import EXCLUDED

PAUSE = 2  # seconds between two looks at both sides


def unison_argv(
    home: LaptopHome, target: Target, folder: Path, ignored: tuple[str, ...], *, watch: bool
) -> tuple[str, ...]:
    """One round, or with `watch` rounds for ever (unison's manual, "Preferences")."""
    there = f"ssh://{target.direct}/{target.project.folder}"
    program, *words = sync_ssh_argv(home, target)
    return (
        *("unison", str(folder), there, "-batch", "-auto", "-times", "-dumbtty", "-contactquietly"),
        *("-prefer", "newer", "-copyonconflict"),
        *("-nodeletion", str(folder), "-nodeletion", there),
        *("-sshcmd", program, "-sshargs", " ".join(words)),
        *(word for name in (*EXCLUDED, PARTIAL) for word in ("-ignore", f"Name {name}")),
        *(word for path in ignored for word in ("-ignore", f"Path {_literal(path.rstrip('/'))}")),
        *(("-repeat", str(PAUSE)) if watch else ("-terse",)),
    )


def _literal(path: str) -> str:
    """A path as unison's pattern that means exactly it."""
    return "".join(f"\\{one}" if one in "*?[]{},\\" else one for one in path)


def check_unison(home: LaptopHome, target: Target) -> None:
    """Raises HostError unless unison is on both sides (2.52 and later know one another), ReachError without the rig."""
    if shutil.which("unison") is None:
        raise HostError("unison is not installed", remedy="apt-get install unison, or on macOS: brew install unison")
    done = process.run((*sync_ssh_argv(home, target), target.direct, "command -v unison"), timeout=60)
    if done.status == 255:
        raise ReachError(
            f"{target.project.name} cannot be reached",
            details=done.tail(3),
            remedy=f"rigstack ssh {target.project.name} says what is wrong",
        )
    if not done.ok:
        raise HostError(
            f"unison is not in the workspace of {target.project.name}",
            remedy="add a line `unison` to the project's apt.txt, then on the host: rigstack up",
        )


def sync_both_ways(home: LaptopHome, target: Target, folder: Path) -> tuple[str, ...]:
    """One round; what unison said. Raises HostError or ReachError."""
    check_unison(home, target)
    done = process.run(unison_argv(home, target, folder, ignored_paths(folder), watch=False))
    if done.status not in (0, 1):  # 1: all was done, some files were skipped (unison's manual, "Exit Code")
        raise HostError(f"unison failed with status {done.status}", details=done.tail(6))
    return tuple(line for line in done.stderr.splitlines() + done.stdout.splitlines() if line.strip())
