"""Whether an engine is there, and what it says of itself: asked over its socket, without any client."""

from __future__ import annotations

import json
from typing import Any

from rigstack.engine.api import ask
from rigstack.value import Value


class EngineAnswers(Value):
    """The engine answers. Versions are as it spells them; runc and containerd are "" where it does not say.

    name: "Engine" for Docker; Podman's stand-in calls itself "Podman Engine".
    cdi: whether it injects CDI devices, None when that was not asked.
    live_restore: whether containers outlive a restart of the engine, None when that was not asked.
    cgroups: who makes containers' control groups, "systemd" or "cgroupfs"; "" when that was not asked.
    """

    name: str
    version: str
    runc: str = ""
    containerd: str = ""
    cdi: bool | None = None
    live_restore: bool | None = None
    cgroups: str = ""


class EngineForbidden(Value):
    """The socket is there and this user may not open it."""


class EngineSilent(Value):
    """Nothing answers behind the socket, or there is no socket. reason: the system's own words."""

    reason: str


Engine = EngineAnswers | EngineForbidden | EngineSilent


def answers(path: str, *, timeout: float = 5.0) -> bool:
    """Whether the engine behind `path` answers /_ping within `timeout` seconds."""
    try:
        answer = ask(path, "/_ping", timeout=timeout)
        return answer.status == 200 and answer.body == b"OK"
    except OSError:
        return False


def observe_engine(path: str, *, settings: bool = False) -> Engine:
    """What the engine behind the socket `path` says of itself; with `settings` also what its /info says."""
    try:
        said = _document(path, "/version")
        info = _document(path, "/info") if settings else None
    except PermissionError:
        return EngineForbidden()
    except (OSError, ValueError) as silence:
        return EngineSilent(reason=f"{path}: {getattr(silence, 'strerror', None) or silence}")
    parts = {part.get("Name", ""): part.get("Version", "") for part in said.get("Components") or []}
    return EngineAnswers(
        name=next((name for name in parts if name.endswith("Engine")), "Engine"),
        version=said.get("Version", ""),
        runc=parts.get("runc", ""),
        containerd=parts.get("containerd", ""),
        cdi=bool(info.get("CDISpecDirs")) if info is not None else None,
        live_restore=bool(info.get("LiveRestoreEnabled")) if info is not None else None,
        cgroups=str(info.get("CgroupDriver", "")) if info is not None else "",
    )


def _document(path: str, resource: str) -> dict[str, Any]:
    answer = ask(path, resource)
    if answer.status != 200:
        raise OSError(f"GET {resource} answered {answer.status}")
    document: dict[str, Any] = json.loads(answer.body)
    return document
