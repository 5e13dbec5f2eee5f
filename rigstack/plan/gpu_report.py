"""Who uses the GPUs, as one document and as lines for people: live figures joined with what containers were given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rigstack.plan.gpu import Claim, GpuProcess, GpuReading, GpuUnit, Holder, NoGpus

GIB = 1024**3
MIB = 1024**2
HEADERS = ("GPU", "NAME", "STATE", "LOAD", "MEMORY", "TEMP", "POWER", "GIVEN TO")
PROCESS_HEADERS = ("GPU", "PID", "MEMORY", "WHO", "PROGRAM")


def report(
    reading: GpuReading | NoGpus, claims: Iterable[Claim], holders: Mapping[int, Holder], remarks: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The `--json` document (docs/reference/gpus.md).

    claims: of containers that run. holders: process id -> whose it is. remarks: what else is wrong, in words.
    """
    if isinstance(reading, NoGpus):
        state = "broken" if reading.broken else "none"
        return {
            "state": state,
            "why": reading.why,
            "remedy": reading.remedy,
            "driver": "",
            "cuda": "",
            "gpus": [],
            "problems": list(remarks),
        }
    taken = tuple(claims)
    return {
        "state": "ok" if reading.units else "none",
        "why": "" if reading.units else "the NVIDIA driver sees no GPU",
        "remedy": "",
        "driver": reading.driver,
        "cuda": reading.cuda,
        "gpus": [
            {
                "index": int(unit.device) if unit.device.isdigit() else None,
                "bus": unit.bus,
                "split": unit.split,
                **_unit(unit, "", taken, holders),
                "power": {"used": unit.power, "limit": unit.power_limit},
                "temperature": unit.temperature,
                "neighbours": [
                    {
                        "gpu": link.other if link.one == unit.device else link.one,
                        "nvlinks": link.nvlinks,
                        "path": link.path,
                    }
                    for link in reading.links
                    if unit.device in (link.one, link.other)
                ],
                "instances": [_unit(one, unit.device, taken, holders) for one in unit.instances],
            }
            for unit in reading.units
        ],
        "problems": [*reading.problems, *remarks],
    }


def names_of(unit: GpuUnit) -> frozenset[str]:
    """Every name by which containers can be given this unit."""
    return frozenset(name for name in (unit.device, unit.uuid) if name)


def claims_on(unit: GpuUnit, claims: Iterable[Claim], parent: str = "") -> tuple[Claim, ...]:
    """The claims that include this unit; parent: the GPU that an instance is part of."""
    names = names_of(unit) | ({parent} if parent else set())
    return tuple(claim for claim in claims if claim.devices == ("all",) or names & set(claim.devices))


def _unit(unit: GpuUnit, parent: str, claims: tuple[Claim, ...], holders: Mapping[int, Holder]) -> dict[str, Any]:
    given: dict[tuple[str, str], dict[str, Any]] = {}
    for claim in claims_on(unit, claims, parent):
        entry = given.setdefault(
            (claim.rig, claim.project),
            {"rig": claim.rig, "project": claim.project, "sharing": claim.sharing, "containers": []},
        )
        entry["containers"].append(claim.role)
    return {
        "device": unit.device,
        "uuid": unit.uuid,
        "name": unit.kind,
        "state": unit.state,
        "free": unit.state == "free",
        "load": unit.load,
        "memory": {"total": unit.memory_total, "used": unit.memory_used, "free": unit.memory_free},
        "problems": list(unit.problems),
        "given_to": list(given.values()),
        "processes": [_process(process, holders.get(process.pid)) for process in unit.processes],
    }


def _process(process: GpuProcess, holder: Holder | None) -> dict[str, Any]:
    whose = holder or Holder(kind="unknown")
    return {
        "pid": process.pid,
        "kind": process.kind,
        "memory": process.memory,
        "holder": whose.kind,
        "rig": whose.rig,
        "project": whose.project,
        "container": whose.container,
        "user": whose.user,
        "program": whose.command,
        "who": whose.text(),
    }


def rows(document: Mapping[str, Any]) -> list[list[str]]:
    """A row under HEADERS for each GPU, and below it for each of its instances."""
    found = []
    for gpu in document["gpus"]:
        power = _of(gpu["power"]["used"], gpu["power"]["limit"], "W", 0)
        temperature = "-" if gpu["temperature"] is None else f"{gpu['temperature']} C"
        found.append(_row(gpu, temperature, power))
        found += [_row(instance, "", "") for instance in gpu["instances"]]
    return found


def _row(unit: Mapping[str, Any], temperature: str, power: str) -> list[str]:
    memory = unit["memory"]
    used, total = memory["used"], memory["total"]
    return [
        unit["device"],
        unit["name"] or "?",
        unit["state"],
        "-" if unit["load"] is None else f"{unit['load']} %",
        _of(None if used is None else used / GIB, None if total is None else total / GIB, "GiB", 1),
        temperature,
        power,
        ", ".join(_given(entry) for entry in unit["given_to"]) or "-",
    ]


def _given(entry: Mapping[str, Any]) -> str:
    return str(entry["project"]) + (" (exclusive)" if entry["sharing"] == "exclusive" else "")


def _of(used: float | None, total: float | None, unit: str, digits: int) -> str:
    if used is None and total is None:
        return "-"
    shown = ["?" if value is None else f"{value:.{digits}f}" for value in (used, total)]
    return f"{shown[0]} / {shown[1]} {unit}"


def process_rows(document: Mapping[str, Any]) -> list[list[str]]:
    """A row under PROCESS_HEADERS for each process, an instance's under the instance's name."""
    found: list[list[str]] = []
    for gpu in document["gpus"]:
        below = {process["pid"] for one in gpu["instances"] for process in one["processes"]}
        for unit in (gpu, *gpu["instances"]):
            for process in unit["processes"]:
                if unit is gpu and process["pid"] in below:
                    continue
                memory = "-" if process["memory"] is None else f"{process['memory'] / MIB:.0f} MiB"
                found.append([unit["device"], str(process["pid"]), memory, process["who"], process["program"] or "-"])
    return found


def remarks(document: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong, a line each."""
    lines = [
        f"GPU {unit['device']}: {words}"
        for gpu in document["gpus"]
        for unit in (gpu, *gpu["instances"])
        for words in unit["problems"]
    ]
    return lines + list(document["problems"])


def headline(document: Mapping[str, Any]) -> str:
    """The answer to the question that people ask first."""
    if not document["gpus"]:
        return str(document["why"])
    units = [one for gpu in document["gpus"] for one in ([*gpu["instances"]] if gpu["split"] else [gpu])]
    free = [one["device"] for one in units if one["free"]]
    driver = f"driver {document['driver'] or '?'}, CUDA up to {document['cuda'] or '?'}"
    if not free:
        return f"no GPU is free   {driver}"
    return f"free: {', '.join(free)}   {driver}"
