"""Asks the engine what is there; all of it is read back from labels, nothing is remembered elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from rigstack.engine import api
from rigstack.engine.neighbours import claim_of
from rigstack.errors import EngineError
from rigstack.plan.gpu import Claim
from rigstack.plan.observed import Container
from rigstack.render.folders import parse_folders

# Docker Engine 27.0, the first whose IPv6 networks get addresses and rules without settings in its daemon.json
# (docs.docker.com/engine/release-notes/27, "Networking").
IPV6 = (1, 46)


def observe_containers(rig: str, directory: str) -> dict[str, Container]:
    """The rig's containers by service name: one request.

    Raises HostError when a rig of the same name lives in another directory of this machine.
    """
    return _own(_listed(f"rigstack.rig={rig}")[0], rig, directory)


def observe_rigs(rig: str, directory: str) -> tuple[dict[str, Container], tuple[Claim, ...], bool]:
    """observe_containers(), the GPUs that containers of all rigs of this machine were given, and whether the engine has
    addresses for IPv6 networks: still one request."""
    entries, api_version = _listed("rigstack.rig")
    claims = tuple(claim for entry in entries if (claim := claim_of(entry)) is not None)
    own = [entry for entry in entries if _labels(entry).get("rigstack.rig") == rig]
    return _own(own, rig, directory), claims, api_version is None or api_version >= IPV6


def observe_everywhere() -> tuple[Container, ...]:
    """The containers of all rigs of this machine."""
    return tuple(_container(entry) for entry in _listed("rigstack.rig")[0])


def _listed(label: str) -> tuple[list[Mapping[str, object]], tuple[int, ...] | None]:
    filters = quote(json.dumps({"label": [label]}))
    entries: list[Mapping[str, object]]
    entries, version = api.get_with_api(f"/containers/json?all=true&filters={filters}")
    return entries, version


def _labels(entry: Mapping[str, object]) -> Mapping[str, str]:
    labels = entry["Labels"]
    return labels if isinstance(labels, dict) else {}


def _own(entries: Iterable[Mapping[str, object]], rig: str, directory: str) -> dict[str, Container]:
    containers = {}
    for entry in entries:
        container = _container(entry)
        if container.directory != directory:
            raise _same_name(rig, container.directory)
        containers[container.service] = container
    return containers


def _same_name(rig: str, elsewhere: str) -> EngineError:
    return EngineError(
        f'another rig named "{rig}" runs on this machine, from {elsewhere}',
        remedy="give this one another [rig] name, or take that one down: rigstack --rig " + elsewhere + " down",
    )


def _container(entry: Mapping[str, object]) -> Container:
    labels = _labels(entry)
    status = str(entry["Status"])
    health = re.search(r"\((healthy|unhealthy|health: starting)\)", status)
    networks = entry.get("NetworkSettings")
    state = health.group(1).removeprefix("health: ") if health else ""
    names = networks.get("Networks", {}) if isinstance(networks, dict) else {}
    return Container(
        service=labels.get("com.docker.compose.service", ""),
        id=str(entry["Id"]),
        role=labels.get("rigstack.role", ""),
        project=labels.get("rigstack.project", ""),
        hash=labels.get("rigstack.hash", ""),
        image=str(entry["Image"]),
        state=str(entry["State"]),
        health=state,
        status=status,
        networks=frozenset(names),
        directory=labels.get("rigstack.directory", ""),
        ailment=_ailment(str(entry["Id"])) if state == "unhealthy" else "",
        folders=parse_folders(labels.get("rigstack.folders", "")),
    )


def _ailment(container_id: str) -> str:
    """The last line that an unhealthy container's health check printed, "" when it said nothing or is gone."""
    try:
        log = api.get(f"/containers/{container_id}/json")["State"]["Health"]["Log"]
    except (EngineError, KeyError, TypeError):
        return ""
    said = str(log[-1].get("Output", "")).strip() if log else ""
    return said.splitlines()[-1] if said else ""


Lines = Mapping[str, tuple[str, ...]]


def observe_images() -> frozenset[str]:
    """The tags of all images that the engine has."""
    return frozenset(tag for entry in api.get("/images/json") for tag in entry.get("RepoTags") or ())


def observe_inputs(containers: Iterable[Container]) -> tuple[dict[str, Mapping[str, str]], dict[str, Lines]]:
    """Of the image that each service's container was made from: its inputs (name -> digest), and their lines."""
    cache: dict[str, Mapping[str, str]] = {}
    inputs: dict[str, Mapping[str, str]] = {}
    lines: dict[str, Lines] = {}
    for container in containers:
        if container.image not in cache:
            cache[container.image] = _labels_of(container.image)
        labels = cache[container.image]
        inputs[container.service] = {name: str(value) for name, value in _parsed(labels, "rigstack.inputs").items()}
        lines[container.service] = {name: tuple(value) for name, value in _parsed(labels, "rigstack.lines").items()}
    return inputs, lines


def _labels_of(image: str) -> Mapping[str, str]:
    try:
        return api.get(f"/images/{quote(image, safe='')}/json").get("Config", {}).get("Labels") or {}
    except EngineError:
        return {}


def _parsed(labels: Mapping[str, str], label: str) -> dict[str, Any]:
    try:
        parsed = json.loads(labels.get(label, "{}"))
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
