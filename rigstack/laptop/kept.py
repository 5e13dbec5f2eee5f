"""Processes that rigstack keeps up in the background: started, found again, revived, told about, stopped.

Each is a loop in a shell that starts its command again whenever it ends. The loop holds a lock for as long as it
lives, so that what is alive is known for sure, whatever became of process ids.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

from rigstack import process
from rigstack.errors import HostError
from rigstack.laptop.home import LaptopHome, write_bytes
from rigstack.laptop.login import ensure_at_login, forget_at_login
from rigstack.value import Value

# 1 s, 2, 4, then every 8 s; from the start again after half a minute of success.
LOOP = """\
trap 'kill "$child" 2>/dev/null; exit 0' TERM INT HUP
pause=1
while :; do
    began=$(date +%s)
    "$@" &
    child=$!
    wait "$child"
    status=$?
    [ $(($(date +%s) - began)) -lt 30 ] || pause=1
    echo "$(date '+%Y-%m-%d %H:%M:%S') ended with status $status; again in $pause s"
    sleep "$pause" &
    child=$!
    wait "$child"
    [ "$pause" -ge 8 ] || pause=$((pause * 2))
done
"""


class Kept(Value):
    """A process that is kept up. kind: "tunnel", "forward" or "sync". alias: the project's ssh name.

    about: what it is for, as its kind knows it; argv: what the loop starts again and again.
    """

    kind: str
    id: str
    alias: str
    about: dict[str, str]
    argv: tuple[str, ...]
    pid: int = 0
    since: str = ""


def folder_of(home: LaptopHome) -> Path:
    return home.folder / "kept"


def log_of(home: LaptopHome, kept_id: str) -> Path:
    """Where it writes what it says."""
    return folder_of(home) / f"{kept_id}.log"


def loop_argv(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The shell that starts `argv` again whenever it ends."""
    return ("/bin/sh", "-c", LOOP, "rigstack-kept", *argv)


def start_kept(home: LaptopHome, kept: Kept) -> Kept:
    """Starts it in the background; returns it with its process id. Raises HostError when one with its id runs."""
    folder = folder_of(home)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / f"{kept.id}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HostError(f"{kept.id} runs already", remedy="stop it first") from None
        log = log_of(home, kept.id)
        log.write_bytes(b"")
        pid = process.start_daemon(loop_argv(kept.argv), log=str(log), keep_open=(lock,))
        started = kept.replace(pid=pid, since=time.strftime("%Y-%m-%d %H:%M:%S"))
        document = {**started.__dict__, "argv": list(kept.argv)}
        write_bytes(folder / f"{kept.id}.json", json.dumps(document).encode())
        ensure_at_login(home)
        return started
    finally:
        os.close(lock)


def list_kept(home: LaptopHome, kind: str | None = None) -> tuple[Kept, ...]:
    """What is kept up, of one kind or of all; what died (by a restart of the laptop) is started again.

    So is what was started by a rigstack that is gone (an environment made anew, a cache emptied): by this one.
    """
    found = []
    for path in sorted(folder_of(home).glob("*.json")):
        try:
            document = json.loads(path.read_bytes())
            kept = Kept(**{**document, "argv": tuple(document["argv"])})
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if kind not in (None, kept.kind):
            continue
        renewed = _by_this_rigstack(kept)
        if renewed != kept:
            stop_kept(home, kept)
        if not _lives(path):
            try:
                kept = start_kept(home, renewed)
            except HostError:  # another rigstack was faster
                continue
        found.append(kept)
    return tuple(found)


def _by_this_rigstack(kept: Kept) -> Kept:
    """The same, by the Python that runs now when its own is gone; ssh is found by name, and stays."""
    program = Path(kept.argv[0])
    return (
        kept.replace(argv=(sys.executable, *kept.argv[1:])) if program.is_absolute() and not program.exists() else kept
    )


def stop_kept(home: LaptopHome, kept: Kept) -> None:
    """Ends it and what it started; returns when it is gone."""
    record = folder_of(home) / f"{kept.id}.json"
    for sign, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        if not _lives(record):
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(kept.pid, sign)
        deadline = time.monotonic() + patience
        while _lives(record) and time.monotonic() < deadline:
            time.sleep(0.02)
    _forget(home, kept)


def last_lines(home: LaptopHome, kept: Kept, count: int = 5) -> tuple[str, ...]:
    """The end of its log."""
    try:
        return tuple(log_of(home, kept.id).read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ()


def _lives(record: Path) -> bool:
    """Whether the loop holds its lock."""
    try:
        handle = os.open(record.with_suffix(".lock"), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _forget(home: LaptopHome, kept: Kept) -> None:
    for kind in ("json", "lock", "log"):
        with contextlib.suppress(FileNotFoundError):
            (folder_of(home) / f"{kept.id}.{kind}").unlink()
    with contextlib.suppress(OSError):
        folder_of(home).rmdir()
        forget_at_login(home)  # it was the last one
