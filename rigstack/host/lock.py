"""One lock per rig: two changes at once break each other (4 of 5 concurrent compose runs failed when measured)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rigstack.errors import HostError, LockedError

PATIENCE = 900.0  # seconds; a cold build of a large project fits in


@contextlib.contextmanager
def rig_lock(
    root: Path, command: str, *, wait: bool = True, on_wait: Callable[[str], None] = lambda _: None
) -> Iterator[int]:
    """Holds the rig's lock for the block; yields its file descriptor.

    Commands that get this descriptor (process.run's keep_open) hold the lock too, until they end: when
    rigstack is killed, the compose it had started still has the rig to itself.

    wait: wait for the present holder (at most PATIENCE seconds), after telling on_wait who it is.
    Raises LockedError when somebody else holds it (still), HostError when it cannot be made.
    """
    path = root / "state" / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as failed:
        raise HostError(
            f"cannot open the rig's lock {path}: {failed.strerror}",
            cause="the rig belongs to another user" if failed.errno == 13 else "",
            remedy="run as the user who made the rig, or with sudo",
        ) from None
    try:
        _take(handle, path, wait, on_wait)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "command": command, "since": time.time()}).encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _take(handle: int, path: Path, wait: bool, on_wait: Callable[[str], None]) -> None:
    deadline = time.monotonic() + PATIENCE
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _holder(path)
            if not wait or time.monotonic() > deadline:
                raise LockedError(
                    f"{holder} works on this rig", remedy="wait for it, or run without --no-wait"
                ) from None
            if not told:
                on_wait(f"waiting for {holder}")
                told = True
            time.sleep(0.1)


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text())
        since = time.strftime("%H:%M:%S", time.localtime(told["since"]))
        return f"process {told['pid']} (rigstack {told['command']}, since {since})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another rigstack"
