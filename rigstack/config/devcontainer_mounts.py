"""The `mounts` of a devcontainer.json: what they become on a rig, and the words for those that would leave it.

The format: https://containers.dev/implementors/json_reference/ and `docker run --mount`.
A container may replace any part of a path inside its own folders by a link, and the engine would follow it on the host
at the next start; so nothing below those is ever a mount's source. A folder of the project that is seen at another
place is a link inside the image, and a named volume a folder of the rig that no container can rename.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from rigstack.value import Value

# What the containers need as it is.
_TAKEN = (
    *("/proc", "/sys", "/dev", "/etc/rigstack", "/run/rigstack", "/usr/local/lib/rigstack"),
    *("/opt/env", "/opt/jupyter", "/opt/inputs"),
)
_OWN = ("/home", "/code", "/home/dev", "/data")


class Mounts(Value):
    """volumes: (name, path in the container). links: (path in the container, where it leads). reports: the others."""

    volumes: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    reports: tuple[str, ...] = ()


def parse_mounts(given: Any, project: str) -> Mounts:
    """What becomes of the list `mounts` of a project's devcontainer.json."""
    volumes, links, reports = [], [], []
    for one in given if isinstance(given, list) else [given]:
        fields = _fields(one)
        words = one if isinstance(one, str) else ",".join(f"{key}={value}" for key, value in fields.items())
        try:
            kind, source, target = _understood(fields, project)
        except ValueError as why:
            reports.append(f"mounts {words}: {why}")
            continue
        if kind == "volume":
            volumes.append((source, target))
        elif kind == "link":
            links.append((target, source))
    return Mounts(volumes=tuple(volumes), links=tuple(links), reports=tuple(reports))


def _fields(one: Any) -> dict[str, str]:
    if isinstance(one, dict):
        return {str(key): str(value) for key, value in one.items()}
    parts = (part.partition("=") for part in str(one).split(","))
    return {key.strip(): value.strip() for key, _, value in parts}


def _understood(fields: dict[str, str], project: str) -> tuple[str, str, str]:
    """("volume", name, path), ("link", where it leads, path) or ("", ...) for what is there without any mount.

    Raises ValueError with the reason when it is not honoured.
    """
    source = fields.get("source", fields.get("src", ""))
    target = _target(fields.get("target", fields.get("destination", fields.get("dst", ""))), project)
    kind = fields.get("type", "volume")
    if kind == "bind":
        if "readonly" in fields or "ro" in fields:
            raise ValueError("it becomes a link, which cannot be read-only: leave readonly away")
        return "link", _inside(source, project), target
    if kind != "volume":
        raise ValueError(f"type {kind} is none of volume and bind")
    if any(_below(target, kept) for kept in (f"/code/{project}", "/data", "/home/dev")):
        return "", "", target  # kept for ever as it is
    name = source.replace("${localWorkspaceFolderBasename}", project).replace("${devcontainerId}", project)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ValueError("a volume needs a name of letters, digits, '_', '.' and '-'")
    return "volume", name, target


def _target(given: str, project: str) -> str:
    path = given.replace("${containerWorkspaceFolder}", f"/code/{project}")
    path = path.replace("${containerWorkspaceFolderBasename}", project)
    if not re.fullmatch(r"/[^\s:$]+", path) or posixpath.normpath(path) != path.rstrip("/"):
        raise ValueError("its target is not a plain absolute path")
    path = path.rstrip("/")
    if any(_below(path, one) or _below(one, path) for one in _TAKEN) or path in _OWN:
        raise ValueError("that place in the container is the rig's own")
    return path


def _inside(source: str, project: str) -> str:
    """Where a bind's source is in the container. Raises ValueError when it is none of the project's folders."""
    if source.endswith("docker.sock"):
        raise ValueError("no container of the rig may use the engine: that would be root on the host")
    known = {
        "${localWorkspaceFolder}": f"/code/{project}",
        "${localWorkspaceFolderBasename}": project,
        "${containerWorkspaceFolder}": f"/code/{project}",
    }
    for variable, meaning in known.items():
        source = source.replace(variable, meaning)
    path = posixpath.normpath(posixpath.join(f"/code/{project}", source))
    if "$" in path or not any(_below(path, folder) for folder in (f"/code/{project}", "/data")):
        raise ValueError("a container sees nothing of the host but its own folders; data/ is at /data")
    return path


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
