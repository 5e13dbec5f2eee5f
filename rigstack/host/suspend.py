"""Puts this machine to sleep, with what it has for that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rigstack import process
from rigstack.errors import HostError

POWER_STATE = Path("/sys/power/state")


def suspend_argv() -> tuple[str, ...]:
    """What puts the machine to sleep (systemctl(1), loginctl(1) of elogind), or the kernel's own file for it."""
    for program in ("systemctl", "loginctl"):
        if shutil.which(program):
            return (program, "suspend")
    return ("tee", str(POWER_STATE))


def suspend(argv: tuple[str, ...]) -> None:
    """Sleeps, and returns when the machine is awake again (or about to sleep). Raises HostError."""
    try:
        done = process.run(argv, stdin="mem\n" if argv[0] == "tee" else None)
    except FileNotFoundError:
        raise HostError(f"there is no {argv[0]} here", remedy="suspend it by its own means") from None
    if not done.ok:
        remedy = "see the reason above; some machines and virtual machines cannot sleep"
        raise HostError(
            "the machine could not be put to sleep",
            details=done.tail(3),
            remedy=remedy if os.geteuid() == 0 else "run it as root: sudo rigstack suspend",
        )
