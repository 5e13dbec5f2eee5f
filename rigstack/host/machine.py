"""Observes the machine rigstack is to run on: the one frozen value that set-up and check decide from."""

from __future__ import annotations

import grp
import json
import os
import platform
import pwd
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from rigstack import process
from rigstack.engine.api import DEFAULT_SOCKET, engine_socket
from rigstack.engine.presence import Engine, EngineAnswers, observe_engine
from rigstack.host import nvidia
from rigstack.value import Value

__all__ = ["Distribution", "Machine", "Plugin", "engine_socket", "observe_machine"]

# Where the docker client looks for plugins besides the user's own folder (docker/cli, cli-plugins/manager).
PLUGIN_DIRS = (
    "usr/local/lib/docker/cli-plugins",
    "usr/local/libexec/docker/cli-plugins",
    "usr/lib/docker/cli-plugins",
    "usr/libexec/docker/cli-plugins",
)
PREFIXES = "opt/rigstack/engine"
_SBIN = ("usr/local/sbin", "usr/sbin", "sbin")
# Programs the engine or the image builder needs, whoever packages them.
_TOOLS = ("apt-get", "systemctl", "service", "iptables", "runc", "mmdebstrap", "apparmor_parser", "ps", "ssh-keygen")


class Distribution(Value):
    """The operating system by /etc/os-release: id "debian", version "12" ("" when rolling), full name."""

    id: str
    version: str
    codename: str
    name: str

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers; a rolling release counts as newer than any."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version)) or (9999,)


class Plugin(Value):
    """A plugin of the docker client. version is "" until it was asked (that starts the plugin)."""

    path: str
    version: str = ""


class Machine(Value):
    """What is on this machine; paths are absolute, absent programs are None.

    init: what runs services here; "none" is a container or a machine whose PID 1 is something else.
    daemon, client: dockerd (links followed) and docker; daemon_version only in a thorough look.
    prefixes: complete engine prefixes under /opt/rigstack/engine, newest last.
    in_docker_group: the user's entry in the group database (a running login may predate it).
    tools: which of the programs named in _TOOLS there are.
    apparmor: the kernel enforces AppArmor, so the engine needs its parser.
    """

    distribution: Distribution
    arch: str
    user: str
    root: bool
    init: Literal["systemd", "sysv", "none"]
    socket: str
    engine: Engine
    daemon: str | None
    daemon_version: str
    daemon_settings: bool
    client: str | None
    compose: Plugin | None
    buildx: Plugin | None
    buildkit: str
    prefixes: tuple[str, ...]
    vendor_packages: bool
    docker_group: bool
    in_docker_group: bool
    tools: frozenset[str]
    apparmor: bool
    gpu: nvidia.NoGpu | nvidia.NvidiaGpus
    thorough: bool

    @property
    def default_socket(self) -> bool:
        return self.socket in (DEFAULT_SOCKET, "/run/docker.sock")


def observe_machine(
    *, thorough: bool = False, root: Path = Path("/"), environ: Mapping[str, str] | None = None
) -> Machine:
    """Looks at this machine and changes nothing.

    Without `thorough` it reads files and asks the engine's socket, and starts no process (a few ms);
    with it, it also asks programs for their versions and apt for the NVIDIA toolkit (half a second).
    root and environ stand in for the machine's own in tests.
    Raises HostError for an engine of another machine.
    """
    env = os.environ if environ is None else environ
    socket = engine_socket(env)
    gpu = _observe_gpu(root, env, thorough)
    engine = observe_engine(socket, settings=thorough or isinstance(gpu, nvidia.NvidiaGpus))
    prefixes = _prefixes(root)
    daemon = find_program("dockerd", root, env) or (f"{prefixes[-1]}/usr/sbin/dockerd" if prefixes else None)
    daemon = os.path.realpath(daemon) if daemon else None
    user, in_group = _user()
    client = find_program("docker", root, env)
    compose = _plugin("docker-compose", root, env, thorough)
    buildx = _plugin("docker-buildx", root, env, thorough)
    buildkit = ""
    if thorough and client and buildx and isinstance(engine, EngineAnswers):
        buildkit = _first_version((client, "buildx", "inspect", "default"), r"BuildKit version:\s*v?(\S+)")
    return Machine(
        distribution=_distribution(root),
        arch=platform.machine(),
        user=user,
        root=os.geteuid() == 0,
        init=_init(root),
        socket=socket,
        engine=engine,
        daemon=daemon,
        daemon_version=_first_version((daemon, "--version")) if thorough and daemon else "",
        daemon_settings=(root / "etc/docker/daemon.json").exists(),
        client=client,
        compose=compose,
        buildx=buildx,
        # Debian's builds do not know the BuildKit inside and say 0.0.0: that is no version.
        buildkit="" if buildkit.startswith("0.0.0") else buildkit,
        prefixes=prefixes,
        vendor_packages=(root / "var/lib/dpkg/info/docker-ce-cli.list").exists(),
        docker_group=_group_exists("docker"),
        in_docker_group=in_group,
        tools=frozenset(tool for tool in _TOOLS if find_program(tool, root, env)),
        apparmor=_read(root / "sys/module/apparmor/parameters/enabled").startswith("Y"),
        gpu=gpu,
        thorough=thorough,
    )


