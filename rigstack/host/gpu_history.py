"""Reads the ring files that a container writes about the GPUs."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from rigstack.plan.gpu_history import RECORD, SLOTS
from rigstack.render.compose import HISTORY_FOLDER


def load_rings(root: Path) -> dict[str, bytes]:
    """UUID -> the bytes of its ring file, of the rig in `root`; {} when there are none.

    A container writes there, so what is no plain file of the right size or name is left out; links are not followed.
    """
    folder = root / HISTORY_FOLDER
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return {}
    rings = {}
    for name in names:
        found = re.fullmatch(r"((?:GPU|MIG)-[0-9a-fA-F/-]{1,60})\.ring", name)
        if found is None:
            continue
        try:
            handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                rings[found.group(1)] = os.pread(handle, RECORD.size * SLOTS, 0)
        finally:
            os.close(handle)
    return rings
