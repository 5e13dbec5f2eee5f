"""The only place that starts a process."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from rigstack.value import Value


class Completed(Value):
    """A process that ended: its argv, exit status, and what it printed (text)."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.status == 0

    def tail(self, count: int = 10) -> tuple[str, ...]:
        """The last lines it printed, stderr when there is any."""
        text = self.stderr.strip() or self.stdout.strip()
        return tuple(text.splitlines()[-count:])


def quote(argv: Sequence[str]) -> str:
    """The command line as a person would type it."""
    return shlex.join(argv)


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    timeout: float | None = None,
    keep_open: Sequence[int] = (),
) -> Completed:
    """Runs a command to its end and returns what it printed; a non-zero status is returned, not raised.

    env: added to this process's own environment.
    timeout: seconds; a command that outlives it is killed and returned with status 124.
    keep_open: file descriptors the command inherits (the rig's lock). Such a command also prints into files
    instead of pipes: when this process is killed, a pipe breaks and the next line would end the command too,
    half way through its work.
    Raises FileNotFoundError when there is no such program.
    """
    with _outputs(to_files=bool(keep_open)) as (out, err):
        try:
            done = subprocess.run(
                list(argv),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                stdout=out,
                stderr=err,
                text=True,
                errors="replace",
                env={**os.environ, **env} if env else None,
                cwd=cwd,
                timeout=timeout,
                pass_fds=tuple(keep_open),
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return Completed(argv=tuple(argv), status=124, stdout="", stderr=f"gave up after {late.timeout:.0f} s")
        stdout, stderr = _printed(out, done.stdout), _printed(err, done.stderr)
    return Completed(argv=tuple(argv), status=done.returncode, stdout=stdout, stderr=stderr)


@contextlib.contextmanager
def _outputs(*, to_files: bool) -> Iterator[tuple[IO[str] | int, IO[str] | int]]:
    if not to_files:
        yield subprocess.PIPE, subprocess.PIPE
        return
    import tempfile

    def file() -> IO[str]:
        return tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")

    with file() as out, file() as err:
        yield out, err


def _printed(where: IO[str] | int, piped: str | None) -> str:
    if isinstance(where, int):
        return piped or ""
    where.seek(0)
    return where.read()


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    keep_open: Sequence[int] = (),
) -> int:
    """Runs a command, hands each line it prints (stdout and stderr together) to `on_line`, returns its status."""
    with subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **env} if env else None,
        cwd=cwd,
        pass_fds=tuple(keep_open),
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            on_line(line.rstrip("\n"))
    return child.returncode


def succeeds_within(argv: Sequence[str], seconds: float) -> bool:
    """Whether a command ends well in that time. One that does not is killed and left behind, not waited for.

    A process in a call that the kernel cannot break off (a dead FUSE mount) outlives even SIGKILL until that returns.
    """
    silent = subprocess.DEVNULL
    child = subprocess.Popen(list(argv), stdin=silent, stdout=silent, stderr=silent)
    try:
        return child.wait(timeout=seconds) == 0
    except subprocess.TimeoutExpired:
        child.kill()
        return False


def start_daemon(
    argv: Sequence[str], *, log: str, env: Mapping[str, str] | None = None, keep_open: Sequence[int] = ()
) -> int:
    """Starts a long-lived process in a session of its own, its output appended to the file `log`; returns its pid.

    keep_open: file descriptors it inherits.
    """
    with open(log, "ab") as out:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, **env} if env else None,
            pass_fds=tuple(keep_open),
        )
    return child.pid


def round_trip(argv: Sequence[str]) -> tuple[float, str] | None:
    """Seconds that a byte takes at best to a command that echoes, and back; and what the command printed before.

    None when it does not echo. Its stderr is ours.
    """
    took: list[float] = []
    before = b""
    with subprocess.Popen(list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as there:
        assert there.stdin is not None and there.stdout is not None
        for _ in range(3):  # the first waits until the command has begun, the others for a busy machine
            began = time.monotonic()
            with contextlib.suppress(OSError):
                there.stdin.write(b"\0")
            while (heard := there.stdout.read(1 << 16)) and not heard.endswith(b"\0"):
                before += heard
            if not heard:
                return None
            before += heard[:-1]
            took.append(time.monotonic() - began)
    return min(took), before.decode(errors="replace")


def pour(
    argv: Sequence[str],
    *,
    source: int = subprocess.DEVNULL,
    sink: int = subprocess.DEVNULL,
    tick: Callable[[], None],
    every: float,
) -> int:
    """Runs a command that reads the open file `source` and writes `sink` itself; its status. Its stderr is ours.

    tick: called while it runs, every so many seconds.
    """
    with subprocess.Popen(list(argv), stdin=source, stdout=sink) as child:
        while True:
            try:
                child.wait(timeout=every)
                break
            except subprocess.TimeoutExpired:
                tick()
    return child.returncode


def attach(argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None) -> int:
    """Runs a command on this terminal (its stdin, stdout, stderr are ours) and returns its status."""
    return subprocess.run(list(argv), env={**os.environ, **env} if env else None, cwd=cwd, check=False).returncode
