"""The versions below which a part is too old for rigstack or has a published hole, as a table."""

from __future__ import annotations

import re

from rigstack.engine.presence import EngineAnswers
from rigstack.host.machine import Machine
from rigstack.host.nvidia import NvidiaGpus
from rigstack.value import Value

# What rigstack itself needs: CDI devices came with engine 25; compose 2.24 and buildx 0.12 are the oldest
# that a supported distribution ships.
ENGINE_MINIMUM = (25, 0)
COMPOSE_MINIMUM = (2, 24)
BUILDX_MINIMUM = (0, 12)


class Floor(Value):
    """A part's first version without a known hole.

    fixed: each maintained line's first good version, oldest line first; what is newer than the last is good.
    hole: the advisory and what it lets happen. remedy: what to do.
    """

    part: str
    fixed: tuple[tuple[int, ...], ...]
    hole: str
    remedy: str

    def holds(self, version: tuple[int, ...]) -> bool:
        """Whether `version` is at or above the floor of its own line."""
        for line in self.fixed:
            if version[: len(line) - 1] == line[:-1]:
                return version >= line
        return version >= self.fixed[-1]


_UPGRADE = (
    "sudo apt-get update && sudo apt-get install --only-upgrade {packages}"
    " (a distribution may fix it under an older number: see its advisory)"
)

FLOORS: dict[str, Floor] = {
    "engine": Floor(
        part="Docker Engine",
        fixed=((28, 3, 3),),
        hole="CVE-2025-54388: a firewalld reload opens ports published on 127.0.0.1 to the network",
        remedy=_UPGRADE.format(packages="docker.io"),
    ),
    "runc": Floor(
        part="runc",
        fixed=((1, 2, 8), (1, 3, 3)),
        hole="CVE-2025-31133, -52565, -52881: a malicious container can get out through /proc",
        remedy=_UPGRADE.format(packages="runc"),
    ),
    "buildkit": Floor(
        part="BuildKit",
        fixed=((0, 28, 1),),
        hole="a malicious build can write outside its own files",
        remedy="a newer Docker Engine brings it; until then build only what you trust",
    ),
    "compose": Floor(
        part="docker compose",
        fixed=((2, 40, 2),),
        hole="CVE-2025-62725: a remote compose file can write anywhere (rigstack uses none)",
        remedy=_UPGRADE.format(packages="docker-compose"),
    ),
    "toolkit": Floor(
        part="NVIDIA Container Toolkit",
        fixed=((1, 17, 8),),
        hole="CVE-2025-23266 (NVIDIAScape): a malicious image becomes root on the host",
        remedy=_UPGRADE.format(packages="nvidia-container-toolkit"),
    ),
}


class Hole(Value):
    """A part on this machine below its floor. remedy: the floor's, or this machine's own way."""

    floor: Floor
    version: str
    remedy: str

    def text(self) -> str:
        """One line: the part, its version, the version that has it fixed, the hole."""
        fixed = " or ".join(".".join(str(number) for number in line) for line in self.floor.fixed)
        return f"{self.floor.part} {self.version} is below {fixed}: {self.floor.hole}"


def numbers(version: str) -> tuple[int, ...]:
    """The version's leading numbers: "28.5.2+dfsg4" -> (28, 5, 2), "" -> ()."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def part_versions(machine: Machine) -> dict[str, str]:
    """The version of each part of FLOORS on the machine, as far as it was asked; "" for unknown."""
    engine = machine.engine
    return {
        "engine": engine.version if isinstance(engine, EngineAnswers) else machine.daemon_version,
        "runc": engine.runc if isinstance(engine, EngineAnswers) else "",
        "buildkit": machine.buildkit,
        "compose": machine.compose.version if machine.compose else "",
        "toolkit": machine.gpu.toolkit_version if isinstance(machine.gpu, NvidiaGpus) else "",
    }


def holes(machine: Machine) -> tuple[Hole, ...]:
    """The parts known to be below their floors; a part whose version was not asked is not among them."""
    found = []
    for part, version in part_versions(machine).items():
        floor = FLOORS[part]
        if numbers(version) and not floor.holds(numbers(version)):
            unpacked = machine.prefixes and part in ("engine", "buildkit", "compose")
            renewed = f"stop the engine, remove {machine.prefixes[-1] if unpacked else ''}, sudo rigstack host setup"
            found.append(Hole(floor=floor, version=version, remedy=renewed if unpacked else floor.remedy))
    return tuple(found)
