"""What NVIDIA hardware, driver and container toolkit this machine has, read from files: it costs nothing."""

from __future__ import annotations

import re
from pathlib import Path

from rigstack.value import Value

CDI_DIRS = ("etc/cdi", "var/run/cdi")
CDI_SPEC = "/etc/cdi/nvidia.yaml"
_NVIDIA_PCI = "0x10de"


class NoGpu(Value):
    """No NVIDIA GPU that works here. cards: NVIDIA display controllers on the bus without a loaded driver."""

    cards: int = 0


class CdiSpec(Value):
    """One CDI file for nvidia.com/gpu. stale: why it no longer fits the machine, "" when it fits."""

    path: str
    stale: str = ""


class NvidiaGpus(Value):
    """NVIDIA GPUs with a loaded driver.

    nodes: the device nodes, /dev/nvidia0 and so on. driver: its version, "" when unreadable.
    toolkit: the path of nvidia-ctk, None when absent; toolkit_version only when it was asked.
    toolkit_package: whether the machine's apt sources have nvidia-container-toolkit, None when not looked up.
    specs: the CDI specs that describe nvidia.com/gpu.
    """

    nodes: tuple[str, ...]
    driver: str
    toolkit: str | None = None
    toolkit_version: str = ""
    toolkit_package: bool | None = None
    specs: tuple[CdiSpec, ...] = ()

    @property
    def spec_fits(self) -> bool:
        return any(not spec.stale for spec in self.specs)


def gpu_nodes(root: Path) -> tuple[str, ...]:
    """The GPUs' device nodes, as paths of the machine; control nodes (nvidiactl, nvidia-uvm) do not count."""
    names = [entry.name for entry in (root / "dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", entry.name)]
    return tuple(f"/dev/{name}" for name in sorted(names, key=lambda name: int(name[6:])))


def driver_version(root: Path) -> str:
    """The loaded kernel driver's version from /proc/driver/nvidia/version, "" when there is none."""
    try:
        text = (root / "proc/driver/nvidia/version").read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(r"\b\d{3}\.\d+(?:\.\d+)?\b", text)
    return found.group() if found else ""


def driverless_cards(root: Path) -> int:
    """How many NVIDIA display controllers (PCI class 03) the bus has."""
    count = 0
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
        except OSError:
            continue
        count += vendor == _NVIDIA_PCI and kind.startswith("0x03")
    return count


def cdi_specs(root: Path, *, nodes: tuple[str, ...], driver: str) -> tuple[CdiSpec, ...]:
    """The CDI specs for nvidia.com/gpu in /etc/cdi and /var/run/cdi, each with what is stale about it."""
    specs = []
    for folder in CDI_DIRS:
        for file in sorted((root / folder).glob("*")):
            if file.suffix not in (".yaml", ".json"):
                continue
            try:
                text = file.read_text(errors="replace")
            except OSError:
                continue
            if "nvidia.com/gpu" in text:
                reason = stale(text, nodes=nodes, driver=driver)
                specs.append(CdiSpec(path=f"/{folder}/{file.name}", stale=reason))
    return tuple(specs)


def stale(spec: str, *, nodes: tuple[str, ...], driver: str) -> str:
    """Why the text of a CDI spec does not fit the machine, "" when it does.

    A generated spec names the driver's libraries with their version and each GPU's device node, so a new
    driver, a new card or a removed one shows in the text. A spec that names neither was written by hand
    and is left alone.
    """
    libraries = set(re.findall(r"\.so\.(\d{3}\.\d+(?:\.\d+)?)\b", spec))
    if driver and libraries and driver not in libraries:
        return f"it is for driver {', '.join(sorted(libraries))} and {driver} is loaded"
    named = set(re.findall(r"/dev/nvidia\d+\b", spec))
    if named and named != set(nodes):
        return f"it names {len(named)} GPU(s) and the machine has {len(nodes)}"
    return ""


def generate_cdi_argv(nvidia_ctk: str = "nvidia-ctk") -> tuple[str, ...]:
    """The command that writes the machine's CDI spec (NVIDIA Container Toolkit, "Support for CDI")."""
    return (nvidia_ctk, "cdi", "generate", f"--output={CDI_SPEC}")
