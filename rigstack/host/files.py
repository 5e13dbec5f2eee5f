"""Files and folders of the rig directory: read what is there, write so that no half-written file is ever seen."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from rigstack.errors import HostError
from rigstack.plan.desired import Desired
from rigstack.plan.observed import Observed

EDGE_CURRENT = "state/edge/current"


def observe_files(root: Path, desired: Desired) -> Observed:
    """The part of Observed that is on disk."""
    texts = {file.path: read_text(root / file.path) for file in (*desired.files, *desired.edge_files)}
    wanted = {file.path for file in desired.edge_files}
    return Observed(
        files=texts,
        folders=folder_inodes(root, (folder.path for folder in desired.folders)),
        keys=frozenset(key.path for key in desired.keys if _whole_key(root / key.path)),
        password=_is(Path.is_file, root / desired.password_file),
        stale=tuple(sorted(set(_files_below(root, EDGE_CURRENT)) - wanted)),
    )


def folder_inodes(root: Path, paths: Iterable[str]) -> dict[str, int]:
    """Those of these folders of the rig that exist -> their inodes. Raises HostError where it may not look."""
    found = {}
    for path in paths:
        try:
            there = os.stat(f"{root}/{path}")  # noqa: PTH116 - half the time of pathlib on the no-change path
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as failed:
            raise _cannot("read", root / path, failed) from None
        if stat.S_ISDIR(there.st_mode):
            found[path] = there.st_ino
    return found


def _whole_key(path: Path) -> bool:
    return _is(Path.is_file, path) and _is(Path.is_file, path.with_name(path.name + ".pub"))


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    """Path.is_file or Path.is_dir, which raise where this user may not look (so does a secret of somebody else)."""
    try:
        return kind(path)
    except OSError as failed:
        raise _cannot("read", path, failed) from None


def read_text(path: Path) -> str | None:
    """The file's text, or None when there is none; bytes that are no text are replaced. Raises HostError."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as failed:
        raise _cannot("read", path, failed) from None


def _files_below(root: Path, folder: str) -> Iterable[str]:
    for parent, _, names in os.walk(root / folder):
        for name in names:
            yield str((Path(parent) / name).relative_to(root))


def ensure_folder(path: Path, *, mode: int, owner: tuple[int, int] | None) -> None:
    """Makes the folder (parents too); an existing one keeps its mode and owner. Raises HostError."""
    try:
        if path.is_dir():
            return
        path.mkdir(parents=True)
        path.chmod(mode)
        give(path, owner)
    except OSError as failed:
        raise _cannot("make the folder", path, failed) from None


def write_file(path: Path, text: str, *, mode: int, owner: tuple[int, int] | None) -> None:
    """Writes by rename, so that a reader sees the old text or the new one. Raises HostError.

    owner: uid and gid to give the file to when we may; None leaves it with us.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        temporary.chmod(mode)
        give(temporary, owner)
        temporary.replace(path)
    except OSError as failed:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _cannot("write", path, failed) from None


def give(path: Path, owner: tuple[int, int] | None) -> None:
    """Hands a file or folder to `owner` (only root can, and only root needs to)."""
    if owner is not None and os.geteuid() == 0:
        os.chown(path, *owner)


def _cannot(verb: str, path: Path, failed: OSError) -> HostError:
    remedy = {
        errno.ENOSPC: "free some room on that disk",
        errno.EACCES: "run it as the user who made the rig, or with sudo",
    }.get(failed.errno or 0, "check the owner and mode of that folder")
    return HostError(f"cannot {verb} {path}: {failed.strerror}", remedy=remedy)
