"""Looks at this machine and the rig directory and returns the facts that decide what the rig should be."""

from __future__ import annotations

import os
import socket
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from rigstack.assets import assets_dir
from rigstack.config.lock import load_lock
from rigstack.config.model import Rig
from rigstack.errors import ConfigError, HostError, RigstackError
from rigstack.host.certificate import ROOT_CERTIFICATE, acme_issued
from rigstack.host.devices import observe_gpu
from rigstack.host.files import read_text
from rigstack.host.network_card import mac_of, wake_card
from rigstack.host.nvidia import driver_version
from rigstack.host.project_files import read_project_inputs
from rigstack.host.ssh_keys import public_half, resolve_authorized_keys
from rigstack.plan.host import Host, ProjectInputs
from rigstack.render.digest import digest
from rigstack.render.edge import tls_files, tls_mode
from rigstack.secret import Secret

SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
LOCAL_CERTIFICATES = "/usr/local/share/ca-certificates"


def observe_host(rig: Rig, failed: Mapping[str, RigstackError] | None = None) -> Host:
    """The facts for `rig`. failed: projects whose images could not be built, which stay as they are.

    Raises ConfigError or HostError when something that rig.toml names is not there.
    """
    root = Path(rig.dir)
    uid, gid = code_owner(root)
    assets = assets_dir()
    names = ("gateway", *(project.name for project in rig.projects))
    inputs, broken = _inputs(rig, root, failed or {})
    return Host(
        uid=uid,
        gid=gid,
        machine=socket.gethostname().split(".")[0].lower(),
        addresses=lan_addresses(),
        mac=mac_address(),
        ipv6=has_ipv6(),
        gpu=observe_gpu(rig.gpu_mode),
        ca_bundle=_ca_bundle(rig, root),
        authorized_keys=resolve_authorized_keys(root, rig.access.authorized_keys),
        host_keys={name: public_half(root / f"state/keys/{name}/ssh_host_ed25519_key") for name in names},
        assets=str(assets),
        lock=load_lock(root),
        compose_digest=digest((assets / "compose.yaml").read_bytes()),
        image_sources=_image_sources(assets),
        inputs=inputs,
        broken=broken,
        left=_left(root, broken) if broken else {},
        caddy=_caddy_files(assets),
        tls=_tls_files(rig, root),
        ddns_password=_ddns_password(rig, root),
        acme_issued=acme_issued(root, rig.hostname) if tls_mode(rig) == "acme" else False,
        driver=driver_version(Path("/")),
        root_certificate=read_text(root / ROOT_CERTIFICATE) or "",
    )


def _inputs(
    rig: Rig, root: Path, failed: Mapping[str, RigstackError]
) -> tuple[dict[str, ProjectInputs], dict[str, RigstackError]]:
    """What goes into each project's image, and what is wrong in the files of some."""
    inputs, broken = {}, {**rig.broken, **failed}
    for one in rig.projects:
        inputs[one.name] = ProjectInputs()
        if one.name not in broken:
            try:
                inputs[one.name] = read_project_inputs(root / "code" / one.name, one.build)
            except ConfigError as wrong:
                broken[one.name] = wrong
    return inputs, broken


def _left(root: Path, broken: Container[str]) -> dict[str, Any]:
    """The services of broken projects as state/compose.json has them."""
    import json

    try:
        services = json.loads((root / "state/compose.json").read_text(encoding="utf-8"))["services"]
        return {name: one for name, one in services.items() if one["labels"]["rigstack.project"] in broken}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def code_owner(root: Path) -> tuple[int, int]:
    """uid and gid of the owner of code/, who is the user in every container.

    Raises HostError when that is root: nothing in a container runs as root.
    """
    code = root / "code"
    try:
        there = code.stat()
    except FileNotFoundError:
        return person()
    if there.st_uid == 0:
        uid, gid = person()
        raise HostError(
            f"{code} belongs to root, and the containers' user has the uid of its owner",
            cause="it was made by hand as root",
            remedy=f"chown -R {uid}:{gid} {code} {root / 'data'} {root / 'homes'}",
        )
    return there.st_uid, there.st_gid


def person() -> tuple[int, int]:
    """uid and gid of the person at the keyboard: who ran sudo, else this user, else (for root) 1000:1000."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    try:
        uid = int(os.environ.get("SUDO_UID", "1000"))
        gid = int(os.environ.get("SUDO_GID", str(uid)))
    except ValueError:
        return 1000, 1000
    return (uid, gid) if uid else (1000, 1000)


def lan_addresses() -> tuple[str, ...]:
    """This machine's IPv4 address on the default route, or () without one.

    A connected UDP socket makes the kernel choose the route; no packet is sent (udp(7)).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
            address: str = probe.getsockname()[0]
        except OSError:
            return ()
    return () if address.startswith("127.") else (address,)