def find_program(name: str, root: Path, env: Mapping[str, str]) -> str | None:
    """The program's path on PATH or in the sbin folders, which a Debian user's PATH lacks; or None."""
    folders = [Path(folder) for folder in env.get("PATH", "").split(":") if folder]
    for folder in (*folders, *(root / sbin for sbin in _SBIN)):
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    return None


def _observe_gpu(root: Path, env: Mapping[str, str], thorough: bool) -> nvidia.NoGpu | nvidia.NvidiaGpus:
    nodes = nvidia.gpu_nodes(root)
    if not nodes:
        return nvidia.NoGpu(cards=nvidia.driverless_cards(root))
    driver = nvidia.driver_version(root)
    toolkit = find_program("nvidia-ctk", root, env)
    candidate: bool | None = None
    if thorough and not toolkit and (apt_cache := find_program("apt-cache", root, env)):
        shown = process.run((apt_cache, "show", "--no-all-versions", "nvidia-container-toolkit"))
        candidate = shown.ok and bool(shown.stdout.strip())
    return nvidia.NvidiaGpus(
        nodes=nodes,
        driver=driver,
        toolkit=toolkit,
        toolkit_version=_first_version((toolkit, "--version")) if thorough and toolkit else "",
        toolkit_package=candidate,
        specs=nvidia.cdi_specs(root, nodes=nodes, driver=driver),
        unlinked=nvidia.unlinked_nodes(root, nodes),
        refresh=nvidia.refresh_units(root) if _init(root) == "systemd" else "",
    )


def _plugin(name: str, root: Path, env: Mapping[str, str], thorough: bool) -> Plugin | None:
    own = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/")) / ".docker") / "cli-plugins"
    for folder in (own, *(root / folder for folder in PLUGIN_DIRS)):
        path = folder / name
        if os.access(path, os.X_OK):
            return Plugin(path=str(path), version=_plugin_version(str(path)) if thorough else "")
    return None


def _plugin_version(path: str) -> str:
    try:
        said = json.loads(process.run((path, "docker-cli-plugin-metadata"), timeout=10).stdout)
        return str(said["Version"]).lstrip("v")
    except (OSError, ValueError, KeyError):
        return ""


def _first_version(argv: tuple[str, ...], pattern: str = r"\b(\d+\.\d+[\w.+~-]*)") -> str:
    try:
        found = re.search(pattern, process.run(argv, timeout=10).stdout)
    except OSError:
        return ""
    return found.group(1) if found else ""


def _prefixes(root: Path) -> tuple[str, ...]:
    found = [file.parents[2] for file in (root / PREFIXES).glob("[0-9]*/usr/sbin/dockerd")]
    return tuple(str(folder) for folder in sorted(found, key=lambda folder: _numbers(folder.name)))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _distribution(root: Path) -> Distribution:
    text = _read(root / "etc/os-release") or _read(root / "usr/lib/os-release")
    fields = {key: value.strip("\"'") for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)}
    return Distribution(
        id=fields.get("ID", "linux"),
        version=fields.get("VERSION_ID", ""),
        codename=fields.get("VERSION_CODENAME", ""),
        name=fields.get("PRETTY_NAME", fields.get("ID", "this system")),
    )


def _init(root: Path) -> Literal["systemd", "sysv", "none"]:
    if (root / "run/systemd/system").is_dir():  # sd_booted(3)
        return "systemd"
    return "sysv" if _read(root / "proc/1/comm").strip() in ("init", "openrc-init", "runit") else "none"


def _user() -> tuple[str, bool]:
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid), False
    try:
        return name, name in grp.getgrnam("docker").gr_mem
    except KeyError:
        return name, False


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
