"""The validated nouns of rig.toml: frozen values with no file, no engine and no defaults of their own."""

from __future__ import annotations

from collections.abc import Container, Mapping

from rigstack.errors import ConfigError
from rigstack.value import Value


class Access(Value):
    """[access]: the published ports, the address they bind, who may log in (as written), and with which clients."""

    ssh_port: int
    https_port: int
    http_port: int
    bind: str
    authorized_keys: tuple[str, ...]
    clients: str


class Tls(Value):
    """[tls]: where the edge's certificate comes from. dns: the module of DNS-01, "" for the other challenges."""

    mode: str
    email: str
    acme_directory: str
    acme_ca: str
    certificate: str
    key: str
    dns: str
    dns_settings: tuple[tuple[str, str], ...]
    dns_resolver: str
    caddy_image: str


class Ddns(Value):
    """[ddns]: who keeps the hostname pointing here; interval and ttl in seconds. zone: the domain `hostname` is in."""

    provider: str
    hostname: str
    username: str
    password_file: str
    server: str
    zone: str
    ttl: int
    tls: bool
    ipv6: bool
    checkip: str
    nameserver: str
    interval: int


class Power(Value):
    """[power]: how laptops wake the machine and switch its plug; "" when nothing was said."""

    mac: str
    plug: str


class Images(Value):
    """[images]: where images come from and what builds may use."""

    source: str
    base: str
    cuda: str
    ca_bundle: str
    pip_index_file: str
    apt_mirror: str
    python_mirror: str


# "all", "none", a count, or the very devices (indices or UUIDs).
Gpus = str | int | tuple[str, ...]


class Project(Value):
    """[projects.NAME]: one folder under code/. Sizes as written ("8g"); memory "" is no limit."""

    name: str
    gpus: Gpus
    gpu_sharing: str
    build: str
    python: str
    index: tuple[str, ...]
    cuda: str
    apt: tuple[str, ...]
    memory: str
    shm: str
    memlock: str
    pids: int
    ports: tuple[int, ...]
    ssh_port: int | None
    env: tuple[tuple[str, str], ...]


class Rig(Value):
    """One rig.toml, checked. `dir` is the absolute path of the rig directory.

    broken: project -> what is wrong in its own files, for those whose settings cannot be read.
    """

    dir: str
    name: str
    hostname: str
    access: Access
    tls: Tls
    ddns: Ddns | None
    power: Power
    gpu_mode: str
    gpu_history: bool
    images: Images
    projects: tuple[Project, ...]
    broken: Mapping[str, ConfigError] = {}

    def project(self, name: str) -> Project | None:
        """The project of that name, or None."""
        return next((project for project in self.projects if project.name == name), None)

    def without(self, names: Container[str]) -> Rig:
        """The rig without these projects."""
        return self.replace(projects=tuple(project for project in self.projects if project.name not in names))


class Lock(Value):
    """rig.lock: which images the rig's own start from.

    base: the base system as [images] names it, "" while nothing is locked. state: what is meant by it: its digest in
    the registry ("sha256:..."), or "packages" or "packages SERIAL" when it is made of distribution packages.
    images: those that projects' own Dockerfiles name -> digest, or "local ID" of one that only this machine has.
    pins: project -> the tag of the image that it was rolled back to.
    """

    base: str = ""
    state: str = ""
    images: tuple[tuple[str, str], ...] = ()
    pins: tuple[tuple[str, str], ...] = ()

    def held(self) -> dict[str, str]:
        """Image -> what is meant by it; the base system and those of Dockerfiles."""
        return {**dict(self.images), **({self.base: self.state} if self.state else {})}

    def with_pin(self, project: str, tag: str) -> Lock:
        """The lock with the project held at `tag`, or let go when that is ""."""
        pins = {**dict(self.pins), project: tag}
        return self.replace(pins=tuple(sorted((name, one) for name, one in pins.items() if one)))
