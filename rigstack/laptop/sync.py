"""A local checkout and the project's folder on the rig, kept equal by rsync: the laptop's files go to the rig.

`.git` is never copied file by file: see sync_git. What git ignores here is not copied, nor what `.rigignore` names.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rigstack import process
from rigstack.errors import ConfigError, ConsentError, HostError, ReachError
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import Target
from rigstack.laptop.sync_git import carry_commits, head_of, ignored_paths
from rigstack.render.pycharm import EXCLUDED
from rigstack.value import Value

LOST = (12, 30, 35, 255)  # rsync(1), EXIT VALUES: protocol stream, timeouts, and ssh's own
PARTIAL = ".rigstack-partial"
SETTLE = 0.3  # seconds between two looks at the folder, at least


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
    """Raises ConfigError for a folder that is none or is empty, HostError without rsync."""
    if not sync.folder.is_dir():
        raise ConfigError(f"there is no folder {sync.folder}", remedy="name the local checkout")
    if sync.delete and not any(sync.folder.iterdir()):
        raise ConfigError(
            f"{sync.folder} is empty, and --delete would empty the project on the rig",
            remedy=f"fill it first: rigstack cp {sync.target.project.name}: {sync.folder}",
        )
    if shutil.which("rsync") is None:
        raise HostError("rsync is not installed", remedy="apt-get install rsync, or on macOS: brew install rsync")


def sync_once(home: LaptopHome, sync: Sync) -> Synced:
    """One round. Raises ReachError when the rig is not there, ConsentError for more deletions than the limit."""
    began = time.monotonic()
    check(sync)
    with tempfile.NamedTemporaryFile("w", prefix="rigstack-ignored-") as file:
        file.writelines(f"/{_literal(path)}\n" for path in ignored_paths(sync.folder))
        file.flush()
        ignored = Path(file.name)
        if sync.delete:
            _, gone = _run(rsync_argv(home, sync.replace(limit=10**6), ignored, dry_run=True), sync)
            if len(gone) > sync.limit:
                raise ConsentError(
                    f"{len(gone)} files would be deleted on the rig, more than the limit of {sync.limit}; none was",
                    details=gone[:5],
                    remedy=f"when that is right: rigstack sync --delete --limit {len(gone)}",
                )
        sent, deleted = _run(rsync_argv(home, sync, ignored), sync)
    commits = carry_commits(sync.folder, sync.target, sync_ssh_argv(home, sync.target))
    return Synced(sent=sent, deleted=deleted, commits=commits, seconds=time.monotonic() - began)


def _run(argv: tuple[str, ...], sync: Sync) -> tuple[tuple[str, ...], tuple[str, ...]]:
    done = process.run(argv)
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


def _literal(path: str) -> str:
    """A path as an rsync pattern that means exactly it."""
    return "".join(f"\\{one}" if one in "*?[\\" else one for one in path) if set(path) & set("*?[") else path


def look(folder: Path) -> int:
    """A number that changes when a file below changes; what is never copied is not looked at."""
    total = hash(head_of(folder))
    for parent, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if one not in EXCLUDED]
        for name in names:
            try:
                stat = os.lstat(f"{parent}/{name}")
            except OSError:
                continue
            total ^= hash((parent, name, stat.st_mtime_ns, stat.st_size, stat.st_mode))
        total ^= hash((parent, tuple(sorted(folders))))
    return total


def changes(folder: Path) -> Iterator[None]:
    """Yields at once, and then each time something below the folder has changed; waits in between.

    Looking costs less than a twentieth of the time, however large the folder.
    """
    before = None
    while True:
        began = time.monotonic()
        now = look(folder)
        cost = time.monotonic() - began
        if now != before:
            before = now
            yield
        time.sleep(max(SETTLE, 20 * cost))


def keep_equal(home: LaptopHome, sync: Sync, tell: Callable[[str], None]) -> None:
    """Rounds for ever: one at each change. A cut is waited out; what changed meanwhile goes when it is over.

    Raises ConsentError, ConfigError or HostError, for which no waiting helps.
    """
    for _ in changes(sync.folder):
        pause = 1.0
        while True:
            try:
                done = sync_once(home, sync)
                break
            except ReachError as error:
                tell(f"{error.what}; again in {pause:.0f} s")
                time.sleep(pause)
                pause = min(2 * pause, 8.0)
        if done.sent or done.deleted or done.commits:
            tell(str(done))
