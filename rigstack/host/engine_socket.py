"""Asks the Docker engine over its unix socket whether it is there: starting the docker client costs 20 ms."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rigstack.errors import HostError

DEFAULT_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, kw_only=True)
class EngineAnswers:
    """The engine answers. Versions are as it spells them; runc and containerd are "" where it does not say.

    name: "Engine" for Docker; Podman's stand-in calls itself "Podman Engine".
    cdi: whether it injects CDI devices, None when that was not asked.
    live_restore: whether containers outlive a restart of the engine, None when that was not asked.
    """

    name: str
    version: str
    runc: str = ""
    containerd: str = ""
    cdi: bool | None = None
    live_restore: bool | None = None


@dataclass(frozen=True, kw_only=True)
class EngineForbidden:
    """The socket is there and this user may not open it."""


@dataclass(frozen=True, kw_only=True)
class EngineSilent:
    """Nothing answers behind the socket, or there is no socket. reason: the system's own words."""

    reason: str


Engine = EngineAnswers | EngineForbidden | EngineSilent


def engine_socket(environ: Mapping[str, str] | None = None) -> str:
    """The path of the engine's unix socket: DOCKER_HOST, else the docker client's context, else the default.

    The order is the docker client's own (https://docs.docker.com/engine/manage-resources/contexts/).
    Raises HostError when it names an engine on another machine: a rig binds folders of this one.
    """
    env = os.environ if environ is None else environ
    endpoint = env.get("DOCKER_HOST", "")
    origin = "DOCKER_HOST"
    if not endpoint:
        endpoint, origin = _context_endpoint(env), "the docker client's context"
    if not endpoint:
        return DEFAULT_SOCKET
    if endpoint.startswith("unix://"):
        return endpoint.removeprefix("unix://")
    raise HostError(
        f"{origin} points to {endpoint}, which is not a unix socket of this machine",
        cause="a rig binds folders of the machine that its engine runs on",
        remedy="run rigstack on that machine, or: unset DOCKER_HOST; docker context use default",
    )


def _context_endpoint(env: Mapping[str, str]) -> str:
    folder = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/")) / ".docker")
    name = env.get("DOCKER_CONTEXT", "")
    try:
        name = name or str(json.loads((folder / "config.json").read_text()).get("currentContext", ""))
        if name in ("", "default"):
            return ""
        meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        return str(json.loads(meta.read_text())["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, AttributeError):
        return ""


def ask(path: str, resource: str, *, timeout: float = 5.0) -> bytes:
    """The body of `GET resource` on the engine socket at `path`; timeout in seconds.

    HTTP/1.0 by hand: the engine closes the connection after the body, and http.client takes 20 ms to import.
    Raises OSError when nothing answers or the answer is not 200.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(f"GET {resource} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].decode(errors="replace")
    if " 200 " not in f"{status} ":
        raise OSError(f"GET {resource} answered {status or 'nothing'}")
    return body


def answers(path: str, *, timeout: float = 5.0) -> bool:
    """Whether the engine behind `path` answers /_ping within `timeout` seconds."""
    try:
        return ask(path, "/_ping", timeout=timeout).strip() == b"OK"
    except OSError:
        return False


def observe_engine(path: str, *, settings: bool = False) -> Engine:
    """What the engine behind the socket `path` says of itself; with `settings` also what its /info says."""
    try:
        said = json.loads(ask(path, "/version"))
        info = json.loads(ask(path, "/info")) if settings else None
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
    )
