"""Notices that something in a folder has changed: by the system's own events, and by looking where there are none.

watchfiles brings the events (inotify, FSEvents). Network file systems and Windows folders under WSL tell none, and a
system may have no room for more watches: so the folder is also looked through now and then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path, PurePath

from rigstack.laptop.sync_git import head_of
from rigstack.render.pycharm import EXCLUDED

SETTLE_MS, LONGEST_MS = 30, 500  # a save is several events, and a program may never stop writing
TICK_MS = 1000
LOOK_AGAIN = 10.0  # seconds between two looks, beside the events
LOOK_ALWAYS = 0.3  # without events


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


def counts(path: PurePath, ignored: frozenset[str]) -> bool:
    """Whether a change of that path is one: the branch and its commits are, what is never copied is none.

    path: relative to the folder. ignored: paths as git tells them, folders with a slash at the end.
    """
    if path.parts[:1] == (".git",):
        return path.parts[1:2] == ("HEAD",) or path.parts[1:3] == ("refs", "heads")
    if any(part in EXCLUDED for part in path.parts):
        return False
    return str(path) not in ignored and not any(f"{parent}/" in ignored for parent in (path, *path.parents))


class Watch:
    """Waits for changes below a folder. ignored may be set anew at any time: changes of these paths are none.

    at_least: changes() goes on after so many seconds without a change too; 0 is never.
    """

    def __init__(self, folder: Path, *, at_least: float = 0.0) -> None:
        self.folder, self.at_least = folder.resolve(), at_least
        self.ignored: frozenset[str] = frozenset()

    def changes(self) -> Iterator[None]:
        """Yields at once, and then each time something has changed, also while the caller was at work.

        Looking costs less than a twentieth of the time, however large the folder.
        """
        seen: int | None = look(self.folder)
        yield
        told = looked = time.monotonic()
        pause = LOOK_AGAIN
        for event in self._events():
            if event is None:
                pause = LOOK_ALWAYS
            changed = bool(event)
            if changed:
                seen = None  # of what came by events nothing need be looked for
            elif time.monotonic() - looked >= pause:
                began = time.monotonic()
                now = look(self.folder)
                looked = time.monotonic()
                pause = max(pause, 20 * (looked - began))
                changed, seen = seen is not None and now != seen, now
            if changed or (self.at_least and time.monotonic() - told >= self.at_least):
                yield
                told = time.monotonic()

    def _events(self) -> Iterator[bool | None]:
        """True for changes, False for none in a second; None again and again where no events are to be had."""
        import watchfiles

        try:
            for found in watchfiles.watch(
                self.folder,
                watch_filter=lambda _, path: self._counts(path),
                debounce=LONGEST_MS,
                step=SETTLE_MS,
                rust_timeout=TICK_MS,
                yield_on_timeout=True,
                ignore_permission_denied=True,
            ):
                yield bool(found)
        except (OSError, RuntimeError):  # no room for more watches (inotify(7), max_user_watches)
            pass
        while True:
            time.sleep(LOOK_ALWAYS)
            yield None

    def _counts(self, path: str) -> bool:
        try:
            return counts(PurePath(path).relative_to(self.folder), self.ignored)
        except ValueError:
            return True
