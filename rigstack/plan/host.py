"""The facts about the GPU host that decide what the rig should be; observed by rigstack/host, pure values here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rigstack.config.model import Lock
from rigstack.errors import RigstackError
from rigstack.secret import Secret
from rigstack.value import Value


class Gpu(Value):
    """How containers get GPUs here. kind: "cdi", "nvidia" or "none"; devices: what can be asked for by name.

    aliases: (other name, canonical name) of devices that have several, as nvidia-ctk names a card by index and by UUID.
    why: for "none", the reason in words. stale: why the CDI specification no longer fits the machine, "" when it does.
    has_all: the engine knows a device "all". A specification that somebody wrote may lack it.
    """

    kind: str
    devices: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    why: str = ""
    stale: str = ""
    has_all: bool = True

    @property
    def every(self) -> tuple[str, ...]:
        """All cards, as they are asked of the engine."""
        return ("all",) if self.has_all else self.cards

    def canonical(self, device: str) -> str:
        """The one name of a device that may have several."""
        return dict(self.aliases).get(device, device)

    @property
    def cards(self) -> tuple[str, ...]:
        """Each card or MIG instance once: by index where there are indices; "all" where there is nothing else."""
        once = tuple(dict.fromkeys(self.canonical(one) for one in self.devices))
        indices = tuple(one for one in once if not one.startswith(("GPU-", "MIG-")))
        return indices or once or (("all",) if self.kind != "none" and self.has_all else ())


class Copy(Value):
    """A file that goes into a build context as it is. name: there; source: its path on this machine."""

    name: str
    source: str
    digest: str


class OwnDockerfile(Value):
    """The Dockerfile that a project brings. name: as a person knows it; copies: what it may COPY; target: its stage."""

    name: str
    text: str
    copies: tuple[Copy, ...] = ()
    args: tuple[tuple[str, str], ...] = ()
    target: str = ""


class ProjectInputs(Value):
    """What of a project goes into its image.

    files: name in the build context -> text. copies: files that are no text of ours (wheels).
    dockerfile: of its own, to build before what rigstack adds. python: the version that its files ask for, or "".
    notes: what of its files is not honoured, in words. once: what is to be done by hand after a build.
    volumes: (name, path in its containers) that it wants to keep.
    """

    files: tuple[tuple[str, str], ...] = ()
    copies: tuple[Copy, ...] = ()
    dockerfile: OwnDockerfile | None = None
    python: str = ""
    notes: tuple[str, ...] = ()
    once: tuple[str, ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()


class Host(Value):
    """uid, gid: the owner of code/, who is also the user in every container.

    machine: this machine's name. addresses: its LAN addresses, the one of the default route first.
    mac: of the network card with the default route, or "".
    ipv6: the kernel speaks it, and the engine has addresses for it.
    ca_bundle: path of extra root certificates for builds and containers, or "".
    authorized_keys: public key lines, resolved from [access] authorized_keys.
    assets: folder with compose.yaml, images/, caddy/. compose_digest: of compose.yaml.
    image_sources: image -> file -> digest, for the folders of images/.
    caddy: file below caddy/ -> text.
    tls: file -> what is in it, of those that [tls] names (render.edge.tls_files).
    inputs: project -> what goes into its image.
    root_certificate: of the rig's own authority, PEM, or "" before the edge first ran.
    broken: project -> what is wrong in its own files or with the build; such a project is left as it is.
    left: for those, their services as state/compose.json has them.
    acme_issued: an ACME authority has signed the rig's hostname before.
    lock: rig.lock.
    ddns_password: from [ddns] password_file. driver: the loaded NVIDIA driver's version, "" when there is none.
    """

    uid: int
    gid: int
    machine: str
    addresses: tuple[str, ...]
    mac: str = ""
    ipv6: bool
    gpu: Gpu
    ca_bundle: str
    authorized_keys: tuple[str, ...]
    host_keys: Mapping[str, str]
    assets: str
    compose_digest: str
    image_sources: Mapping[str, Mapping[str, str]]
    inputs: Mapping[str, ProjectInputs]
    caddy: Mapping[str, str]
    tls: Mapping[str, Secret]
    ddns_password: Secret
    broken: Mapping[str, RigstackError] = {}
    left: Mapping[str, Mapping[str, Any]] = {}
    lock: Lock = Lock()
    driver: str = ""
    acme_issued: bool = False
    root_certificate: str = ""
