"""Whether this machine has the GPUs that rig.toml names. Pure."""

from __future__ import annotations

from rigstack.config.model import Rig
from rigstack.errors import HostError
from rigstack.plan.host import Host


def check_gpus(rig: Rig, host: Host, only: frozenset[str]) -> None:
    """Raises HostError for a GPU that is named and not there: compose would find out when the old container is gone.

    only: the projects to look at; empty means all. The nvidia runtime's cards are known by index only, so a UUID is
    left to it. On a machine without any GPU everything runs on the CPU, and a note says so.
    """
    gpu = host.gpu
    if not gpu.devices:
        return
    for project in rig.projects:
        if not isinstance(project.gpus, tuple) or (only and project.name not in only):
            continue
        absent = [one for one in project.gpus if one not in gpu.devices and (gpu.kind == "cdi" or one.isdigit())]
        if absent:
            raise HostError(
                f"{project.name} asks for GPU {', '.join(absent)}, which this machine does not have",
                cause=f"it has: {', '.join(gpu.devices)}",
                remedy="change `gpus` in rig.toml; after a change of cards or driver: sudo rigstack host setup",
            )
