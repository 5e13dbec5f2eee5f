"""Files to and fro: what `rigstack cp` runs, which is rsync where there is one, over several connections from afar."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from rigstack import process
from rigstack.assets import assets_dir
from rigstack.errors import ConfigError, HostError
from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import Target, find_project
from rigstack.value import Value

PARTIAL = ".rigstack-partial"  # the folder for what was copied in part; rsync resumes it, and takes it away
FORGOTTEN = 7  # days: nobody has gone on with what is older
FAR = 0.004  # seconds of round trip: nearer than that ssh's window is more than one core enciphers


class Copy(Value):
    """sources and sink: paths as a person means them, on the side that they are on. there: the sink is on the rig."""

    target: Target
    sources: tuple[str, ...]
    sink: str
    there: bool

    def words(self) -> tuple[str, ...]:
        """The paths as rsync and scp take them."""
        rig = f"{self.target.alias}:"
        here, afar = ("", rig) if self.there else (rig, "")
        return (*(f"{here}{path}" for path in self.sources), f"{afar}{self.sink}")

    @property
    def into_folder(self) -> bool:
        """Whether the sink is a folder even if there is none yet, as rsync(1) says."""
        return len(self.sources) > 1 or self.sink.endswith("/")

    def folders(self) -> tuple[str, ...]:
        """Where a copy that broke off may have left something: beside the sink, and in and below it."""
        names = [PurePosixPath(path).name for path in self.sources]
        sink = self.sink.rstrip("/") or "/"
        beside = [str(PurePosixPath(sink).parent), sink]
        return (
            *(f"{one}/{PARTIAL}" for one in beside),
            *(f"{sink}/{name}" for name in names if name not in ("", "..")),
        )


def read_copy(home: LaptopHome, paths: Sequence[str]) -> Copy:
    """SOURCE... DESTINATION, as a person types them.

    Raises ConfigError unless exactly one project is named, on one side, and what is to be copied from here is here.
    """
    split = [_remote(home, path) for path in paths]
    targets = {target.alias: target for target, _ in split if target is not None}
    sides = {target is not None for target, _ in split[:-1]}
    if len(targets) != 1 or len(sides) != 1 or sides == {split[-1][0] is not None}:
        raise ConfigError(
            "one side must be a project (PROJECT:PATH) and the other this machine",
            remedy="rigstack cp results.csv demo:data/, or rigstack cp demo:runs/ .",
        )
    for there, path in split[:-1]:
        if there is None and not os.path.lexists(path):
            raise ConfigError(f"there is no {path} here")
    return Copy(
        target=next(iter(targets.values())),
        sources=tuple(path for _, path in split[:-1]),
        sink=split[-1][1],
        there=split[-1][0] is not None,
    )


def _remote(home: LaptopHome, path: str) -> tuple[Target | None, str]:
    """The project and the path in it that `PROJECT:PATH` names; (None, path) for a file of this machine."""
    name, colon, rest = path.partition(":")
    if not colon or "/" in name or Path(path).exists():
        return None, path
    target = find_project(home, name)
    return target, rest if rest.startswith(("/", "~")) else f"{target.project.folder}/{rest}"


def copy_argv(home: LaptopHome, copy: Copy, *, far: bool = False, dry_run: bool = False) -> tuple[str, ...]:
    """rsync; scp where there is none. far: several connections carry it (programs/lanes.py).

    dry_run: rsync only tells; HostError where there is none.
    """
    if shutil.which("rsync"):
        # What was copied in part waits in a folder beside, under no name that a person would take for the file.
        # The timeout is for the other side, which must not wait for ever to put it there.
        words = ["rsync", "-a", "--timeout=60", "--progress"]
        words += [f"--partial-dir={PARTIAL}"] if takes_partial_dir() else []
        words += ["--dry-run"] if dry_run else []
        shell = lanes_argv(home, copy.target) if far else ssh.client_argv(home)
        return (*words, "-e", shlex.join(shell), "--", *copy.words())
    if dry_run:
        raise HostError("scp cannot say what it would copy", remedy="install rsync")
    return ("scp", *home.ssh_words(), "-rp", "--", *copy.words())


def takes_partial_dir() -> bool:
    """Whether rsync can keep what was copied in part out of sight. What macOS has in its place (openrsync) may not.

    Without it, what was copied in part is gone: it never stays under the file's name.
    """
    if sys.platform != "darwin":
        return True
    told = process.run(("rsync", "--help"))
    return "--partial-dir" in told.stdout + told.stderr


def lanes_argv(home: LaptopHome, target: Target) -> tuple[str, ...]:
    """The remote shell under `copy_argv` from afar."""
    program = str(assets_dir() / "programs/lanes.py")
    return (sys.executable, "-IS", program, target.direct, target.alias, *ssh.client_argv(home))


def ready_argv(home: LaptopHome, copy: Copy) -> tuple[str, ...]:
    """Takes away what was forgotten on the rig, or looks at the sources there; then sends back what it is sent."""
    first = clean_command(copy.folders()) if copy.there else look_command(copy)
    return ssh.client_argv(home, copy.target.alias, f"{first}; exec cat")


def look_command(copy: Copy) -> str:
    """Prints size, time of change, kind and path of each source on the rig."""
    return f"stat -c '%s %.9Y %F %n' -- {' '.join(there(path) for path in copy.sources)} 2> /dev/null"


def clean_command(folders: Sequence[str]) -> str:
    """Deletes what broken copies left in these folders on the rig and nobody has gone on with for a while."""
    places = " ".join(there(one) for one in folders)
    old = f"-path '*/{PARTIAL}/*' -type f -mtime +{FORGOTTEN - 1}"
    return f"find {places} \\( {old} -o -name {PARTIAL} -type d -empty \\) -delete 2> /dev/null"


def there(path: str) -> str:
    """A path on the rig as its shell takes it: ~ is the home there."""
    head, slash, rest = path.partition("/")
    return f"~{slash}{shlex.quote(rest) if rest else ''}" if head == "~" else shlex.quote(path)


def clean_here(folders: Sequence[str]) -> None:
    """The same on this machine."""
    before = time.time() - FORGOTTEN * 86400
    for folder in folders:
        for parent, _, names in os.walk(folder, topdown=False):
            place = Path(parent)
            if place.name != PARTIAL:
                continue
            with contextlib.suppress(OSError):  # rmdir: another copy goes on with what is in it
                for path in (place / name for name in names):
                    if path.lstat().st_mtime < before:
                        path.unlink()
                place.rmdir()
