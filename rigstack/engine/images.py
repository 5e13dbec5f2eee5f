"""Asks for and removes the images that the engine keeps for rigs."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import quote

from rigstack import process
from rigstack.engine import api
from rigstack.errors import EngineError
from rigstack.plan.stored import StoredImage


def observe_stored(rig: str) -> tuple[StoredImage, ...]:
    """The images of the rig's projects, newest tag first."""
    filters = quote(json.dumps({"label": ["rigstack.image"], "reference": [f"rigstack/{rig}-*"]}))
    tags = [tag for entry in api.get(f"/images/json?filters={filters}") for tag in entry.get("RepoTags") or ()]
    found = (_stored(tag) for tag in tags if tag.startswith(f"rigstack/{rig}-"))
    return tuple(sorted(found, key=lambda one: one.tagged, reverse=True))


def _stored(tag: str) -> StoredImage:
    image = api.get(f"/images/{quote(tag, safe='')}/json")
    labels = image.get("Config", {}).get("Labels") or {}
    return StoredImage(
        tag=tag,
        kind=str(labels.get("rigstack.image", "")),
        size=int(image.get("Size", 0)),
        tagged=_seconds(str(image.get("Metadata", {}).get("LastTagTime") or image.get("Created", ""))),
        inputs=json.loads(labels.get("rigstack.inputs", "{}")),
        lines={name: tuple(lines) for name, lines in json.loads(labels.get("rigstack.lines", "{}")).items()},
    )


def observe_all_stored() -> tuple[StoredImage, ...]:
    """The images of all rigs of this machine, and what they share; without `lines`."""
    filters = quote(json.dumps({"label": ["rigstack.image"]}))
    return tuple(
        StoredImage(
            tag=tag,
            kind=str(entry["Labels"]["rigstack.image"]),
            size=int(entry["Size"]),
            tagged=float(entry["Created"]),
            inputs=json.loads(entry["Labels"].get("rigstack.inputs", "{}")),
        )
        for entry in api.get(f"/images/json?filters={filters}")
        for tag in entry.get("RepoTags") or ()
    )


def observe_used() -> frozenset[str]:
    """The images of all containers of this machine, running or not."""
    return frozenset(str(entry["Image"]) for entry in api.get("/containers/json?all=true"))


def _seconds(stamp: str) -> float:
    """Seconds since 1970 of the engine's RFC 3339 times, which have nanoseconds."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", stamp)).timestamp()
    except ValueError:
        return 0.0


def observe_layers(tag: str) -> list[dict[str, Any]]:
    """The image's layers, the last first: what made each, and its bytes."""
    history = api.get(f"/images/{quote(tag, safe='')}/history")
    return [{"size": int(one["Size"]), "made_by": " ".join(str(one["CreatedBy"]).split())} for one in history]


def remove_image(tag: str) -> None:
    """Removes a tag, and the image when it was its last. Raises EngineError when a container uses it."""
    done = process.run(("docker", "image", "rm", tag))
    if not done.ok:
        raise EngineError(f"cannot remove {tag}", details=done.tail(2), remedy="stop what uses it, then run it again")


def list_packages(tag: str) -> dict[str, list[list[str]]]:
    """What is installed in an image: "python" and "debian", each a list of [name, version]. Raises EngineError."""
    script = (
        "/opt/jupyter/bin/python - <<'END'\n"
        "import importlib.metadata as m, json, subprocess\n"
        "env = [p for p in __import__('glob').glob('/opt/env/lib/python3*/site-packages')]\n"
        "python = sorted({(d.name, d.version) for d in m.distributions(path=env)})\n"
        "query = ['dpkg-query', '-W', '-f=${Package} ${Version}\\n']\n"
        "debian = [l.split() for l in subprocess.run(query, capture_output=True, text=True).stdout.splitlines()]\n"
        "print(json.dumps({'python': python, 'debian': debian}))\n"
        "END"
    )
    argv = (
        "docker",
        "run",
        "--rm",
        "--network",
        "none",
        "--pull",
        "never",
        "--entrypoint",
        "/bin/sh",
        tag,
        "-c",
        script,
    )
    done = process.run(argv, timeout=120)
    if not done.ok:
        raise EngineError(f"cannot look into {tag}", details=done.tail(4), remedy="rigstack up")
    packages: dict[str, list[list[str]]] = json.loads(done.stdout)
    return packages
