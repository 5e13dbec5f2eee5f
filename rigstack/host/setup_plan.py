"""Decides what a machine needs to become a rig's host: pure, from a Machine to a plan, with the reasons in words."""

from __future__ import annotations

from rigstack.engine.presence import EngineAnswers, EngineForbidden, EngineSilent
from rigstack.errors import HostError
from rigstack.host import version_floors
from rigstack.host.machine import Machine
from rigstack.host.nvidia import CDI_SPEC, REFRESHED_SPEC, NoGpu
from rigstack.host.setup_steps import (
    AddVendorRepository,
    GenerateCdi,
    InstallPackages,
    LinkDevices,
    LinkEngine,
    RefreshCdi,
    SetupPlan,
    StartEngine,
    Step,
    UnpackEngine,
    WriteDaemonSettings,
    WriteUnit,
)
from rigstack.value import Value

# Newest first: Debian 12 has glibc 2.36, and a later unstable may need a newer one.
PREFIX_SUITES = ("unstable", "trixie")
_VENDOR_PACKAGES = {
    "engine": ("docker-ce", "containerd.io"),
    "client": ("docker-ce-cli",),
    "compose": ("docker-compose-plugin",),
    "buildx": ("docker-buildx-plugin",),
}
_DEBIAN_PACKAGES = {
    "engine": ("docker.io",),
    "client": ("docker-cli",),
    "compose": ("docker-compose",),
    "buildx": ("docker-buildx",),
}
_UBUNTU_PACKAGES = {
    "engine": ("docker.io",),
    "client": ("docker.io",),
    "compose": ("docker-compose-v2",),
    "buildx": ("docker-buildx",),
}
# program -> its packages; mmdebstrap makes base images where no registry answers, and checks keys with gpg.
_TOOL_PACKAGES = {
    "iptables": ("iptables",),
    "ps": ("procps",),
    "ssh-keygen": ("openssh-client",),
    "mmdebstrap": ("mmdebstrap", "gpg", "debian-archive-keyring"),
}


class SetupOptions(Value):
    """What the person asked for. vendor: packages from the vendors' own repositories."""

    vendor: bool = False


def plan_setup(machine: Machine, options: SetupOptions | None = None) -> SetupPlan:
    """The steps that turn `machine` into a host rigstack can run on; none when it is one.

    Raises HostError where no step of rigstack's could help: a forbidden socket, an engine too old, a silent
    engine that is not ours to start, a distribution rigstack cannot install an engine on.
    """
    options = options or SetupOptions()
    _refuse_unusable(machine)
    gpu_steps, gpu_advice = _plan_gpu(machine, options)
    steps = (*_plan_engine(machine, options), *gpu_steps)
    advice = list(gpu_advice)
    if any(isinstance(step, StartEngine) and step.way == "none" for step in steps):
        advice.append(
            "this machine has no service manager: after a reboot start the engine again with"
            " `sudo rigstack host setup` (`make up` does it too)"
        )
    if options.vendor and machine.daemon and not isinstance(machine.engine, EngineSilent):
        advice.append("--vendor: an engine is here already and stays as it is")
    return SetupPlan(steps=steps, advice=tuple(advice))


def missing_parts(machine: Machine) -> tuple[str, ...]:
    """Which of engine, client, compose, buildx are not installed."""
    there = {
        "engine": machine.daemon or not isinstance(machine.engine, EngineSilent),
        "client": machine.client,
        "compose": machine.compose,
        "buildx": machine.buildx,
    }
    return tuple(part for part, found in there.items() if not found)


def _refuse_unusable(machine: Machine) -> None:
    engine = machine.engine
    if isinstance(engine, EngineForbidden):
        raise _forbidden(machine)
    if isinstance(engine, EngineSilent) and not machine.default_socket:
        raise HostError(
            f"no engine answers at {machine.socket}",
            cause="DOCKER_HOST or the docker client's context names this socket, so rigstack did not start another",
            remedy="start that engine, or: unset DOCKER_HOST; docker context use default",
            details=(engine.reason,),
        )
    if isinstance(engine, EngineAnswers) and engine.name != "Engine":
        raise HostError(
            f"{machine.socket} is answered by {engine.name} {engine.version}, not by Docker Engine",
            remedy="install Docker Engine beside it and point DOCKER_HOST to its socket",
        )
    version = engine.version if isinstance(engine, EngineAnswers) else machine.daemon_version
    for part, name, found, minimum in (
        ("docker.io", "Docker Engine", version, version_floors.ENGINE_MINIMUM),
        ("docker-compose", "docker compose", _version(machine, "compose"), version_floors.COMPOSE_MINIMUM),
        ("docker-buildx", "docker buildx", _version(machine, "buildx"), version_floors.BUILDX_MINIMUM),
    ):
        if version_floors.numbers(found) and version_floors.numbers(found) < minimum:
            wanted = ".".join(map(str, minimum))
            raise HostError(
                f"{name} {found} is too old: rigstack needs {wanted} or newer",
                cause="it was here before, and rigstack does not replace what others may use",
                remedy=f"upgrade it, or remove it (apt-get remove {part}; images and volumes stay)"
                " and run: sudo rigstack host setup",
            )


