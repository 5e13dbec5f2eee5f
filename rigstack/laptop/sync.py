"""A local checkout and the project's folder on the rig, kept equal by rsync: the laptop's files go to the rig.

`.git` is never copied file by file: see sync_git. What git ignores here is not copied, nor what `.rigignore` names.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rigstack import process
from rigstack.errors import ConfigError, ConsentError, HostError, ReachError
from rigstack.laptop.copy import PARTIAL
from rigstack.laptop.home import LaptopHome, check_checkout
from rigstack.laptop.rigs import Target
from rigstack.laptop.sync_git import carry_commits, ignored_paths
from rigstack.laptop.watch import Watch
from rigstack.render.pycharm import EXCLUDED
from rigstack.value import Value

LOST = (12, 30, 35, 255)  # rsync(1), EXIT VALUES: protocol stream, timeouts, and ssh's own
PROGRESS = re.compile(r"\s*([\d,.]+)\s+(\d+%)\s+(\S+/s)")
Outcome = TypeVar("Outcome")


class Sync(Value):
    """What to keep equal. delete: files that went here go there too, at most `limit` at once.

    overwrite: also files that are newer on the rig, which are left alone otherwise.
    """

    target: Target
    folder: Path
    delete: bool = False
    limit: int = 100
    overwrite: bool = False


class Synced(Value):
    """One round: the files that were sent, those that were deleted there, what became of the commits, seconds."""

    sent: tuple[str, ...]
    deleted: tuple[str, ...]
    commits: str
    seconds: float

    def __str__(self) -> str:
        gone = f", {len(self.deleted)} deleted" if self.deleted else ""
        commits = f", {self.commits}" if self.commits else ""
        return f"{len(self.sent)} sent{gone}{commits} ({self.seconds:.2f} s)"


def sync_ssh_argv(home: LaptopHome, target: Target) -> tuple[str, ...]:
    """The ssh under rsync and git: one connection that all rounds share, and that notices a cut after 15 s."""
    path = home.places(target.connection.name).control_path
    shared = ("-o", "ControlMaster=auto", "-o", f"ControlPath={path.replace('%C', 's%C')}", "-o", "ControlPersist=5m")
    return ("ssh", *home.ssh_words(), "-o", "BatchMode=yes", *(shared if path else ()))


def rsync_argv(home: LaptopHome, sync: Sync, ignored: Path, *, dry_run: bool = False) -> tuple[str, ...]:
    """One round. ignored: a file of paths not to copy, as git says.

    Times are compared to the nanosecond: two saves of one size within a second are two (rsync(1), --modify-window).
    """
    return (
        *("rsync", "-rlptD", "--out-format=%o %n", "--timeout=20", "--modify-window=-1", f"--partial-dir={PARTIAL}"),
        *(() if sync.overwrite else ("--update",)),
        *(("--delete", f"--max-delete={sync.limit}") if sync.delete else ()),
        *(("--dry-run",) if dry_run else ()),
        *(f"--exclude={name}" for name in (*EXCLUDED, PARTIAL)),
        f"--exclude-from={ignored}",
        "--filter=:- .rigignore",
        *("-e", process.quote(sync_ssh_argv(home, sync.target))),
        f"{sync.folder}/",
        f"{sync.target.direct}:{sync.target.project.folder}/",
    )


def check(sync: Sync) -> None:
    """Raises ConfigError for a folder that is no checkout or is empty, HostError without rsync."""
    check_checkout(sync.folder)
    if sync.delete and not any(sync.folder.iterdir()):
        raise ConfigError(
            f"{sync.folder} is empty, and --delete would empty the project on the rig",
            remedy=f"fill it first: rigstack cp {sync.target.project.name}: {sync.folder}",
        )
    if shutil.which("rsync") is None:
        raise HostError("rsync is not installed", remedy="apt-get install rsync, or on macOS: brew install rsync")
    if sys.platform == "darwin" and not process.run(("rsync", "--version")).stdout.startswith("rsync  version 3"):
        raise HostError("the rsync of macOS is too old or another program (openrsync)", remedy="brew install rsync")


def sync_once(
    home: LaptopHome,
    sync: Sync,
    ignored: tuple[str, ...] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Synced:
    """One round. ignored: as ignored_paths() tells, when it is known already. progress: gets words as files go.

    Raises ReachError when the rig is not there, ConsentError for more deletions than the limit.
    """
    began = time.monotonic()
    check(sync)
    with tempfile.NamedTemporaryFile("w", prefix="rigstack-ignored-") as file:
        file.writelines(f"/{_literal(path)}\n" for path in (ignored_paths(sync.folder) if ignored is None else ignored))
        file.flush()
        not_these = Path(file.name)
        if sync.delete:
            _, gone = _run(rsync_argv(home, sync.replace(limit=10**6), not_these, dry_run=True), sync)
            if len(gone) > sync.limit:
                raise ConsentError(
                    f"{len(gone)} files would be deleted on the rig, more than the limit of {sync.limit}; none was",
                    details=gone[:5],
                    remedy=f"when that is right: rigstack sync --delete --limit {len(gone)}",
                )
        sent, deleted = _run(rsync_argv(home, sync, not_these), sync, progress)
    commits = carry_commits(sync.folder, sync.target, sync_ssh_argv(home, sync.target))
    return Synced(sent=sent, deleted=deleted, commits=commits, seconds=time.monotonic() - began)


def _run(
    argv: tuple[str, ...], sync: Sync, progress: Callable[[str], None] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    done = process.run(argv) if progress is None else _followed(argv, progress)
    if done.status in LOST:
        raise ReachError(
            f"{sync.target.project.name} cannot be reached",
            details=done.tail(3),
            remedy=f"rigstack ssh {sync.target.project.name} says what is wrong",
        )
    if done.status not in (0, 24):  # 24: a file went away while it was looked at
        raise HostError(f"rsync failed with status {done.status}", details=done.tail(5))
    lines = [line.partition(" ")[::2] for line in done.stdout.splitlines()]
    sent = tuple(name for word, name in lines if word == "send" and not name.endswith("/"))
    return sent, tuple(name for word, name in lines if word == "del.")


def _followed(argv: tuple[str, ...], progress: Callable[[str], None]) -> process.Completed:
    """Runs rsync and tells how far it is, in its own numbers (rsync(1), --info=progress2)."""
    lines: list[str] = []

    def hear(line: str) -> None:
        if told := PROGRESS.match(line):
            progress(f"{told[2]} at {told[3]}, {told[1]} B")
        elif line.strip():
            lines.append(line)

    status = process.stream((*argv[:1], "--info=progress2", "--no-inc-recursive", *argv[1:]), hear)
    return process.Completed(argv=argv, status=status, stdout="\n".join(lines), stderr="")


def _literal(path: str) -> str:
    """A path as an rsync pattern that means exactly it."""
    return "".join(f"\\{one}" if one in "*?[\\" else one for one in path) if set(path) & set("*?[") else path


def keep_equal(home: LaptopHome, sync: Sync, tell: Callable[[str], None]) -> None:
    """Rounds for ever: one at each change. A cut is waited out; what changed meanwhile goes when it is over.

    Raises ConsentError, ConfigError or HostError, for which no waiting helps.
    """
    watch = Watch(sync.folder)
    for _ in watch.changes():
        ignored = ignored_paths(sync.folder)
        watch.ignored = frozenset(ignored)
        done = until_reached(lambda ignored=ignored: sync_once(home, sync, ignored), tell)  # type: ignore[misc]
        if done.sent or done.deleted or done.commits:
            tell(str(done))


def until_reached(act: Callable[[], Outcome], tell: Callable[[str], None]) -> Outcome:
    """What `act` returns; while the rig cannot be reached, it is done again, after 1 s, 2, 4 and then every 8 s."""
    pause = 1.0
    while True:
        try:
            return act()
        except ReachError as error:
            tell(f"{error.what}; again in {pause:.0f} s")
            time.sleep(pause)
            pause = min(2 * pause, 8.0)
