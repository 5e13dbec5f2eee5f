"""Everything that runs on this engine, whoever started it: whose processes are whose, and who was given which GPU."""

from __future__ import annotations

from collections.abc import Mapping

from rigstack.engine import api
from rigstack.plan.gpu import Claim, Owner
from rigstack.value import Value

HOLDING = frozenset({"running", "paused", "restarting"})


class Neighbours(Value):
    """owners: container id -> what it is. claims: GPUs given to containers that run."""

    owners: Mapping[str, Owner]
    claims: tuple[Claim, ...]


def observe_neighbours() -> Neighbours:
    """What runs on the engine: one request. Raises HostError or EngineError when it does not answer."""
    entries = api.get("/containers/json")
    owners = {str(entry["Id"]): _owner(entry) for entry in entries}
    claims = tuple(claim for entry in entries if (claim := claim_of(entry)) is not None)
    return Neighbours(owners=owners, claims=claims)


def claim_of(entry: Mapping[str, object]) -> Claim | None:
    """The GPUs that a container of the engine's list was given by rigstack, or None."""
    labels = entry.get("Labels")
    if not isinstance(labels, dict) or not labels.get("rigstack.gpus"):
        return None
    created = entry.get("Created")
    return Claim(
        rig=labels.get("rigstack.rig", ""),
        project=labels.get("rigstack.project", ""),
        role=labels.get("rigstack.role", ""),
        container=_name(entry),
        devices=tuple(labels["rigstack.gpus"].split(",")),
        sharing=labels.get("rigstack.gpu_sharing", "shared"),
        holding=str(entry.get("State", "")) in HOLDING,
        since=created if isinstance(created, int) else 0,
    )


def _owner(entry: Mapping[str, object]) -> Owner:
    labels = entry.get("Labels")
    labels = labels if isinstance(labels, dict) else {}
    return Owner(
        name=_name(entry),
        rig=labels.get("rigstack.rig", ""),
        project=labels.get("rigstack.project", ""),
        role=labels.get("rigstack.role", ""),
    )


def _name(entry: Mapping[str, object]) -> str:
    names = entry.get("Names")
    return str(names[0]).lstrip("/") if isinstance(names, list) and names else str(entry.get("Id", ""))[:12]
