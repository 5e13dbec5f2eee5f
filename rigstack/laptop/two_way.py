"""Sync in both directions by unison: what changed on either side goes to the other, and a conflict loses nothing.

unison remembers both sides, so it knows what changed where. When the same file changed on both, the newer one is taken
and the other is kept beside it, on both sides: see two_way_conflict. What was deleted on one side stays on the other,
unless deletions are asked for: then they are counted first, and done only up to a limit.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from rigstack import process
from rigstack.errors import ConsentError, HostError, ReachError
from rigstack.laptop.copy import PARTIAL
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import Target
from rigstack.laptop.sync import LOST, Sync, sync_ssh_argv, until_reached
from rigstack.laptop.sync_git import ignored_paths, would_ignore
from rigstack.laptop.two_way_conflict import (
    Conflicts,
    find_command,
    is_copy,
    look_here,
    new_names,
    parse_found,
    read_conflicts,
    this_machine,
)
from rigstack.laptop.watch import Watch
from rigstack.render.pycharm import EXCLUDED
from rigstack.value import Value

LOOK_THERE = 3.0  # seconds between two looks at the rig's side, which tells no events
HELD = re.compile(r"^  skipped: (.+) \(would delete a file with nodeletion", re.M)
# Every folder (with a slash at its end) and file there, without what is never copied.
LIST = "cd {folder} && find . \\( {never} \\) -prune -o -mindepth 1 -type d -printf '%P/\\0' -o -printf '%P\\0'"


class Exchanged(Value):
    """One round: what unison said it did, the paths that one side deleted and the other still has, and conflicts.

    kept: path -> where the version that gave way is. kinds: a folder on one side, a file on the other; left alone.
    """

    lines: tuple[str, ...]
    held: tuple[str, ...]
    kept: dict[str, str]
    kinds: tuple[str, ...]

    def conflicts(self) -> tuple[str, ...]:
        """Each conflict in words."""
        return tuple(
            f"{path} was changed on both sides: the newer one is in place, the other is {kept}"
            for path, kept in self.kept.items()
        )


def unison_argv(
    home: LaptopHome,
    sync: Sync,
    ignored: tuple[str, ...],
    *,
    only: tuple[str, ...] = (),
    delete: bool = False,
    newer: bool = False,
    keep: bool = False,
) -> tuple[str, ...]:
    """One round; conflicts are left as they are and told (unison's manual, "Preferences").

    only: these paths and no others. delete: what is gone on one side goes on the other. newer: of two versions the
    newer is taken; keep: and the other saved beside it.
    """
    there = f"ssh://{sync.target.direct}/{sync.target.project.folder}"
    program, *words = sync_ssh_argv(home, sync.target)
    return (
        *("unison", str(sync.folder), there, "-batch", "-auto", "-times", "-dumbtty", "-contactquietly", "-terse"),
        *(("-prefer", "newer") if newer else ()),
        *(("-copyonconflict",) if keep else ()),
        # Deletions are held back, or were counted before: unison's own question about whole folders would only stop it.
        "-confirmbigdel=false",
        *(() if delete else ("-nodeletion", str(sync.folder), "-nodeletion", there)),
        *(word for path in only for word in ("-path", path)),
        *("-sshcmd", program, "-sshargs", " ".join(words)),
        *(word for name in (*EXCLUDED, PARTIAL) for word in ("-ignore", f"Name {name}")),
        *(word for path in ignored for word in ("-ignore", f"Path {_literal(path.rstrip('/'))}")),
        *(word for pattern in own_patterns(sync.folder) for word in ("-ignore", pattern)),
    )


def own_patterns(folder: Path) -> tuple[str, ...]:
    """What the folder's .rigignore names, as unison's patterns: a name anywhere, or a path from the top."""
    try:
        text = (folder / ".rigignore").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    lines = [line.strip() for line in text.splitlines()]
    patterns = [line.rstrip("/") for line in lines if line and not line.startswith(("#", ";", "!", "+ "))]
    return tuple(f"Path {one.lstrip('/')}" if "/" in one else f"Name {one}" for one in patterns)


def _literal(path: str) -> str:
    """A path as unison's pattern that means exactly it."""
    return "".join(f"\\{one}" if one in "*?[]{},\\" else one for one in path)


def check_unison(home: LaptopHome, target: Target) -> None:
    """Raises HostError unless unison is on both sides (2.52 and later know one another), ReachError without the rig."""
    if shutil.which("unison") is None:
        raise HostError("unison is not installed", remedy="apt-get install unison, or on macOS: brew install unison")
    if not _there(home, target, "command -v unison").ok:
        raise HostError(
            f"unison is not in the workspace of {target.project.name}",
            remedy="add a line `unison` to the project's apt.txt, then on the host: rigstack up",
        )


def sync_both_ways(home: LaptopHome, sync: Sync) -> Exchanged:
    """One round. Raises HostError, ReachError, or ConsentError for more deletions than the limit."""
    target = sync.target
    never = " -o ".join(f"-name {name}" for name in EXCLUDED)
    listed = _there(home, target, LIST.format(folder=target.project.folder, never=never))
    there = tuple(one for one in listed.stdout.split("\0") if one)
    ignored = tuple(dict.fromkeys((*ignored_paths(sync.folder), *would_ignore(sync.folder, there))))
    done = _unison(unison_argv(home, sync, ignored), target)
    held = tuple(HELD.findall(done.stderr))
    conflicts = read_conflicts(done.stdout)
    kept = _settle(home, sync, ignored, conflicts)
    if held and sync.delete:
        doomed = [name for path in held for name in _below(sync.folder, there, path)]
        if len(doomed) > sync.limit:
            raise ConsentError(
                f"{len(doomed)} files would be deleted, more than the limit of {sync.limit}; none was",
                details=tuple(doomed[:5]),
                remedy=f"when that is right: rigstack sync --two-way --delete --limit {len(doomed)}",
            )
        _unison(unison_argv(home, sync, ignored, only=held, delete=True, newer=True), target)
        held = ()
    did = re.findall(r"^\[BGN\] (.+)$", done.stderr, re.M)
    return Exchanged(lines=tuple(did), held=held, kept=kept, kinds=conflicts.kinds)


def _settle(home: LaptopHome, sync: Sync, ignored: tuple[str, ...], conflicts: Conflicts) -> dict[str, str]:
    """Takes the newer version of each; returns path -> where the other one is, on both sides."""
    if conflicts.plain:
        _unison(unison_argv(home, sync, ignored, only=conflicts.plain, newer=True), sync.target)
    if not conflicts.files:
        return {}
    _unison(unison_argv(home, sync, ignored, only=conflicts.files, newer=True, keep=True), sync.target)
    top = sync.target.project.folder
    found = parse_found(_there(home, sync.target, find_command(top, conflicts.files)).stdout)
    there = new_names(found, conflicts.files, sync.target.connection.name)
    here = new_names(look_here(sync.folder, conflicts.files), conflicts.files, this_machine())
    for old, new in here.items():
        (sync.folder / old).rename(sync.folder / new)
    if there:
        moves = " && ".join(f"mv -n -- {shlex.quote(old)} {shlex.quote(new)}" for old, new in there.items())
        _there(home, sync.target, f"cd {shlex.quote(top)} && {moves}")
    kept = {**here, **there}
    _unison(unison_argv(home, sync, ignored, only=tuple(kept.values())), sync.target)
    return {of: new for old, new in kept.items() for of in conflicts.files if is_copy(old, of)}


def keep_both_equal(home: LaptopHome, sync: Sync, tell: Callable[[str], None]) -> None:
    """Rounds for ever: at each change here, and every few seconds for what changed there. A cut is waited out.

    Raises ConsentError, ConfigError or HostError, for which no waiting helps.
    """
    watch = Watch(sync.folder, at_least=LOOK_THERE)
    for _ in watch.changes():
        watch.ignored = frozenset(ignored_paths(sync.folder))
        done = until_reached(lambda: sync_both_ways(home, sync), tell)
        for line in (*done.lines, *done.conflicts()):
            tell(line)


def _below(folder: Path, there: tuple[str, ...], path: str) -> list[str]:
    """The files that are that path or below it, on the side that still has them."""
    inside = [one for one in there if one == path or one.startswith(f"{path}/")]
    here = folder / path
    inside += [str(one.relative_to(folder)) for one in (here.rglob("*") if here.is_dir() else [here]) if one.exists()]
    return [one for one in inside if not one.endswith("/") and not (folder / one).is_dir()]


def _unison(argv: tuple[str, ...], target: Target) -> process.Completed:
    done = process.run(argv)
    if done.status not in (0, 1):  # 1: all was done, some files were skipped (unison's manual, "Exit Code")
        if "Lost connection" in done.stderr or "Connection" in done.stderr:
            raise _unreachable(target, done)
        raise HostError(f"unison failed with status {done.status}", details=done.tail(6))
    return done


def _there(home: LaptopHome, target: Target, command: str) -> process.Completed:
    done = process.run((*sync_ssh_argv(home, target), target.direct, command), timeout=120)
    if done.status in LOST:
        raise _unreachable(target, done)
    return done


def _unreachable(target: Target, done: process.Completed) -> ReachError:
    return ReachError(
        f"{target.project.name} cannot be reached",
        details=done.tail(3),
        remedy=f"rigstack ssh {target.project.name} says what is wrong",
    )
