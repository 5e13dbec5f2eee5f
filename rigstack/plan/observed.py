"""What is there: containers, images and generated files, read back from the engine and the disk."""

from __future__ import annotations

from collections.abc import Mapping

from rigstack.value import Value

LOST_GPUS = "lost its GPUs"


class Container(Value):
    """One container of the rig. state: running, exited, created...; health: healthy, starting, unhealthy or "".

    status: the engine's own words ("Up 3 minutes (healthy)"). networks: project networks by compose name.
    ailment: what its health check last said, of one that is unhealthy.
    folders: those of the rig that it has mounted -> the inode each had when it was made; empty where that is not known.
    """

    service: str
    id: str
    role: str
    project: str
    hash: str
    image: str
    state: str
    health: str
    status: str
    networks: frozenset[str]
    directory: str = ""
    ailment: str = ""
    folders: Mapping[str, int] = {}

    @property
    def lost_gpus(self) -> bool:
        """It was given GPUs and may no longer open them; made anew, it has them again (images/base/lib/health-gpu)."""
        return self.health == "unhealthy" and self.ailment.startswith(LOST_GPUS)


class Observed(Value):
    """containers by service. images: tags that exist, or None when nobody had to ask.

    built_from: service -> (input -> digest) of the image its container was made from, where known.
    built_lines: service -> (file -> lines) of that image, for the files that are short.
    files: path -> the text on disk, or None when absent, for every file that is generated.
    folders: those that exist -> their inodes. keys: those that exist. password: whether one was set.
    stale: generated files that nothing wants any more.
    """

    containers: Mapping[str, Container] = {}
    images: frozenset[str] | None = None
    built_from: Mapping[str, Mapping[str, str]] = {}
    built_lines: Mapping[str, Mapping[str, tuple[str, ...]]] = {}
    files: Mapping[str, str | None] = {}
    folders: Mapping[str, int] = {}
    keys: frozenset[str] = frozenset()
    password: bool = False
    stale: tuple[str, ...] = ()
