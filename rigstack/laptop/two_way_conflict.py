"""What becomes of a file that changed on both sides: the newer one stays, the other is kept under a name that says why.

unison saves the version that gives way in the same step in which it is replaced, under a name of its own making, which
differs from version to version of unison ("train (conflict_on_2026-11-21).py"). Those files are named anew here:
`train.conflict-annas-laptop-2026-11-21-143205.py`, by whose version it is and when it was saved.
"""

from __future__ import annotations

import platform
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from rigstack.value import Value

# "changed  <-?-> new file   src/a.py  ": what became of it here and there, eight letters each (recon.ml).
LINE = re.compile(r"^(?P<here>.{8}) <-\?-> (?P<there>.{8})   (?P<path>.+?)  $", re.M)


class Conflicts(Value):
    """Paths by what is to be done. files: changed on both sides; plain: only one side has content to keep;
    kinds: a folder on one side and a file on the other, which a person has to settle."""

    files: tuple[str, ...]
    plain: tuple[str, ...]
    kinds: tuple[str, ...]


def read_conflicts(told: str) -> Conflicts:
    """The conflicts in what unison printed."""
    found: dict[str, list[str]] = {"files": [], "plain": [], "kinds": []}
    for one in LINE.finditer(told):
        sides = one["here"].strip(), one["there"].strip()
        if "deleted" in sides or set(sides) == {"props"}:
            found["plain"].append(one["path"])
        elif any("dir" in side for side in sides):
            found["kinds"].append(one["path"])
        else:
            found["files"].append(one["path"])
    return Conflicts(**{kind: tuple(paths) for kind, paths in found.items()})


def is_copy(path: str, of: str) -> bool:
    """Whether unison made that path in saving a version of `of`: something with "conflict" before the last dot."""
    one, whole = PurePosixPath(path), PurePosixPath(of)
    head, dot, tail = whole.name.rpartition(".") if "." in whole.name else (whole.name, "", "")
    between = one.name.removeprefix(head).removesuffix(dot + tail)
    return one.parent == whole.parent and one.name == head + between + dot + tail and between.startswith(" (conflict")


def kept_name(of: str, owner: str, saved: float) -> str:
    """The path for a version of `of`. owner: the machine it is from; saved: when, in seconds since the epoch."""
    path = PurePosixPath(of)
    when = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(saved))
    machine = re.sub(r"[^A-Za-z0-9]+", "-", owner).strip("-")
    return str(path.with_name(f"{path.stem}.conflict-{machine}-{when}{path.suffix}"))


def new_names(seen: Sequence[tuple[str, float]], files: Sequence[str], owner: str) -> dict[str, str]:
    """unison's copies of `files` among the paths seen (with the time of each), and the names they should have."""
    return {path: kept_name(of, owner, saved) for path, saved in seen for of in files if is_copy(path, of)}


def this_machine() -> str:
    """What this laptop is called."""
    return platform.node().partition(".")[0] or "laptop"


def look_here(folder: Path, files: Sequence[str]) -> list[tuple[str, float]]:
    """What is beside `files` on this side with "conflict" in its name, and the time of each."""
    beside = {(folder / path).parent for path in files}
    return [
        (one.relative_to(folder).as_posix(), one.lstat().st_mtime)
        for place in beside
        if place.is_dir()
        for one in place.iterdir()
        if "conflict" in one.name
    ]


def find_command(folder: str, files: Sequence[str]) -> str:
    """What prints the same of the rig's side, in which `folder` is the top; `parse_found` reads it."""
    beside = shlex.join(sorted({f"./{PurePosixPath(path).parent}" for path in files}))
    return f"cd {shlex.quote(folder)} && find {beside} -maxdepth 1 -name '*conflict*' -printf '%T@ %p\\0'"


def parse_found(printed: str) -> list[tuple[str, float]]:
    """The paths, from the top, and the time of each."""
    found = [one.partition(" ")[::2] for one in printed.split("\0") if one]
    return [(str(PurePosixPath(path)), float(saved)) for saved, path in found]
