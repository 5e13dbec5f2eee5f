"""Has this machine renew the router's mappings: a timer of systemd, or a line in the owner's crontab."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

from rigstack import process
from rigstack.errors import HostError
from rigstack.host.files import read_text, write_file
from rigstack.render.net import render_crontab, render_units, unit_name

SYSTEM_UNITS = "etc/systemd/system"


def renewer(root: Path = Path("/")) -> str:
    """What can renew here: "systemd", "cron", or "" for neither."""
    if (root / "run/systemd/system").is_dir():  # sd_booted(3)
        return "systemd"
    return "cron" if shutil.which("crontab") and _cron_runs(root) else ""


def _cron_runs(root: Path) -> bool:
    for file in (root / "proc").glob("[0-9]*/comm"):
        try:
            if file.read_text().strip() in ("cron", "crond", "anacron"):
                return True
        except OSError:
            continue
    return False


def renew_argv(rig_dir: Path) -> tuple[str, ...]:
    """What the timer runs."""
    return (sys.executable, "-m", "rigstack", "--rig", str(rig_dir), "net", "renew")


def ensure_timer(rig_name: str, rig_dir: Path, *, root: Path = Path("/")) -> str:
    """Installs the timer as the rig's owner; returns how in words, "" where nothing here can. Raises HostError.

    Root makes a service of the system that runs as the owner of the rig: renewing needs no right of root's.
    """
    owner = _owner(rig_dir)
    match renewer(root):
        case "systemd":
            folder, scope = _units(root)
            user = owner if os.geteuid() == 0 else ""
            for name, text in render_units(rig_name, renew_argv(rig_dir), user).items():
                if read_text(folder / name) != text:
                    write_file(folder / name, text, mode=0o644, owner=None)
            _systemctl(scope, "daemon-reload")
            _systemctl(scope, "enable", "--now", f"{unit_name(rig_name)}.timer")
            if scope and not process.run(("loginctl", "enable-linger")).ok:
                return (
                    "by a timer of your systemd, while you are logged in (always, after: sudo loginctl enable-linger)"
                )
            return f"by systemd, {unit_name(rig_name)}.timer"
        case "cron":
            _crontab(owner, rig_name, process.quote(renew_argv(rig_dir)))
            return f"by cron, in the crontab of {owner}"
    return ""


def remove_timer(rig_name: str, rig_dir: Path, *, root: Path = Path("/")) -> None:
    """Takes the timer away; nothing to do where there is none. Raises HostError."""
    folder, scope = _units(root)
    files = [folder / name for name in render_units(rig_name, ())]
    if any(file.exists() for file in files):
        _systemctl(scope, "disable", "--now", f"{unit_name(rig_name)}.timer")
        for file in files:
            file.unlink(missing_ok=True)
        _systemctl(scope, "daemon-reload")
    if shutil.which("crontab"):
        _crontab(_owner(rig_dir), rig_name, "")


def _units(root: Path) -> tuple[Path, tuple[str, ...]]:
    if os.geteuid() == 0:
        return root / SYSTEM_UNITS, ()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd/user", ("--user",)


def _systemctl(scope: tuple[str, ...], *words: str) -> None:
    done = process.run(("systemctl", *scope, *words), timeout=30)
    if not done.ok:
        raise HostError(f"systemctl {' '.join(words)} failed", details=done.tail(3), remedy="systemctl status")


def _owner(rig_dir: Path) -> str:
    uid = rig_dir.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _crontab(owner: str, rig_name: str, command: str) -> None:
    """Sets or removes the rig's line in the owner's crontab; other lines stay as they are."""
    whose = ("-u", owner) if os.geteuid() == 0 else ()
    listed = process.run(("crontab", *whose, "-l"))  # fails where there is none yet
    before = listed.stdout if listed.ok else ""
    after = render_crontab(before, rig_name, command)
    if after == before:
        return
    done = process.run(("crontab", *whose, "-"), stdin=after)
    if not done.ok:
        raise HostError("the crontab could not be written", details=done.tail(3), remedy="crontab -e")
