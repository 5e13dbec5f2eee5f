"""A real terminal for tests: a program runs on a pty, its screen is read and keys are typed into it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from types import TracebackType

from tests.live_rig import PATIENCE, LiveRig


class Terminal:
    """rigstack with these words on a terminal of its own; `screen` is all that it has shown."""

    def __init__(self, rig: LiveRig, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self.screen = ""
        self._looked = 0
        self._process = subprocess.Popen(
            [*rig.program, "--rig", str(rig.path), *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "NO_COLOR": "1"},
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=10)
        os.close(self._ours)

    def shows(self, text: str, *, timeout: float = 120.0) -> None:
        """Returns when `text` is on the screen after what was waited for last; fails with the screen when it ends."""
        deadline = time.monotonic() + timeout
        while (at := self.screen.find(text, self._looked)) < 0:
            assert time.monotonic() < deadline, f"never shown: {text}\n{self.screen}"
            assert self._read(), f"ended without: {text}\n{self.screen}"
        self._looked = at + len(text)

    def type(self, line: str) -> None:
        """Types a line and Enter."""
        os.write(self._ours, line.encode() + b"\n")

    def ends(self) -> int:
        """Its exit status, when it has ended."""
        deadline = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < deadline, f"does not end:\n{self.screen}"
        return self._process.wait(timeout=30)

    def _read(self) -> bool:
        """Whether there may be more to come."""
        if not select.select([self._ours], [], [], 1.0)[0]:
            return True
        try:
            piece = os.read(self._ours, 4096)
        except OSError:  # EIO: nobody has the other end any more
            return False
        self.screen += piece.decode(errors="replace").replace("\r\n", "\n")
        return bool(piece)
