"""Asks NVIDIA's management library what every GPU is doing; each thing that it does not tell stays unknown.

nvidia-ml-py takes 90 ms to import, so only what needs live figures imports this module's function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rigstack.host.kernel_log import observe_xids
from rigstack.plan.gpu import GpuProcess, GpuReading, GpuUnit, Link, NoGpus

# nvmlGpuTopologyLevel_t in nvml.h.
_PATHS = {0: "board", 10: "switch", 20: "switches", 30: "host bridge", 40: "node", 50: "system"}
_MAX_LINKS = 18  # NVML_NVLINK_MAX_LINKS
_NEVER_TOLD = 0xFFFFFFFF
# nvmlClocksEventReason* in nvml.h that mean something is wrong; the power cap is normal at full load.
_SLOWDOWNS = {
    0x08: "slowed down by the hardware",
    0x20: "slowed down by the driver: too hot",
    0x40: "slowed down by the hardware: too hot",
    0x80: "slowed down: the power supply asks for it",
}
# Return codes (nvmlReturn_t) after which a GPU is as good as gone.
_LOST = {
    15: "it has fallen off the bus: reboot; when it comes back often, reseat it",
    16: "it needs a reset or a reboot",
}
_INIT = {
    4: ("this user may not ask the NVIDIA driver", "run with sudo, or look at the rights of /dev/nvidia*"),
    9: ("the NVIDIA driver is installed and not loaded", "sudo modprobe nvidia, or reboot"),
    18: (
        "the NVIDIA driver in the kernel and its libraries are of different versions",
        "reboot: the driver was updated while the old one was loaded",
    ),
    15: ("a GPU has fallen off the bus", "reboot"),
    999: ("the NVIDIA driver does not answer", "see `dmesg | grep NVRM`; a reboot often helps"),
}


def observe_gpus() -> GpuReading | NoGpus:
    """What every GPU is doing now. Raises nothing: whatever is wrong is in the answer, in words."""
    try:
        import pynvml
    except ImportError:
        return NoGpus(why="the Python package nvidia-ml-py is not installed", remedy="reinstall rigstack", broken=True)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as failed:
        return _no_library(failed, pynvml)
    try:
        return _Library(pynvml).read()
    except pynvml.NVMLError as failed:
        return NoGpus(
            why=f"the NVIDIA driver stopped answering: {failed}", remedy="see `dmesg | grep NVRM`", broken=True
        )
    finally:
        _ignoring(pynvml, pynvml.nvmlShutdown)


def _no_library(failed: Any, pynvml: Any) -> NoGpus:
    code = failed.value
    if code == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return NoGpus(why="this machine has no NVIDIA driver")
    what, remedy = _INIT.get(code, (f"the NVIDIA driver does not answer: {failed}", "see `dmesg | grep NVRM`"))
    return NoGpus(why=what, remedy=remedy, broken=True)


def _ignoring(pynvml: Any, call: Callable[[], object]) -> None:
    try:
        call()
    except pynvml.NVMLError:
        return


class _Library:
    """One session with NVML. `_ask` turns "not supported" and missing symbols into None, and keeps real errors."""

    def __init__(self, pynvml: Any) -> None:
        self.nvml = pynvml
        self.problems: list[str] = []
        self.lost = False

    def read(self) -> GpuReading:
        nvml = self.nvml
        driver = self._text("driver version", nvml.nvmlSystemGetDriverVersion)
        cuda = self._ask("CUDA version", nvml.nvmlSystemGetCudaDriverVersion_v2)
        count = nvml.nvmlDeviceGetCount()
        xids = observe_xids()
        machine_problems = self._take_problems()
        units: list[GpuUnit] = []
        handles: dict[str, Any] = {}
        for index in range(count):
            unit, handle = self._unit(index)
            said = xids.get(bus_key(unit.bus), ())
            units.append(unit.replace(problems=(*unit.problems, *said)))
            if handle is not None and not unit.lost:
                handles[unit.device] = handle
        return GpuReading(
            driver=driver,
            cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if isinstance(cuda, int) and cuda >= 1000 else "",
            units=tuple(units),
            links=self._links(handles, {unit.device: unit.bus for unit in units}),
            problems=tuple(machine_problems),
        )

    def _unit(self, index: int) -> tuple[GpuUnit, Any]:
        self.lost = False
        try:
            handle = self.nvml.nvmlDeviceGetHandleByIndex(index)
        except self.nvml.NVMLError as failed:
            words = _LOST.get(failed.value, f"it does not answer: {failed}")
            if failed.value == self.nvml.NVML_ERROR_NO_PERMISSION:
                words = "this user may not use it"
            return GpuUnit(device=str(index), problems=(words,), lost=True), None
        unit = self._measures(handle, str(index), self._text("name", self.nvml.nvmlDeviceGetName, handle))
        pci = self._ask("PCI address", self.nvml.nvmlDeviceGetPciInfo, handle)
        instances = self._instances(handle, index, unit.kind)
        self._health(handle)
        unit = unit.replace(
            bus=_decoded(pci.busId) if pci is not None else "",
            load=_within(getattr(self._ask("load", self.nvml.nvmlDeviceGetUtilizationRates, handle), "gpu", None), 100),
            temperature=self._temperature(handle),
            power=_watts(self._ask("power", self.nvml.nvmlDeviceGetPowerUsage, handle)),
            power_limit=_watts(self._ask("power limit", self.nvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
            split=instances is not None,
            instances=instances or (),
        )
        if instances is not None and not instances:
            self.problems.append("MIG is on and no instance was made: nothing can use it")
        return unit.replace(problems=tuple(self._take_problems()), lost=self.lost), handle

    def _temperature(self, handle: Any) -> int | None:
        told = self._ask("temperature", self.nvml.nvmlDeviceGetTemperature, handle, 0)
        if told is None:  # nvml.h announces that the first one goes with CUDA 14
            told = self._ask("temperature", self.nvml.nvmlDeviceGetTemperatureV, handle, 0)
        return _within(told, 150)

    def _measures(self, handle: Any, device: str, kind: str) -> GpuUnit:
        """What GPUs and MIG instances both have."""
        memory = self._ask("memory", self.nvml.nvmlDeviceGetMemoryInfo, handle, self.nvml.nvmlMemory_v2)
        if memory is None:  # drivers before 510 have the first version only
            memory = self._ask("memory", self.nvml.nvmlDeviceGetMemoryInfo, handle)
        total = used = None
        if memory is not None and memory.total > 0 and memory.used <= memory.total:
            total, used = int(memory.total), int(memory.used)
        return GpuUnit(
            device=device,
            uuid=self._text("UUID", self.nvml.nvmlDeviceGetUUID, handle),
            kind=kind,
            memory_total=total,
            memory_used=used,
            processes=self._processes(handle),
        )

    def _processes(self, handle: Any) -> tuple[GpuProcess, ...]:
        """Every process once; the struct changed under one function name between drivers, so nonsense is dropped."""
        found: dict[int, GpuProcess] = {}
        for kind, name in (("graphics", "nvmlDeviceGetGraphics"), ("compute", "nvmlDeviceGetCompute")):
            told = self._ask("processes", getattr(self.nvml, f"{name}RunningProcesses_v3"), handle)
            if told is None:  # drivers before 510
                told = self._ask("processes", getattr(self.nvml, f"{name}RunningProcesses_v2"), handle)
            for process in told or ():
                if not 0 < process.pid < 2**22:  # PID_MAX_LIMIT, include/linux/threads.h
                    continue
                memory = process.usedGpuMemory
                sane = memory if isinstance(memory, int) and 0 <= memory < 2**48 else None
                found[process.pid] = GpuProcess(pid=process.pid, kind=kind, memory=sane)
        return tuple(found[pid] for pid in sorted(found))

    def _instances(self, handle: Any, index: int, model: str) -> tuple[GpuUnit, ...] | None:
        """The MIG instances, or None when the GPU is not split. Numbered as nvidia-ctk names them: "0:1"."""
        mode = self._ask("MIG mode", self.nvml.nvmlDeviceGetMigMode, handle)
        if not mode or mode[0] != 1:
            return None
        instances = []
        for number in range(self._ask("MIG instances", self.nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            try:
                one = self.nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
            except self.nvml.NVMLError as failed:
                if failed.value not in (self.nvml.NVML_ERROR_NOT_FOUND, self.nvml.NVML_ERROR_INVALID_ARGUMENT):
                    self._keep("MIG instances", failed)
                continue
            name = self._text("name", self.nvml.nvmlDeviceGetName, one)
            instances.append(self._measures(one, f"{index}:{number}", name or f"{model} MIG"))
        return tuple(instances)

    def _health(self, handle: Any) -> None:
        nvml = self.nvml
        # 1, 0: uncorrected errors since the driver was loaded (nvmlMemoryErrorType_t, nvmlEccCounterType_t).
        wrong = self._ask("ECC errors", nvml.nvmlDeviceGetTotalEccErrors, handle, 1, 0)
        if isinstance(wrong, int) and 0 < wrong < _NEVER_TOLD:
            self.problems.append(f"{wrong} uncorrected memory errors since boot")
        rows = self._ask("remapped rows", nvml.nvmlDeviceGetRemappedRows, handle)
        if rows and rows[3]:
            self.problems.append("its memory has rows that can no longer be replaced: have it repaired")
        elif rows and rows[2]:
            self.problems.append("a bad memory row is replaced at the next reboot")
        reasons = self._ask("slowdown", nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
        if reasons is None:  # its name before driver 535
            reasons = self._ask("slowdown", nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
        self.problems += [words for bit, words in _SLOWDOWNS.items() if isinstance(reasons, int) and reasons & bit]

    def _links(self, handles: dict[str, Any], buses: dict[str, str]) -> tuple[Link, ...]:
        names = list(handles)
        if len(names) < 2:
            return ()
        nvlinks = {name: self._nvlinks(handles[name]) for name in names}
        by_bus = {bus_key(bus): name for name, bus in buses.items() if bus}
        links = []
        for place, one in enumerate(names):
            for other in names[place + 1 :]:
                level = self._ask(
                    "topology", self.nvml.nvmlDeviceGetTopologyCommonAncestor, handles[one], handles[other]
                )
                joined = sum(by_bus.get(bus) == other for bus in nvlinks[one])
                # Links that end in a switch reach every GPU on it.
                switched = [sum(bus not in by_bus for bus in nvlinks[name]) for name in (one, other)]
                path = _PATHS.get(level, "system") if isinstance(level, int) else "system"
                links.append(Link(one=one, other=other, nvlinks=joined + min(switched), path=path))
        self._take_problems()
        return tuple(links)

    def _nvlinks(self, handle: Any) -> list[tuple[int, int, int]]:
        """The PCI addresses at the far ends of a GPU's active NVLinks."""
        ends = []
        for link in range(_MAX_LINKS):
            if self._ask("NVLink", self.nvml.nvmlDeviceGetNvLinkState, handle, link) != 1:
                continue
            far = self._ask("NVLink", self.nvml.nvmlDeviceGetNvLinkRemotePciInfo, handle, link)
            if far is not None:
                ends.append(bus_key(_decoded(far.busId)))
        return ends

    def _text(self, what: str, call: Callable[..., Any], *args: Any) -> str:
        try:
            return _printable(self._ask(what, call, *args))
        except UnicodeDecodeError:
            return ""

    def _ask(self, what: str, call: Callable[..., Any], *args: Any) -> Any:
        """The answer, or None when this GPU or driver has none; a real failure is kept as a problem too."""
        try:
            return call(*args)
        except self.nvml.NVMLError as failed:
            self._keep(what, failed)
            return None

    def _keep(self, what: str, failed: Any) -> None:
        nvml = self.nvml
        quiet = {
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
            nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
            nvml.NVML_ERROR_INVALID_ARGUMENT,
            nvml.NVML_ERROR_NO_DATA,
        }
        if failed.value in quiet:
            return
        words = f"{what} cannot be read: {failed}"
        if failed.value in _LOST:
            self.lost, words = True, _LOST[failed.value]
        elif failed.value == nvml.NVML_ERROR_NO_PERMISSION:
            words = f"{what}: this user may not see that; run with sudo"
        if words not in self.problems:
            self.problems.append(words)

    def _take_problems(self) -> list[str]:
        taken, self.problems = self.problems, []
        return taken


def bus_key(bus: str) -> tuple[int, int, int]:
    """Domain, bus and device of a PCI address in any spelling ("00000000:01:00.0", "PCI:0000:01:00")."""
    parts = bus.removeprefix("PCI:").partition(".")[0].split(":")
    try:
        domain, number, device = (int(part, 16) for part in parts)
    except ValueError:
        return (-1, -1, -1)
    return (domain, number, device)


def _decoded(raw: object) -> str:
    return raw.decode("ascii", "replace") if isinstance(raw, bytes) else str(raw)


def _printable(value: object) -> str:
    return "".join(char for char in str(value or "") if char.isprintable())


def _within(value: object, most: int) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= most else None


def _watts(milliwatts: object) -> float | None:
    return milliwatts / 1000 if isinstance(milliwatts, int) and 0 <= milliwatts < 10_000_000 else None
