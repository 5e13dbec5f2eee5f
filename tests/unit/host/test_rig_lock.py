"""One lock per rig: who holds it is named, and it outlives a killed rigstack as long as what it started runs."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigstack import process
from rigstack.errors import HostError, LockedError
from rigstack.host.lock import rig_lock

# Holds the lock, says so on the fifo `ready`, and keeps it until something is written to the fifo `go`.
HOLDER = """
import sys
from pathlib import Path
from rigstack.host.lock import rig_lock
from rigstack import process
root = Path(sys.argv[1])
with rig_lock(root, "up") as lock:
    {body}
"""
WAITS = "(root / 'ready').write_text('held'); (root / 'go').read_text()"
# A compose of sorts: gets the lock's descriptor, says that it runs, and waits.
STARTS = "process.run(('/bin/sh', '-c', 'echo $PPID > ready; read word < go'), cwd=str(root), keep_open=(lock,))"


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rigstack.host.lock.PATIENCE", 10.0)


@contextlib.contextmanager
def a_holder(root: Path, body: str) -> Iterator[int]:
    """Another process that holds the lock, once it has said so; yields its pid, and ends it and what it started."""
    for fifo in ("ready", "go"):
        os.mkfifo(root / fifo)
    ready = os.open(root / "ready", os.O_RDONLY | os.O_NONBLOCK)
    argv = (sys.executable, "-c", HOLDER.format(body=body), str(root))
    pid = process.start_daemon(argv, log=str(root / "holder.log"))
    try:
        assert select.select([ready], [], [], 20)[0], (root / "holder.log").read_text()
        yield pid
    finally:
        os.close(ready)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def test_it_is_held_for_the_block_and_free_after(tmp_path: Path) -> None:
    with (
        rig_lock(tmp_path, "up"),
        pytest.raises(LockedError) as raised,
        rig_lock(tmp_path, "down", wait=False),
    ):
        pass
    assert raised.value.exit_code == 6
    with rig_lock(tmp_path, "down", wait=False) as handle:
        assert handle > 2


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    with contextlib.suppress(RuntimeError), rig_lock(tmp_path, "up"):
        raise RuntimeError
    with rig_lock(tmp_path, "up", wait=False):
        pass


def test_no_wait_names_the_holder(tmp_path: Path) -> None:
    with a_holder(tmp_path, WAITS) as pid, pytest.raises(LockedError) as raised, rig_lock(tmp_path, "up", wait=False):
        pass
    assert raised.value.what.startswith(f"process {pid} (rigstack up, since ")
    assert raised.value.what.endswith(") works on this rig")


def test_waiting_tells_once_for_whom_and_gets_it(tmp_path: Path) -> None:
    told: list[str] = []
    with a_holder(tmp_path, WAITS) as pid:

        def on_wait(words: str) -> None:
            told.append(words)
            (tmp_path / "go").write_text("go")

        with rig_lock(tmp_path, "down", on_wait=on_wait):
            assert f'"pid": {os.getpid()}' in (tmp_path / "state/lock").read_text()
    assert len(told) == 1
    assert told[0].startswith(f"waiting for process {pid} (rigstack up")


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rigstack.host.lock.PATIENCE", 0.0)
    with rig_lock(tmp_path, "up"), pytest.raises(LockedError), rig_lock(tmp_path, "up"):
        pass


def test_a_killed_holder_s_compose_still_holds_it(tmp_path: Path) -> None:
    with a_holder(tmp_path, STARTS) as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with pytest.raises(LockedError, match=f"process {pid} "), rig_lock(tmp_path, "up", wait=False):
            pass
        (tmp_path / "go").write_text("go\n")
        with rig_lock(tmp_path, "up"):  # as soon as the orphan ends
            pass


def test_a_killed_holder_alone_holds_nothing(tmp_path: Path) -> None:
    with a_holder(tmp_path, WAITS) as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with rig_lock(tmp_path, "up", wait=False):
            pass


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"pid": 1}', "\x00"])
def test_a_strange_lock_file_still_names_somebody(tmp_path: Path, text: str) -> None:
    with rig_lock(tmp_path, "up"):
        (tmp_path / "state/lock").write_text(text)
        with (
            pytest.raises(LockedError, match="another rigstack works on this rig"),
            rig_lock(tmp_path, "up", wait=False),
        ):
            pass


def test_a_lock_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(HostError, match="cannot open the rig's lock"), rig_lock(tmp_path, "up"):
        pass
