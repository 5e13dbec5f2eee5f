"""What the GPUs of a machine are doing, as values: observed by rigstack/host/nvml.py, judged here and in gpu_choice."""

from __future__ import annotations

from rigstack.value import Value

# Below these a GPU without a compute process counts as free: the driver itself and a desktop use a little.
FREE_MEMORY_SHARE = 0.05
FREE_LOAD = 5
UNKNOWN_LEVEL = 50
LOST_LEVEL = 100


class NoGpus(Value):
    """NVML tells nothing. broken: there is a driver, and something is wrong with it."""

    why: str
    remedy: str = ""
    broken: bool = False


class GpuProcess(Value):
    """A process on a GPU, by its process id on this machine.

    kind: "compute" or "graphics". memory: bytes, None when the driver does not tell.
    """

    pid: int
    kind: str
    memory: int | None = None


class GpuUnit(Value):
    """A GPU or a MIG instance: what one program can be given. Whatever the driver did not tell is None.

    device: its name for containers: "0", or "0:1" for an instance. kind: what makes two units alike: the model, and
    for an instance its profile. bus: the PCI address. Bytes, percent, degrees Celsius, watts.
    problems: what is wrong with it, in words. lost: it does not answer at all.
    split: it is divided into instances, and no program can use it as a whole.
    """

    device: str
    uuid: str = ""
    kind: str = ""
    bus: str = ""
    memory_total: int | None = None
    memory_used: int | None = None
    load: int | None = None
    temperature: int | None = None
    power: float | None = None
    power_limit: float | None = None
    processes: tuple[GpuProcess, ...] = ()
    problems: tuple[str, ...] = ()
    lost: bool = False
    split: bool = False
    instances: tuple[GpuUnit, ...] = ()

    @property
    def memory_free(self) -> int | None:
        if self.memory_total is None or self.memory_used is None:
            return None
        return self.memory_total - self.memory_used

    @property
    def level(self) -> int:
        """How busy it is by live load, in coarse steps: 0 is free, 1 to 10 are tenths, then unknown, then lost."""
        if self.lost:
            return LOST_LEVEL
        share = None
        if self.memory_total and self.memory_used is not None:
            share = self.memory_used / self.memory_total
        if share is None and self.load is None and not self.processes:
            return UNKNOWN_LEVEL
        working = any(process.kind == "compute" for process in self.processes)
        level = 1 if working else 0
        if share is not None and share >= FREE_MEMORY_SHARE:
            level = max(level, 1, round(share * 10))
        if self.load is not None and self.load >= FREE_LOAD:
            level = max(level, 1, round(self.load / 10))
        return level

    @property
    def state(self) -> str:
        """ "free", "busy", "split", "unknown" or "lost", by live load."""
        if self.split:
            return "split"
        return {0: "free", UNKNOWN_LEVEL: "unknown", LOST_LEVEL: "lost"}.get(self.level, "busy")


class Link(Value):
    """How near two GPUs are to one another; devices in order. nvlinks: how many active ones join them.

    path: what their PCIe traffic crosses: "board", "switch", "switches", "host bridge", "node" or "system".
    """

    one: str
    other: str
    nvlinks: int = 0
    path: str = "system"


class GpuReading(Value):
    """All GPUs at one moment. cuda: the newest CUDA that the driver can run, "13.0". problems: of the machine."""

    driver: str
    cuda: str
    units: tuple[GpuUnit, ...]
    links: tuple[Link, ...] = ()
    problems: tuple[str, ...] = ()

    def usable(self) -> tuple[GpuUnit, ...]:
        """The units that containers can be given: instances in the place of the GPUs that are split into them."""
        return tuple(one for unit in self.units for one in (unit.instances if unit.split else (unit,)))


class Claim(Value):
    """The GPUs that a container was given: read back from its labels.

    devices: their names, or ("all",). sharing: "shared" or "exclusive". holding: it runs, so nobody else may have what
    it has for itself. since: when it was made, seconds of the epoch.
    """

    rig: str
    project: str
    role: str
    container: str
    devices: tuple[str, ...]
    sharing: str = "shared"
    holding: bool = True
    since: int = 0


class Owner(Value):
    """What a container says of itself: its name, and rigstack's labels when it is rigstack's."""

    name: str
    rig: str = ""
    project: str = ""
    role: str = ""


class Holder(Value):
    """Whose a process is. kind: the container's role (workspace, notebook, job...), "container" for one that is not
    rigstack's, "user" for one outside containers, "unknown" when it cannot be told any more.

    command: the program's name, without its arguments: those may hold a secret.
    """

    kind: str
    rig: str = ""
    project: str = ""
    container: str = ""
    user: str = ""
    command: str = ""

    def text(self) -> str:
        """In few words: "cifar notebook", "container blender", "user alice"."""
        if self.project:
            return f"{self.project} {self.kind}"
        if self.kind == "container":
            return f"container {self.container}"
        return f"user {self.user}" if self.user else "unknown"
