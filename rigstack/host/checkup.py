"""What the doctor asks of this machine: disks, clock, modes, names, certificates, ports, packages. Changes nothing."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from rigstack import process
from rigstack.errors import HostError
from rigstack.plan.checkup import Certificate, Chmod, Reached, Room

_PACKAGES = (
    "docker.io",
    "docker-ce",
    "containerd",
    "containerd.io",
    "runc",
    "openssh-server",
    "nvidia-container-toolkit",
)
# What follows the distribution's newest kernel: Debian's packages, and Ubuntu's.
_KERNELS = ("linux-image-amd64", "linux-image-arm64", "linux-image-generic", "linux-generic")
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized


def observe_room(path: str) -> Room | None:
    """The file system that `path` is on; None when it cannot be asked."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return Room(
        path=path,
        total=found.f_blocks * found.f_frsize,
        free=found.f_bavail * found.f_frsize,
        inodes=found.f_files,
        inodes_free=found.f_favail,
    )


def clock_ahead(root: Path) -> float:
    """By how many seconds the newest of the rig's own files is ahead of the clock; 0 when none is."""
    newest = 0.0
    for path in (root / "rig.toml", root / "state", root / "state/compose.json", root / "state/lock"):
        try:
            newest = max(newest, path.stat().st_mtime)
        except OSError:
            continue
    return max(0.0, newest - time.time())


def clock_synced() -> bool | None:
    """Whether the kernel's clock is kept right by something (adjtimex(2)); None where it cannot be asked."""
    import ctypes

    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def observe_modes(root: Path) -> dict[str, int]:
    """absolute path (a folder's ends in "/") -> mode, of everything in the rig that must be private."""
    modes: dict[str, int] = {}
    secrets = root / "secrets"
    try:
        if secrets.is_dir():  # a rig that was never brought up has none
            modes[f"{secrets}/"] = secrets.stat().st_mode & 0o777
        # Below a private folder the containers' own files may have any mode; those that rigstack writes may not.
        for path in sorted(secrets.rglob("*")):
            if path.is_file() and not path.is_relative_to(secrets / "edge"):
                modes[str(path)] = path.stat().st_mode & 0o777
        for path in sorted((root / "state/keys").glob("*/ssh_host_*_key")):
            modes[str(path)] = path.stat().st_mode & 0o777
    except OSError as failed:
        raise HostError(
            f"cannot look at {failed.filename}: {failed.strerror}", remedy="run it as the rig's owner, or with sudo"
        ) from None
    return modes


def mode_of(path: str) -> int | None:
    """The mode of what is at `path`; None when it cannot be looked at."""
    try:
        return Path(path).stat().st_mode & 0o777
    except OSError:
        return None


def apply(fix: Chmod) -> None:
    """Does one fix. Raises HostError."""
    try:
        Path(fix.path).chmod(fix.mode)
    except OSError as failed:
        raise HostError(f"cannot {fix}: {failed.strerror}", remedy=f"sudo {fix}") from None


