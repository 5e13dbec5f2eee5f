"""The steps a set-up of the machine is made of, each with its cause, and the plan that prints them as text."""

from __future__ import annotations

from typing import Literal

from rigstack.value import Value


class AddVendorRepository(Value):
    """Adds a vendor's own apt source. key_url is fetched over HTTPS; suite "/" is a flat repository."""

    name: str
    uri: str
    suite: str
    components: str
    key_url: str
    cause: str

    def text(self) -> str:
        return f"add the vendor's package source {self.uri}"


class WriteDaemonSettings(Value):
    """Writes /etc/docker/daemon.json where there is none."""

    cause: str

    def text(self) -> str:
        return "write /etc/docker/daemon.json (live-restore, log rotation, CDI)"


class InstallPackages(Value):
    """Installs packages from the machine's apt sources."""

    packages: tuple[str, ...]
    cause: str

    def text(self) -> str:
        return f"apt-get install {' '.join(self.packages)}"


class UnpackEngine(Value):
    """Unpacks a newer Debian release's engine into a prefix; suites in the order they are tried."""

    suites: tuple[str, ...]
    cause: str

    def text(self) -> str:
        return f"unpack Debian {' or '.join(self.suites)}'s Docker packages below /opt/rigstack/engine"


class LinkEngine(Value):
    """Links the newest prefix's programs and plugins to where they are looked for."""

    cause: str

    def text(self) -> str:
        return "link docker, compose and buildx into /usr/local, where nothing of that name is"


class WriteUnit(Value):
    """Writes docker.service for the newest prefix."""

    cause: str

    def text(self) -> str:
        return "write /etc/systemd/system/docker.service"


class StartEngine(Value):
    """Starts the engine and waits until it answers."""

    way: Literal["systemd", "sysv", "none"]
    socket: str
    cause: str

    def text(self) -> str:
        how = {"systemd": "systemctl enable --now docker", "sysv": "service docker start", "none": "dockerd"}
        return f"start the engine: {how[self.way]}"


class GenerateCdi(Value):
    """Describes the GPUs to the engine: writes /etc/cdi/nvidia.yaml, or the stale file that would win over it."""

    cause: str
    path: str = "/etc/cdi/nvidia.yaml"

    def text(self) -> str:
        return f"nvidia-ctk cdi generate --output={self.path}"


class RefreshCdi(Value):
    """Switches on the units of the toolkit that describe the GPUs anew at every boot and after a driver update."""

    cause: str

    def text(self) -> str:
        return "systemctl enable --now nvidia-cdi-refresh.path nvidia-cdi-refresh.service"


class LinkDevices(Value):
    """Makes the GPUs known to systemd, now and whenever the driver is loaded: links in /dev/char and a udev rule."""

    cause: str

    def text(self) -> str:
        return "nvidia-ctk system create-dev-char-symlinks --create-all, and a udev rule that does it at every boot"


Step = (
    AddVendorRepository
    | WriteDaemonSettings
    | InstallPackages
    | UnpackEngine
    | LinkEngine
    | WriteUnit
    | StartEngine
    | RefreshCdi
    | GenerateCdi
    | LinkDevices
)


class SetupPlan(Value):
    """What to do to a machine, in order. advice: what the person should know and rigstack does not do."""

    steps: tuple[Step, ...]
    advice: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The plan as text: a numbered line for each step, its cause below it."""
        return tuple(
            line
            for number, step in enumerate(self.steps, 1)
            for line in (f"{number}. {step.text()}", f"   because {step.cause}")
        )
