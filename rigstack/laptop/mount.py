"""Projects mounted as folders by sshfs: through sleep and cuts, and with nothing ever written beside the mount.

Without `reconnect` and questions to the other side, sshfs unmounts itself after a cut, and the next file that an editor
saves lands in the bare folder (reproduced). So the connection comes back by itself, and the folder under the mount is
closed: mode 000, and on Linux immutable for root where the file system can. That can only be done when the mount is
there, through a descriptor from before: who is not root cannot mount on a folder that they cannot write into.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from rigstack import process
from rigstack.errors import ConfigError, HostError, ReachError
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import Target
from rigstack.value import Value

DEFAULT = "rigs"  # the folder of the home that holds mounts which were given no place
PATIENCE = 20.0  # seconds
ANSWER = 3.0  # seconds in which a mount that works says something


class Mount(Value):
    """A mounted project. source: "ALIAS:/folder" as sshfs was told."""

    source: str
    folder: str


def sshfs_argv(home: LaptopHome, target: Target, path: str, point: Path) -> tuple[str, ...]:
    """sshfs with a connection of its own, which comes back after a cut.

    Attributes and names are cached for some seconds: editing over 20 ms of distance is bearable by that only, and
    what other people change is seen a little later. Sizes and times are right when a file is opened.
    """
    options = [
        "reconnect",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "auto_cache",
        "idmap=user",
    ]
    if sys.platform == "darwin":
        # sshfs 2, made for macFUSE (osxfuse/sshfs #64), has the old words; sshfs 3 takes them too (ChangeLog, 3.1.0).
        options += ["cache=yes", "cache_timeout=5", "cache_stat_timeout=5", "defer_permissions"]
    else:
        options += ["dir_cache=yes", "dcache_timeout=5", "dcache_stat_timeout=5", "max_conns=4"]
    if words := home.ssh_words():
        options.append("ssh_command=" + process.quote(("ssh", *words)))
    return ("sshfs", "-o", ",".join(options), f"{target.direct}:{path}", str(point))


def unmount_argv(point: Path, *, force: bool) -> tuple[str, ...]:
    """Unmounts; force: also while somebody looks, or the connection is dead."""
    if sys.platform == "darwin":
        return ("diskutil", "unmount", *(("force",) if force else ()), str(point))
    tool = "fusermount3" if shutil.which("fusermount3") else "fusermount"
    return (tool, "-u", *(("-z",) if force else ()), str(point))


def list_mounts(aliases: frozenset[str] | None = None) -> tuple[Mount, ...]:
    """The sshfs mounts of connected projects (`aliases` are their .direct names), or all of ours (None)."""
    found = []
    for source, folder in _mounted():
        name, colon, _ = source.partition(":")
        if colon and name.endswith(".direct") and (aliases is None or name in aliases):
            found.append(Mount(source=source, folder=folder))
    return tuple(found)


def mount_answers(one: Mount) -> bool:
    """Whether the other side of a mount answers now.

    A child asks, since a call into a dead mount does not come back.
    """
    code = "import os, sys; os.statvfs(sys.argv[1])"  # statvfs(3) is never answered from a cache
    return process.succeeds_within((sys.executable, "-c", code, one.folder), ANSWER)


def _sshfs_ended(one: Mount) -> bool:
    """Whether the program under a mount is gone (killed, crashed): then no connection brings it back."""
    code = (
        "import errno, os, sys\n"
        "try: os.statvfs(sys.argv[1])\n"
        "except OSError as error: sys.exit(error.errno != errno.ENOTCONN)\n"
        "sys.exit(1)"
    )
    return process.succeeds_within((sys.executable, "-c", code, one.folder), ANSWER)


def _mounted() -> list[tuple[str, str]]:
    if sys.platform == "darwin":
        lines = process.run(("mount",)).stdout.splitlines()
        return [
            (source, rest.rpartition(" (")[0]) for source, _, rest in (line.partition(" on ") for line in lines) if rest
        ]
    fields = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [(_plain(one[0]), _plain(one[1])) for one in fields if one[2] == "fuse.sshfs"]


def _plain(field: str) -> str:
    """A field of /proc/mounts: blanks stand as octal escapes (fstab(5))."""
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def place_of(folder: Path) -> Path:
    """A mount point as the system's list of mounts names it: links on the way to it followed (/tmp is one on macOS).

    The point itself is not looked at, which could hang.
    """
    whole = folder.absolute()
    return Path(os.path.realpath(whole.parent)) / whole.name


def ensure_mounted(home: LaptopHome, target: Target, path: str, point: Path) -> bool:
    """Mounts, and returns whether there was something to do: also when the sshfs of before was killed.

    Raises ConfigError for a folder with files in it, HostError without sshfs, ReachError when the rig is not there.
    """
    point = place_of(point)
    source = f"{target.direct}:{path}"
    for one in list_mounts():
        if one.folder == str(point):
            if one.source != source:
                raise ConfigError(f"{point} is {one.source}", remedy=f"rigstack unmount {point}")
            if not _sshfs_ended(one):
                return False
            ensure_unmounted(point, force=True)
    if shutil.which("sshfs") is None:
        raise HostError("sshfs is not installed", remedy=advice())
    with ready_folder(point) as beneath:
        done = process.run(sshfs_argv(home, target, path, point), timeout=60)
        if not done.ok:
            raise ReachError(
                f"{source} could not be mounted on {point}",
                details=done.tail(4),
                remedy=f"rigstack ssh {target.project.name} says what is wrong",
            )
        try:
            close_folder(beneath, point)
        except ConfigError:
            ensure_unmounted(point, force=True)
            raise
    return True


def ensure_unmounted(point: Path, *, force: bool) -> None:
    """Unmounts and opens the folder again. Raises HostError while a program uses it, unless `force`."""
    argv = unmount_argv(point, force=force)
    done = process.run(argv, timeout=60)
    if not done.ok:
        raise HostError(
            f"{point} cannot be unmounted",
            details=done.tail(3),
            cause="a program has a file or its working folder there",
            remedy=f"end it, or: rigstack unmount --force {point}",
        )
    deadline = time.monotonic() + PATIENCE
    while str(point) in {one.folder for one in list_mounts()}:
        if time.monotonic() > deadline:
            raise HostError(f"{point} is still mounted", remedy=f"rigstack unmount --force {point}")
        time.sleep(0.05)
    open_folder(point)


@contextlib.contextmanager
def ready_folder(point: Path) -> Iterator[int]:
    """An empty folder to mount on; gives a descriptor of it, good for what lies beneath once something is mounted.

    It is writable until then: fusermount3 goes into it as the person, and asks whether they may write there. One left
    over from before a restart will do. When the block fails, nothing is left. Raises ConfigError when it is not empty.
    """
    if point.exists() and not point.is_dir():
        raise ConfigError(f"{point} is not a folder", remedy="name another place for the mount")
    if os.access(point, os.R_OK):
        _ensure_empty(point, point.iterdir())
    point.mkdir(parents=True, exist_ok=True)
    _immutable("-i", str(point))
    point.chmod(0o700)
    _ensure_empty(point, point.iterdir())
    beneath = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield beneath
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            open_folder(point)
        raise
    finally:
        os.close(beneath)


def _ensure_empty(point: Path, there: Iterable[object]) -> None:
    for _ in there:
        raise ConfigError(
            f"{point} is not empty, and a mount would hide what is in it",
            remedy="name another folder, or move the files away",
        )


def close_folder(beneath: int, point: Path) -> None:
    """Nothing can be written any more into the folder beneath a mount. Raises ConfigError for what was before that."""
    os.fchmod(beneath, 0)
    _immutable("+i", f"/proc/self/fd/{beneath}/.", keep_open=(beneath,))
    _ensure_empty(point, os.listdir(beneath))


def open_folder(point: Path) -> None:
    """Takes the guard away, and the folder too when it is empty; so goes ~/rigs, which is ours."""
    _immutable("-i", str(point))
    point.chmod(0o700)
    if not any(point.iterdir()):
        point.rmdir()
        if point.parent == Path.home() / DEFAULT:
            with contextlib.suppress(OSError):  # another one is in it
                point.parent.rmdir()


def _immutable(flag: str, folder: str, *, keep_open: tuple[int, ...] = ()) -> None:
    """For root, whom no mode stops: chattr(1), where the file system has it."""
    if os.geteuid() == 0 and shutil.which("chattr"):
        process.run(("chattr", flag, folder), keep_open=keep_open)


def advice() -> str:
    """How to get sshfs on this machine."""
    if sys.platform == "darwin":
        return (
            "install macFUSE and sshfs from their site (macfuse.io), or mount by `rclone nfsmount`, which needs no "
            "kernel extension; or keep a copy equal: rigstack sync"
        )
    if shutil.which("apt-get"):
        return "sudo apt-get install sshfs"
    if shutil.which("dnf"):
        return "sudo dnf install fuse-sshfs"
    return "install the package sshfs of your distribution"