def resolve(name: str) -> str:
    """The name's first IPv4 address as this machine resolves it, or ""."""
    try:
        return str(socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return ""


def observe_certificate(name: str, address: str, port: int, roots: Path | None) -> Certificate:
    """What is served at address:port for `name`, verified against the system's roots, or against `roots` alone."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=str(roots) if roots else None)
        with (
            socket.create_connection((address, port), 10) as raw,
            context.wrap_socket(raw, server_hostname=name) as tls,
        ):
            peer = tls.getpeercert() or {}
    except ssl.SSLCertVerificationError as refused:
        return Certificate(name=name, error=f"a browser refuses it: {refused.verify_message}")
    except (OSError, ValueError) as failed:
        return Certificate(name=name, error=f"no TLS at {address}:{port}: {failed}")
    parts = dict(pair[0] for pair in peer.get("issuer", ()))  # type: ignore[misc]
    return Certificate(
        name=name,
        issuer=str(parts.get("organizationName") or parts.get("commonName") or "?"),
        begins=ssl.cert_time_to_seconds(str(peer["notBefore"])),
        ends=ssl.cert_time_to_seconds(str(peer["notAfter"])),
    )


def reach(place: str, port: int, *, needed: bool = True) -> Reached:
    """Whether place:port takes a connection from this machine."""
    try:
        socket.create_connection((place, port), 10).close()
    except OSError as failed:
        return Reached(place=place, port=port, error=str(failed), needed=needed)
    return Reached(place=place, port=port, needed=needed)


def reach_argv(helper: str, place: str, port: int) -> tuple[str, ...]:
    """Asks `helper` (an ssh destination) to connect to place:port with its own bash."""
    probe = f"timeout 10 bash -c 'exec 3<>/dev/tcp/{place}/{port}'"
    return ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", helper, probe)


def reach_from(helper: str, place: str, port: int, *, needed: bool = True) -> Reached:
    """Whether place:port takes a connection from the machine `helper`."""
    done = process.run(reach_argv(helper, place, port), timeout=40)
    if done.status == 255:
        error = f"{helper} could not be asked: {' '.join(done.tail(1))}"
    else:
        error = "" if done.ok else f"no answer to {helper}"
    return Reached(place=place, port=port, error=error, needed=needed)


def offered_methods(port: int, address: str) -> str:
    """What the SSH server at address:port offers to a stranger: "publickey"; "" when it cannot be asked."""
    argv = (
        *("ssh", "-F", "none", "-v", "-p", str(port), "-o", "PreferredAuthentications=none", "-o", "BatchMode=yes"),
        *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10"),
        f"jump@{address}",
    )
    try:
        said = process.run(argv, timeout=30).stderr
    except FileNotFoundError:
        return ""
    _, found, rest = said.partition("Authentications that can continue: ")
    return rest.split()[0] if found and rest.split() else ""


def firewall(root: Path = Path("/")) -> str:
    """What keeps strangers out of this machine's own programs, in words: ufw, or rules of nftables; "" for nothing.

    nftables tells root only (iptables' rules are among them, nft(8)); ufw's switch may be read by everybody.
    """
    try:
        if "ENABLED=yes" in (root / "etc/ufw/ufw.conf").read_text():
            return "ufw is on"
    except OSError:
        pass
    try:
        told = process.run(("nft", "--json", "list", "chains"), timeout=10)
        chains = [one.get("chain", {}) for one in json.loads(told.stdout)["nftables"]] if told.ok else []
    except (OSError, ValueError, KeyError):
        return ""
    closed = (one for one in chains if one.get("hook") == "input" and one.get("policy") == "drop")
    return next((f"nftables drops what comes in (table {one['family']} {one['table']})" for one in closed), "")


def newer_packages() -> tuple[str, ...] | None:
    """Which packages of note have a newer version in apt's lists; None without apt or without lists."""
    try:
        done = process.run(("apt-cache", "policy", *_PACKAGES, *_KERNELS), timeout=30)
    except FileNotFoundError:
        return None
    names: list[str] = []
    name = installed = ""
    for line in done.stdout.splitlines():
        word, _, value = line.strip().partition(": ")
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif word == "Installed":
            installed = value
        elif word == "Candidate" and installed not in ("(none)", value):
            names.append(name)
    return tuple(names) if done.stdout else None


def newer_kernel(root: Path = Path("/")) -> str:
    """The newest installed kernel's release when it is not the one that runs (it counts after a restart), else ""."""
    import re

    running = os.uname().release
    flavour = running.rpartition("-")[2]

    def numbers(release: str) -> tuple[int, ...]:
        return tuple(int(one) for one in re.findall(r"\d+", release))

    images = (path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*"))
    newest = max((one for one in images if one.rpartition("-")[2] == flavour), key=numbers, default=running)
    return newest if numbers(newest) > numbers(running) else ""
