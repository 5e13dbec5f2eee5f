"""Whose a process is: its container by its control group, else its user, read from /proc."""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from rigstack.plan.gpu import Holder, Owner


def container_ids(cgroup: str) -> tuple[str, ...]:
    """The ids of containers in the text of /proc/PID/cgroup, outermost first.

    One pattern for control groups v1 and v2 and for the engine's cgroupfs and systemd drivers:
    "/docker/ID", "/system.slice/docker-ID.scope", and an ID below another for containers in containers (cgroups(7)).
    """
    ids: dict[str, None] = {}
    for line in cgroup.splitlines():
        path = line.split(":", 2)[-1]
        ids.update(dict.fromkeys(re.findall(r"(?:(?<=/)|(?<=-))[0-9a-f]{64}(?=/|\.scope|$)", path)))
    return tuple(ids)


def observe_holder(pid: int, owners: Mapping[str, Owner], *, proc: Path = Path("/proc")) -> Holder:
    """Whose the process `pid` is. owners: container id -> what it is, of all that run. Raises nothing."""
    folder = proc / str(pid)
    try:
        ids = container_ids((folder / "cgroup").read_text(errors="replace"))
        uid = folder.stat().st_uid
    except OSError:
        return Holder(kind="unknown")
    command = _read(folder / "comm").strip()
    user = _user(uid)
    for one in ids:
        if one in owners:
            owner = owners[one]
            return Holder(
                kind=owner.role or "container",
                rig=owner.rig,
                project=owner.project,
                container=owner.name,
                user=user,
                command=command,
            )
    if ids:
        return Holder(kind="container", container=ids[0][:12], user=user, command=command)
    return Holder(kind="user", user=user, command=command)


def observe_holders(
    pids: Iterable[int], owners: Mapping[str, Owner], *, proc: Path = Path("/proc")
) -> dict[int, Holder]:
    """Process id -> whose it is."""
    return {pid: observe_holder(pid, owners, proc=proc) for pid in set(pids)}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
