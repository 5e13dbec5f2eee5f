"""Finds the NVIDIA driver's XID messages in the kernel's log: the only place where a GPU says what broke it."""

from __future__ import annotations

import os
import re

KERNEL_LOG = "/dev/kmsg"
_XID = re.compile(r"NVRM: Xid \((PCI:[0-9a-fA-F:.]+)\): (\d+),? *(.*)")


def observe_xids(path: str = KERNEL_LOG) -> dict[tuple[int, int, int], tuple[str, ...]]:
    """PCI address (domain, bus, device) -> the last XID of each number since boot, in words.

    Empty when this user may not read the kernel's log (root may; see kernel.dmesg_restrict).
    Source: docs.nvidia.com/deploy/xid-errors.
    """
    found: dict[tuple[int, int, int], dict[str, str]] = {}
    for line in _lines(path):
        if match := _XID.search(line):
            bus, number, words = match.groups()
            parts = bus.removeprefix("PCI:").partition(".")[0].split(":")
            try:
                domain, slot, device = (int(part, 16) for part in parts)
            except ValueError:
                continue
            about = re.sub(r"^pid=[^,]*, (name=[^,]*, )?", "", words).strip()
            found.setdefault((domain, slot, device), {})[number] = (
                f"XID {number}: {about}" if about else f"XID {number}"
            )
    return {key: tuple(by_number.values()) for key, by_number in found.items()}


def _lines(path: str) -> list[str]:
    """Everything in the log now, one record a line: /dev/kmsg gives one a read and then EAGAIN."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    chunks = []
    try:
        while True:
            try:
                chunk = os.read(handle, 65536)
            except BrokenPipeError:  # records were overwritten meanwhile; the next read goes on after them
                continue
            if not chunk:
                break
            chunks.append(chunk)
    except OSError:
        pass
    finally:
        os.close(handle)
    return b"".join(chunks).decode(errors="replace").splitlines()