def mac_address(root: Path = Path("/")) -> str:
    """The address of the network card with the default route, or "": what Wake-on-LAN needs."""
    card = wake_card(root)
    return mac_of(card, root) if card else ""


def has_ipv6() -> bool:
    """Whether the kernel speaks IPv6: then its loopback has ::1.

    Not whether there is an address now: addresses come and go, and changing this remakes the network that the edge
    and the gateway are on.
    """
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[-1] == "lo" for line in lines)


def _ca_bundle(rig: Rig, root: Path) -> str:
    """The file of extra root certificates, or "": "auto" takes the system's when local ones were added to it."""
    given = rig.images.ca_bundle
    if given == "auto":
        try:
            added = any(name.endswith(".crt") for name in os.listdir(LOCAL_CERTIFICATES))  # noqa: PTH208
        except OSError:
            added = False
        return SYSTEM_BUNDLE if added and os.path.isfile(SYSTEM_BUNDLE) else ""  # noqa: PTH113
    if not given:
        return ""
    path = root / Path(given).expanduser()
    if not path.is_file():
        raise ConfigError(f"images.ca_bundle: there is no file {path}", remedy='name a PEM file, or "auto", or ""')
    return str(path)


def _image_sources(assets: Path) -> dict[str, dict[str, str]]:
    """image -> file below images/<image>/ -> digest of its mode and bytes."""
    sources: dict[str, dict[str, str]] = {}
    top = str(assets / "images")
    for image in sorted(os.listdir(top)):  # noqa: PTH208 - half the time of pathlib on the no-change path
        folder = f"{top}/{image}"
        files = {}
        for parent, folders, names in os.walk(folder):
            # pip compiles the .py files in an installed wheel; .dockerignore keeps that out of the images as well.
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(names):
                path = f"{parent}/{name}"
                with open(path, "rb") as handle:
                    executable = os.fstat(handle.fileno()).st_mode & 0o111
                    files[path[len(folder) + 1 :]] = digest(handle.read(), "x" if executable else "")
        if files:
            sources[image] = files
    return sources


def _ddns_password(rig: Rig, root: Path) -> Secret:
    if rig.ddns is None:
        return Secret("")
    path = root / Path(rig.ddns.password_file).expanduser()
    try:
        return Secret(path.read_text(encoding="utf-8").strip("\n"))
    except (OSError, UnicodeDecodeError) as failed:
        raise ConfigError(
            f"ddns.password_file: cannot read {path}: {failed}",
            remedy=f"put the DDNS password into it: install -m 600 /dev/stdin {path}",
        ) from None


def _caddy_files(assets: Path) -> dict[str, str]:
    """file below caddy/ -> text."""
    top = str(assets / "caddy")
    files = {}
    for parent, _, names in os.walk(top):
        for name in names:
            path = f"{parent}/{name}"
            with open(path, encoding="utf-8") as handle:
                files[path[len(top) + 1 :]] = handle.read()
    return files


def _tls_files(rig: Rig, root: Path) -> dict[str, Secret]:
    """What [tls] names, for the edge. A new certificate is tried: its copy takes the place of one that works."""
    files = {name: _tls_file(root, *where) for name, where in tls_files(rig).items()}
    pair = ("certificate.pem", "key.pem")
    if pair[0] not in files or all(read_text(root / "secrets/edge-tls" / one) == files[one].reveal() for one in pair):
        return files
    import ssl

    certificate, key = (root / Path(tls_files(rig)[one][1]).expanduser() for one in pair)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as refused:  # SSLError is one
        raise ConfigError(
            f"tls.certificate and tls.key do not work together: {refused}",
            cause="one is not whole, has a password, or is of another pair",
            remedy=f"openssl x509 -noout -pubkey -in {certificate} must say what openssl pkey -pubout -in {key} says",
        ) from None
    return files


def _tls_file(root: Path, key: str, file: str) -> Secret:
    """What [tls] `key` names, a PEM file or a DNS module's secret: copied for the edge's user, who may not read it."""
    path = root / Path(file).expanduser()
    pem = not key.startswith("dns")
    try:
        text = path.read_text(encoding="ascii" if pem else "utf-8")
    except (OSError, UnicodeDecodeError) as failed:
        remedy = "name a PEM file that is there" if pem else f"put it there: install -m 600 /dev/stdin {path}"
        raise ConfigError(f"tls.{key}: cannot read {path}: {failed}", remedy=remedy) from None
    if pem and "-----BEGIN " not in text:
        raise ConfigError(f"tls.{key}: {path} is not a PEM file", remedy="it starts with -----BEGIN CERTIFICATE-----")
    if not text.strip():
        raise ConfigError(
            f"tls.{key}: {path} is empty", remedy=f"put the secret there: install -m 600 /dev/stdin {path}"
        )
    return Secret(text if pem else text.strip() + "\n")
