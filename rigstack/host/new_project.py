"""Makes a project's folder, from a template or a repository, and takes one away when that is all that is asked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rigstack import process
from rigstack.config.rigdir import RigDir
from rigstack.errors import HostError
from rigstack.host.files import ensure_folder, give, write_file
from rigstack.render.starter import render_starter

CLONE_SECONDS = 3600.0


def clone_argv(url: str, folder: Path) -> tuple[str, ...]:
    """`--` first: an address that starts with a dash is no option."""
    return ("git", "clone", "--quiet", "--", url, str(folder))


def create_project(place: RigDir, name: str, owner: tuple[int, int], *, template: str = "science") -> bool:
    """Makes code/NAME with the template's files and data/NAME; False when the folder was there and stays as it is."""
    folder = place.code / name
    if folder.exists():
        return False
    ensure_folder(folder, mode=0o755, owner=owner)
    for file, text in render_starter(name, template).items():
        ensure_folder((folder / file).parent, mode=0o755, owner=owner)
        write_file(folder / file, text, mode=0o644, owner=owner)
    if template == "science":
        ensure_folder(place.data / name, mode=0o755, owner=owner)
        (folder / "data").symlink_to(f"/data/{name}")
        os.lchown(folder / "data", *owner) if os.geteuid() == 0 else None
    _ensure_repository(folder, owner)
    return True


def clone_project(place: RigDir, name: str, url: str, owner: tuple[int, int]) -> None:
    """Clones `url` into code/NAME. Raises HostError with what git says; a half-made folder is taken away."""
    folder = place.code / name
    try:
        done = process.run(clone_argv(url, folder), env={"GIT_TERMINAL_PROMPT": "0"}, timeout=CLONE_SECONDS)
    except FileNotFoundError:
        raise HostError("git is not installed", remedy="sudo apt-get install git") from None
    if not done.ok:
        shutil.rmtree(folder, ignore_errors=True)
        raise HostError(
            f"git cannot clone {url}",
            details=done.tail(4),
            cause="the address is wrong, or this machine has no key or password for it",
            remedy="check the address; for a private repository clone it by hand into code/, then run this again",
        )
    _give_all(folder, owner)


def _ensure_repository(folder: Path, owner: tuple[int, int]) -> None:
    """A new git repository on branch main; without git there is none, and nothing else is missing."""
    try:
        done = process.run(("git", "init", "--quiet", "--initial-branch=main", str(folder)))
    except FileNotFoundError:
        return
    if done.ok:
        _give_all(folder / ".git", owner)


def _give_all(folder: Path, owner: tuple[int, int]) -> None:
    if os.geteuid() != 0:
        return
    give(folder, owner)
    for parent, folders, files in os.walk(folder):
        for one in (*folders, *files):
            os.lchown(os.path.join(parent, one), *owner)  # noqa: PTH118


def delete_files(place: RigDir, name: str) -> tuple[Path, ...]:
    """Deletes code/NAME and homes/NAME with its volumes, and nothing else; returns what was deleted.

    A link is deleted, not followed. Raises HostError for what this user may not delete.
    """
    gone = []
    for folder in (place.code / name, place.homes / name, place.homes / f"{name}.volumes"):
        try:
            if folder.is_symlink():
                folder.unlink()
            elif folder.exists():
                shutil.rmtree(folder)
            else:
                continue
        except OSError as failed:
            raise HostError(
                f"cannot delete {failed.filename or folder}: {failed.strerror}", remedy="run it with sudo"
            ) from None
        gone.append(folder)
    return tuple(gone)
