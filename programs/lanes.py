"""One byte stream over several ssh connections: what `rigstack cp` gives rsync for a remote shell from afar.

An ssh channel carries no more than its window, 2 MiB, in a round trip (channels.h, CHAN_SES_WINDOW_DEFAULT), through
how fast a line soever. So rsync's stream is cut into numbered pieces, which go over LANES connections and are put
together on the other side. The first is there at once; the others come when AFTER bytes have gone by.

    rsync -e "python lanes.py ALIAS-OF-MORE ALIAS ssh OPTIONS..." ... ALIAS:PATH

The same file runs at both ends, on nothing but Python's standard library: here as rsync's child, there sent along.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading

LANES = 4
AFTER = 8 << 20  # bytes
PIECE = 1 << 18  # bytes at most
HEADER = struct.Struct("!QI")  # a piece's number, and its length; none: the lane ends
LOST = 255  # ssh's own status for a lost connection

# Reads this file from its stdin, of which every further byte is the stream.
LOADER = "import os\nread = b''\nwhile len(read) < {size}: read += os.read(0, {size} - len(read)) or exit(1)\n"
LOADER += "exec(read)"


class Stream:
    """Both directions: `source` is cut into pieces, and the other side's pieces are joined into `sink`."""

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self.passed = 0  # bytes, both ways
        self._number = 0
        self._reading = threading.Lock()
        self._turn = 0
        self._turns = threading.Condition()
        self._ended = False

    def send(self, lane: int) -> None:
        """Whichever lane is free takes the next piece, until `source` ends."""
        size = 1
        while size:
            with self._reading:
                piece = os.read(self.source, PIECE)
                number, size = self._number, len(piece)
                self._number += 1
            _write(lane, HEADER.pack(number, size), piece)
            self.passed += size

    def receive(self, lane: int) -> bool:
        """Joins this lane's pieces, each in its turn; whether the lane came to its end, and not to a cut."""
        while header := _read(lane, HEADER.size):
            number, size = HEADER.unpack(header)
            piece = _read(lane, size)
            if len(piece) < size:
                return False
            with self._turns:
                while self._turn != number:
                    self._turns.wait()
            self._join(piece)
            with self._turns:
                self._turn += 1
                self._turns.notify_all()
            if not size:
                return True
        return False

    def _join(self, piece: bytes) -> None:
        with contextlib.suppress(OSError):  # whoever reads it is gone, and says why by its status
            if piece:
                _write(self.sink, piece)
            elif not self._ended:
                self._ended = True
                os.close(self.sink)
        self.passed += len(piece)


def _read(place: int, size: int) -> bytes:
    """That many bytes; none when `place` ends or breaks before."""
    parts = []
    with contextlib.suppress(OSError):
        while size and (part := os.read(place, size)):
            parts.append(part)
            size -= len(part)
    return b"" if size else b"".join(parts)


def _write(place: int, *parts: bytes) -> None:
    done = os.writev(place, parts)
    if done < sum(map(len, parts)):
        rest = memoryview(b"".join(parts))[done:]
        while rest:
            rest = rest[os.write(place, rest) :]


def _widen(*pipes: int) -> None:
    """Room for several pieces, where the system has it (pipe(7)): a third less time of the processors."""
    with contextlib.suppress(ImportError, AttributeError, OSError):  # macOS; no pipe; the person's share is used up
        import fcntl

        for pipe in pipes:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)


def _beside(work, *arguments) -> threading.Thread:  # type: ignore[no-untyped-def]
    def run() -> None:
        with contextlib.suppress(OSError):
            work(*arguments)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


# ---- here: rsync's child


def here(more: str, host: str, words: list[str]) -> int:
    """Returns the command's status. more: the alias for further connections; words: ssh, options, host, command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    at = words.index(host)
    ssh, command = words[:at], " ".join(words[at + 1 :])
    os.set_blocking(0, True)  # rsync sets both ends of its pair otherwise
    os.set_blocking(1, True)
    name = secrets.token_hex(16)
    stream = Stream(0, 1)
    cut = threading.Event()
    lanes = [_connect([*ssh, host], f"there {name} {shlex.quote(command)}")]
    first = _beside(_lane, stream, lanes[0], cut)
    while first.is_alive() and not cut.is_set():
        first.join(0.05)
        if stream.passed > AFTER and len(lanes) == 1:
            for _ in range(LANES - 1):
                lanes.append(_connect([*ssh, "-o", "BatchMode=yes", more], f"join {name}", silent=True))
                _beside(_lane, stream, lanes[-1], cut)
    status = LOST if cut.is_set() else lanes[0].wait()
    for lane in lanes:
        lane.kill()
    return status


def _connect(ssh: list[str], words: str, *, silent: bool = False) -> subprocess.Popen[bytes]:
    with open(__file__, "rb") as own:
        program = own.read()
    command = f'exec /usr/bin/python3 -c "{LOADER.format(size=len(program))}" {words}'
    lane = subprocess.Popen(
        [*ssh, command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if silent else None,
        bufsize=0,
    )
    _widen(lane.stdin.fileno(), lane.stdout.fileno())
    _write(lane.stdin.fileno(), program)
    return lane


def _lane(stream: Stream, lane: subprocess.Popen[bytes], cut: threading.Event) -> None:
    if os.read(lane.stdout.fileno(), 1):  # the other side has it
        _beside(stream.send, lane.stdin.fileno())
        if not stream.receive(lane.stdout.fileno()):
            cut.set()


# ---- there: what ssh runs


def there(name: str, command: str) -> int:
    """Returns the command's status. Its stdin and stdout are the stream; further lanes come in by a socket."""
    child = subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    _widen(child.stdout.fileno(), child.stdin.fileno())
    stream = Stream(child.stdout.fileno(), child.stdin.fileno())
    sending = []

    def take(source: int, sink: int) -> None:
        _widen(source, sink)
        os.write(sink, b"+")
        sending.append(_beside(stream.send, sink))
        _beside(lambda: stream.receive(source) or os._exit(LOST))

    def welcome() -> None:
        guests = []
        while True:
            guest = door.accept()[0]
            guests.append(guest)  # it stays as long as its end of this is open
            take(*socket.recv_fds(guest, 1, 2)[1])

    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"\0{name}")  # a name without a file: nothing to take away
        door.listen()
        take(0, 1)
        _beside(welcome)
        status = child.wait()
        for thread in list(sending):
            thread.join()
    return status if status >= 0 else 128 - status


def join(name: str) -> None:
    """Hands this connection to the process that runs the command, and stays until that is done with it."""
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(f"\0{name}")
        socket.send_fds(door, [b"+"], [0, 1])
        door.recv(1)


if __name__ == "__main__":
    if sys.argv[1] == "there":
        os._exit(there(*sys.argv[2:]))
    elif sys.argv[1] == "join":
        join(sys.argv[2])
    else:
        sys.exit(here(sys.argv[1], sys.argv[2], sys.argv[3:]))