def _version(machine: Machine, part: str) -> str:
    plugin = machine.compose if part == "compose" else machine.buildx
    return plugin.version if plugin else ""


def _forbidden(machine: Machine) -> HostError:
    warning = "whoever is in the docker group can become root on this machine"
    if machine.in_docker_group:
        remedy = "log out and in again (or: newgrp docker): your login is older than your place in the group"
    elif machine.docker_group:
        remedy = f"sudo usermod -aG docker {machine.user}, then log in again; note that {warning}"
    else:
        remedy = (
            "use sudo, or make the group (sudo groupadd docker), restart the engine, and:"
            f" sudo usermod -aG docker {machine.user}; note that {warning}"
        )
    return HostError(
        f"user {machine.user} may not use the engine: {machine.socket}: permission denied",
        cause="the engine's socket is for root and the docker group",
        remedy=remedy,
    )


def _plan_engine(machine: Machine, options: SetupOptions) -> tuple[Step, ...]:
    missing = missing_parts(machine)
    steps: list[Step] = []
    silent = isinstance(machine.engine, EngineSilent)
    if missing:
        steps += _install_steps(machine, missing, options)
    elif silent and "apt-get" in machine.tools:
        # It may be silent because it lacks them, after a set-up that was broken off.
        steps += _tool_steps(machine, own_runc=_from_prefix(machine, steps))
    elif "ssh-keygen" not in machine.tools and "apt-get" in machine.tools:
        steps.append(InstallPackages(packages=_TOOL_PACKAGES["ssh-keygen"], cause="it makes the rig's SSH host keys"))
    if silent:
        cause = f"nothing answers at {machine.socket}"
        if machine.init == "systemd" and _from_prefix(machine, steps):
            steps.append(WriteUnit(cause="systemd is to start the unpacked engine at boot"))
        steps.append(StartEngine(way=machine.init, socket=machine.socket, cause=cause))
    return tuple(steps)


def _from_prefix(machine: Machine, steps: list[Step]) -> bool:
    if any(isinstance(step, UnpackEngine) for step in steps):
        return True
    return bool(machine.prefixes) and (machine.daemon or "").startswith(machine.prefixes)


def _install_steps(machine: Machine, missing: tuple[str, ...], options: SetupOptions) -> list[Step]:
    system = machine.distribution
    cause = f"no {', '.join(missing)} here" if "engine" in missing else f"the engine lacks {', '.join(missing)}"
    vendor = options.vendor or machine.vendor_packages
    by_prefix = system.id == "debian" and system.release < (13,) and not vendor
    supported = (system.id == "debian" and system.release >= (12,)) or (
        system.id == "ubuntu" and system.release >= (24, 4)
    )
    if not supported or "apt-get" not in machine.tools:
        raise _unsupported(machine, missing)
    steps: list[Step] = []
    if options.vendor:
        steps.append(
            AddVendorRepository(
                name="docker",
                uri=f"https://download.docker.com/linux/{system.id}",
                suite=system.codename,
                components="stable",
                key_url=f"https://download.docker.com/linux/{system.id}/gpg",
                cause="--vendor asks for Docker's own packages",
            )
        )
    if "engine" in missing and not machine.daemon_settings:
        steps.append(WriteDaemonSettings(cause="a new engine keeps no log limit and stops containers with itself"))
    if by_prefix:
        steps += _tool_steps(machine, own_runc=True)
        if not machine.prefixes:
            old = f"{cause}, and {system.name}'s own packages are too old"
            steps.append(UnpackEngine(suites=PREFIX_SUITES, cause=old))
        steps.append(LinkEngine(cause=cause))
        return steps
    table = _VENDOR_PACKAGES if vendor else _UBUNTU_PACKAGES if system.id == "ubuntu" else _DEBIAN_PACKAGES
    names = [name for part in missing for name in table[part]]
    steps.append(InstallPackages(packages=tuple(dict.fromkeys([*names, *_tool_packages(machine)])), cause=cause))
    return steps


