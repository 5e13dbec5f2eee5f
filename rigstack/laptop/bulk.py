"""Big files that are new where they are copied to go as plain streams, which take half the time that rsync does.

rsync hands a file on in pieces of 32 KiB, through three processes. So what is BIG, and is not there yet, is first
poured into the partial folder beside its place, and gets its name when all of it is there; rsync, which runs afterwards
in any case, finds it done and sees to its mode. What broke off stays in that folder, where rsync goes on with it.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from rigstack import process
from rigstack.laptop import ssh
from rigstack.laptop.copy import PARTIAL, Copy, lanes_argv, there
from rigstack.laptop.home import LaptopHome
from rigstack.value import Value

BIG = 64 << 20  # bytes
LOOK = 0.2  # seconds
Tell = Callable[[str, int, int], None]  # a name, its bytes so far, all of them

# What a plain file looks like in what look_command() prints.
PLAIN = re.compile(r"(\d+) (\d+\.\d+) regular file (.+)")

# $1 the folder, $2 the name in it, or "" when $1 is the file unless it is a folder; $3 the source's name, $4 its size,
# $5 when it changed
TAKE = """\
if [ "$2" ]; then
    [ -d "$1" ] || mkdir "$1" || exit
elif [ -d "$1" ]; then
    set -- "$1" "$3" "$3" "$4" "$5"
else
    set -- "$(dirname "$1")" "${1##*/}" "$3" "$4" "$5"
fi
whole=$1/$2 folder=$1/PARTIAL part=$1/PARTIAL/$2
[ -e "$whole" ] || [ -L "$whole" ] || [ -e "$part" ] && exit
umask 077 && { [ -d "$folder" ] || mkdir "$folder"; } && set -C && cat > "$part" || exit
[ "$(stat -c %s "$part")" = "$4" ] && touch -d "@$5" "$part" && mv -n "$part" "$whole" && rmdir "$folder"
"""


class Big(Value):
    """A file to pour. path: where it is; size in bytes; changed: seconds since the epoch, to the nanosecond."""

    path: str
    size: int
    changed: str


def big_files(copy: Copy, seen: str) -> tuple[Big, ...]:
    """The sources to pour. seen: what `look_command` printed, of a copy from the rig."""
    if copy.there:
        files = [_big_here(path) for path in copy.sources]
    else:
        found = filter(None, map(PLAIN.fullmatch, seen.splitlines()))
        files = [Big(path=one[3], size=int(one[1]), changed=one[2]) for one in found]
    return tuple(one for one in files if one and one.size >= BIG)


def _big_here(path: str) -> Big | None:
    info = os.lstat(path)
    if not stat.S_ISREG(info.st_mode):
        return None
    whole, rest = divmod(info.st_mtime_ns, 10**9)
    return Big(path=path, size=info.st_size, changed=f"{whole}.{rest:09}")


def pour(home: LaptopHome, copy: Copy, big: Big, *, far: bool, tell: Tell | None) -> int:
    """Copies one file if it is new there; ssh's status. Whatever became of it, rsync knows how to go on."""
    shell = (*(lanes_argv(home, copy.target) if far else ssh.client_argv(home)), copy.target.alias)
    return (_pour_there if copy.there else _pour_here)(shell, copy, big, tell)


def _pour_there(shell: tuple[str, ...], copy: Copy, big: Big, tell: Tell | None) -> int:
    name = PurePosixPath(big.path).name
    words = shlex.join((name if copy.into_folder else "", name, str(big.size), big.changed))
    sink = there(copy.sink.rstrip("/") or "/")
    command = f"sh -c {shlex.quote(TAKE.replace('PARTIAL', PARTIAL))} - {sink} {words} 2> /dev/null"
    with Path(big.path).open("rb", buffering=0) as source:

        def watch() -> None:
            if tell:  # the child reads from the same open file: its place in it is how far it is
                tell(name, os.lseek(source.fileno(), 0, os.SEEK_CUR), big.size)

        return process.pour((*shell, command), source=source.fileno(), tick=watch, every=LOOK)


def _pour_here(shell: tuple[str, ...], copy: Copy, big: Big, tell: Tell | None) -> int:
    sink = Path(copy.sink)
    whole = sink / PurePosixPath(big.path).name if copy.into_folder or sink.is_dir() else sink
    part = whole.parent / PARTIAL / whole.name
    if os.path.lexists(whole):
        return 0
    try:
        if copy.into_folder:
            sink.mkdir(exist_ok=True)
        part.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:

            def watch() -> None:
                if tell:
                    tell(whole.name, os.fstat(out.fileno()).st_size, big.size)

            status = process.pour((*shell, f"cat -- {there(big.path)}"), sink=out.fileno(), tick=watch, every=LOOK)
            if status == 0 and os.fstat(out.fileno()).st_size == big.size:
                seconds, _, rest = big.changed.partition(".")
                changed = int(seconds) * 10**9 + int(rest)
                os.utime(part, ns=(changed, changed))
                part.rename(whole)
                part.parent.rmdir()
    except OSError:
        return 0  # there in part already, no room, no right: rsync goes on with it, or says so
    return status
