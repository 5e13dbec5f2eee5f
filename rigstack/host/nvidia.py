"""What NVIDIA hardware, driver and container toolkit this machine has, read from files: it costs nothing."""

from __future__ import annotations

import re
from pathlib import Path

from rigstack.value import Value

CDI_DIRS = ("etc/cdi", "var/run/cdi")
CDI_SPEC = "/etc/cdi/nvidia.yaml"
# Units of nvidia-container-toolkit from 1.18 on: they make the specification in /var/run/cdi at every boot and when the
# driver was updated; not when MIG instances change (its "Support for CDI").
REFRESH_UNITS = ("nvidia-cdi-refresh.path", "nvidia-cdi-refresh.service")
REFRESHED_SPEC = "/var/run/cdi/nvidia.yaml"
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
    unlinked: device nodes without their link in /dev/char, by which systemd knows a device.
    refresh: whether the toolkit's units that refresh the specification are "on" or "off"; "" where there are none or
    somebody masked them.
    """

    nodes: tuple[str, ...]
    driver: str
    toolkit: str | None = None
    toolkit_version: str = ""
    toolkit_package: bool | None = None
    specs: tuple[CdiSpec, ...] = ()
    unlinked: tuple[str, ...] = ()
    refresh: str = ""

    @property
    def effective_specs(self) -> tuple[CdiSpec, ...]:
        """Those that count: /var/run/cdi wins over /etc/cdi for a device that both name (CDI specification)."""
        running = tuple(spec for spec in self.specs if spec.path.startswith("/var/run/"))
        return running or self.specs

    @property
    def spec_fits(self) -> bool:
        return bool(self.specs) and not any(spec.stale for spec in self.effective_specs)


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


def mig_capabilities(root: Path) -> frozenset[int]:
    """The minor numbers in /dev/nvidia-caps of all MIG instances that there are now.

    Source: NVIDIA Multi-Instance GPU User Guide, "Device Nodes and Capabilities".
    """
    found = set()
    for file in (root / "proc/driver/nvidia/capabilities").glob("gpu*/mig/gi*/**/access"):
        try:
            minor = re.search(r"DeviceFileMinor:\s*(\d+)", file.read_text(errors="replace"))
        except OSError:
            continue
        if minor:
            found.add(int(minor.group(1)))
    return frozenset(found)


def unlinked_nodes(root: Path, nodes: tuple[str, ...]) -> tuple[str, ...]:
    """The device nodes that /dev/char does not lead to. 195 is the driver's major number (the kernel's devices.txt)."""
    return tuple(node for node in nodes if not (root / f"dev/char/195:{node.removeprefix('/dev/nvidia')}").exists())


def refresh_units(root: Path) -> str:
    """NvidiaGpus.refresh, from where systemd looks for units (systemd.unit(5))."""
    unit = REFRESH_UNITS[0]
    own = root / "etc/systemd/system" / unit
    there = own.exists() or any(
        (root / folder / unit).exists() for folder in ("usr/lib/systemd/system", "lib/systemd/system")
    )
    if not there or (own.is_symlink() and str(own.readlink()) == "/dev/null"):
        return ""
    return "on" if (root / "etc/systemd/system/multi-user.target.wants" / unit).is_symlink() else "off"


def enable_refresh_argv() -> tuple[str, ...]:
    """The command that switches these units on, and runs them now."""
    return ("systemctl", "enable", "--now", *REFRESH_UNITS)


def cdi_specs(root: Path, *, nodes: tuple[str, ...], driver: str) -> tuple[CdiSpec, ...]:
    """The CDI specs for nvidia.com/gpu in /etc/cdi and /var/run/cdi, each with what is stale about it."""
    specs = []
    capabilities = mig_capabilities(root)
    for folder in CDI_DIRS:
        for file in sorted((root / folder).glob("*")):
            if file.suffix not in (".yaml", ".json"):
                continue
            try:
                text = file.read_text(errors="replace")
            except OSError:
                continue
            if "nvidia.com/gpu" in text:
                reason = stale(text, nodes=nodes, driver=driver, capabilities=capabilities)
                specs.append(CdiSpec(path=f"/{folder}/{file.name}", stale=reason))
    return tuple(specs)


def stale(spec: str, *, nodes: tuple[str, ...], driver: str, capabilities: frozenset[int] | None = None) -> str:
    """Why the text of a CDI spec does not fit the machine, "" when it does.

    A generated spec names the driver's libraries with their version, each GPU's device node and each MIG instance's
    capability nodes, so a new driver, another card and another MIG layout show in the text. A spec that names none
    of them was written by hand and is left alone. capabilities: of the MIG instances of now, None when not looked at.
    """
    libraries = set(re.findall(r"\.so\.(\d{3}\.\d+(?:\.\d+)?)\b", spec))
    if driver and libraries and driver not in libraries:
        return f"it is for driver {', '.join(sorted(libraries))} and {driver} is loaded"
    named = set(re.findall(r"/dev/nvidia\d+\b", spec))
    if named and named != set(nodes):
        return f"it names {len(named)} GPU(s) and the machine has {len(nodes)}"
    # 1 and 2 are not an instance's: they allow to configure and to watch MIG.
    split = {int(minor) for minor in re.findall(r"/dev/nvidia-caps/nvidia-cap(\d+)\b", spec)} - {1, 2}
    if named and capabilities is not None and split != capabilities:
        return "the MIG instances were changed since it was made"
    return ""


def generate_cdi_argv(nvidia_ctk: str = "nvidia-ctk", path: str = CDI_SPEC) -> tuple[str, ...]:
    """The command that writes the machine's CDI spec (NVIDIA Container Toolkit, "Support for CDI")."""
    return (nvidia_ctk, "cdi", "generate", f"--output={path}")


def link_devices_argv(nvidia_ctk: str = "nvidia-ctk") -> tuple[str, ...]:
    """The command that makes the links in /dev/char (NVIDIA Container Toolkit, "Troubleshooting")."""
    return (nvidia_ctk, "system", "create-dev-char-symlinks", "--create-all")


def render_link_rule(nvidia_ctk: str = "/usr/bin/nvidia-ctk") -> str:
    """A udev rule that makes the same links whenever the driver is loaded (same source)."""
    command = " ".join(link_devices_argv(nvidia_ctk))
    return f'# Written by rigstack host setup.\nACTION=="add", DEVPATH=="/bus/pci/drivers/nvidia", RUN+="{command}"\n'