def _tool_packages(machine: Machine) -> list[str]:
    names = [name for tool, packages in _TOOL_PACKAGES.items() if tool not in machine.tools for name in packages]
    return [*names, "apparmor"] if machine.apparmor and "apparmor_parser" not in machine.tools else names


def _tool_steps(machine: Machine, *, own_runc: bool) -> list[Step]:
    # Packages of an engine bring runc along; a prefix has none that runs on Debian 12.
    names = ["runc"] if own_runc and "runc" not in machine.tools else []
    names += _tool_packages(machine)
    return [InstallPackages(packages=tuple(names), cause="the engine and image builds use them")] if names else []


def _unsupported(machine: Machine, missing: tuple[str, ...]) -> HostError:
    wanted = ".".join(map(str, version_floors.FLOORS["engine"].fixed[0]))
    return HostError(
        f"{machine.distribution.name} lacks {', '.join(missing)}, and rigstack cannot install that here",
        cause="rigstack installs on Debian 12 or newer and Ubuntu 24.04 or newer",
        remedy=f"install Docker Engine {wanted} or newer with its compose and buildx plugins"
        " (https://docs.docker.com/engine/install/), then run: rigstack host setup",
    )


def _plan_gpu(machine: Machine, options: SetupOptions) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    gpu = machine.gpu
    if isinstance(gpu, NoGpu):
        if gpu.cards:
            return (), (
                f"{gpu.cards} NVIDIA card(s) without a loaded driver: install the driver"
                " (Debian: nvidia-driver, Ubuntu: ubuntu-drivers install), reboot, run this again",
            )
        return (), ("no NVIDIA GPU here: projects run on the CPU",)
    advice = []
    if isinstance(machine.engine, EngineAnswers) and machine.engine.cdi is False:
        advice.append(
            'the engine does not inject CDI devices: add "features": {"cdi": true} to /etc/docker/daemon.json'
            " and restart it (rigstack leaves a running engine's settings alone)"
        )
    steps: list[Step] = []
    if not gpu.toolkit:
        # Not looked up yet: planned as if it were there; the thorough look that follows decides.
        if gpu.toolkit_package is False and not options.vendor:
            return (), (*advice, _TOOLKIT_ADVICE)
        cause = f"{len(gpu.nodes)} NVIDIA GPU(s) and no container toolkit"
        if gpu.toolkit_package is False:
            steps.append(
                AddVendorRepository(
                    name="nvidia-container-toolkit",
                    uri="https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH)",
                    suite="/",
                    components="",
                    key_url="https://nvidia.github.io/libnvidia-container/gpgkey",
                    cause="--vendor asks for NVIDIA's own packages",
                )
            )
        steps.append(InstallPackages(packages=("nvidia-container-toolkit",), cause=cause))
    if gpu.refresh == "off":
        steps.append(RefreshCdi(cause="the toolkit can keep the CDI spec fresh, and its units are switched off"))
    if not gpu.spec_fits:
        old = next((spec for spec in gpu.effective_specs if spec.stale), None)
        # What is in /var/run wins, and is gone at the next boot: there only where something makes it anew then.
        running = gpu.refresh or (old is not None and old.path.startswith("/var/run/"))
        cause = f"{old.path}: {old.stale}" if old else "no CDI spec names the GPUs yet"
        steps.append(GenerateCdi(cause=cause, path=REFRESHED_SPEC if running else CDI_SPEC))
    if gpu.unlinked and isinstance(machine.engine, EngineAnswers) and machine.engine.cgroups == "systemd":
        # nvidia-container-toolkit #48: after a daemon-reload systemd forgets devices that /dev/char does not lead to.
        cause = "running containers would lose their GPUs at the next `systemctl daemon-reload`"
        steps.append(LinkDevices(cause=cause))
    return tuple(steps), tuple(advice)


_TOOLKIT_ADVICE = (
    "NVIDIA GPU without a container toolkit, and no apt source here has it: `sudo rigstack host setup --vendor` adds"
    " NVIDIA's (https://nvidia.github.io/libnvidia-container/stable/deb) and installs it"
)
