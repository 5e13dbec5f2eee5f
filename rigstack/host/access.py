"""Reads the rig's access journals, which containers write to state/access."""

from __future__ import annotations

from pathlib import Path

from rigstack.config.model import Rig
from rigstack.host.files import read_text
from rigstack.host.ssh_keys import resolve_authorized_keys
from rigstack.plan.access import Failure, Login, read_edge, read_failures, read_sshd
from rigstack.plan.fingerprint import fingerprint

FOLDER = "state/access"


def observe_access(root: Path, rig: Rig) -> tuple[tuple[Login, ...], tuple[Failure, ...]]:
    """All logins, oldest first, and all failed tries, as far back as the journals reach. Raises HostError."""
    keys = resolve_authorized_keys(root, rig.access.authorized_keys)
    who = {fingerprint(key): " ".join(key.split()[2:]) for key in keys}
    logins, failures = read_edge(_lines(root / FOLDER / "edge", "web"))
    ssh: list[Login] = []
    for folder, project in (("gateway", ""), *((one.name, one.name) for one in rig.projects)):
        where = "workspace" if project else "gateway"
        ssh += read_sshd(_lines(root / FOLDER / folder, "logins"), where=where, project=project, who=who)
        failures += read_failures(_lines(root / FOLDER / folder, "failed"), where=where)
    return tuple(sorted((*logins, *ssh), key=lambda one: one.began)), failures


def _lines(folder: Path, name: str) -> list[str]:
    """A journal with the ones before it first: NAME.1 by `record`, NAME-TIME by Caddy."""
    try:
        before = sorted((*folder.glob(f"{name}.1"), *folder.glob(f"{name}-*")))
    except OSError:
        before = []
    return [line for path in (*before, folder / name) for line in (read_text(path) or "").splitlines()]
