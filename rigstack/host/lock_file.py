"""Writes rig.lock as rig.toml's owner."""

from __future__ import annotations

from pathlib import Path

from rigstack.config.lock import FILE, render_lock
from rigstack.config.model import Lock
from rigstack.host.files import write_file


def write_lock(rig_dir: Path, lock: Lock) -> None:
    """Replaces rig.lock. Raises HostError."""
    there = (rig_dir / "rig.toml").stat()
    write_file(rig_dir / FILE, render_lock(lock), mode=0o644, owner=(there.st_uid, there.st_gid))
