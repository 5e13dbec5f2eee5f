"""Runs a newer Debian's Docker packages on Debian 12, whose own are too old, from a prefix of their own.

The binaries of later Debian releases need no newer libc, except runc, which stays Debian 12's own. Nothing is
registered with dpkg and no package source of the machine is changed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from rigstack import process
from rigstack.errors import HostError
from rigstack.host import apt
from rigstack.host.machine import PREFIXES

PACKAGES = ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "containerd")
# docker-init is a link to tini-static, which has been a package of its own since Debian 14.
INIT_PACKAGE = {"trixie": "tini"}
PLUGINS = "/usr/local/lib/docker/cli-plugins"
_PLUGIN_SOURCE = "usr/libexec/docker/cli-plugins"
# What has to run on this system, and the option that makes it say its version and end.
_PROBES = (
    ("usr/sbin/dockerd", "--version"),
    ("usr/sbin/docker-proxy", "--version"),
    ("usr/bin/docker", "--version"),
    ("usr/bin/containerd", "--version"),
    ("usr/bin/containerd-shim-runc-v2", "-v"),
    ("usr/bin/docker-init", "--version"),
    (f"{_PLUGIN_SOURCE}/docker-compose", "docker-cli-plugin-metadata"),
    (f"{_PLUGIN_SOURCE}/docker-buildx", "docker-cli-plugin-metadata"),
)
_LINKED = tuple(path for path, _ in _PROBES if not path.startswith(_PLUGIN_SOURCE))


def newest_prefix(root: Path = Path("/")) -> Path | None:
    """The newest complete prefix, or None. A prefix is complete when it has its final name."""
    found = list((root / PREFIXES).glob("[0-9]*"))
    return max(found, key=lambda folder: [int(n) for n in re.findall(r"\d+", folder.name)], default=None)


def ensure_prefix(
    suites: tuple[str, ...], *, codename: str, say: Callable[[str], None], root: Path = Path("/")
) -> Path:
    """Fetches, unpacks and tries the engine of the first of `suites` whose binaries run here; returns its prefix.

    It appears under its final name only when all its binaries have run, so a killed set-up leaves nothing
    half done that a later one would take for whole. say: told what goes on.
    Raises HostError with each suite's reason when none works.
    """
    mirror = apt.own_mirror(codename, root)
    if mirror is None:
        raise HostError(
            f"no apt source of this machine serves {codename}",
            cause="rigstack takes the engine from the mirror that the machine itself uses",
            remedy="give /etc/apt/sources.list.d a source for it, or: sudo rigstack host setup --vendor",
        )
    home = root / PREFIXES
    home.mkdir(parents=True, exist_ok=True)
    for leftover in home.glob(".fetch-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    reasons = []
    for suite in suites:
        # A name of its own: the apt of a killed set-up may still be writing to its folder.
        work = home / f".fetch-{suite}-{os.getpid()}"
        try:
            return _prefix_of(suite, mirror, work, say)
        except HostError as failure:
            reasons += [f"{suite}: {failure.what}", *(f"  {line}" for line in failure.details)]
            say(f"{suite} does not do: {failure.what}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise HostError(
        "no engine could be unpacked for this system",
        remedy="see to the reasons above, or: sudo rigstack host setup --vendor",
        details=tuple(reasons),
    )


def _prefix_of(suite: str, mirror: apt.Mirror, work: Path, say: Callable[[str], None]) -> Path:
    debs, tree = work / "debs", work / "tree"
    for folder in (debs, tree, work / "lists/partial", work / "cache/archives/partial"):
        folder.mkdir(parents=True)
    source = work / "engine.sources"
    source.write_text(apt.render_source(mirror, suite))
    options = apt.private_options(work, source)
    say(f"reading {suite}'s package list from {mirror.uri}")
    _must(apt.update_argv(options), "its package list could not be read")
    packages = (*PACKAGES, INIT_PACKAGE.get(suite, "tini-static"))
    say(f"fetching {', '.join(packages)}")
    _must(apt.download_argv(packages, options), "its packages could not be fetched", cwd=debs)
    for deb in sorted(debs.glob("*.deb")):
        _must(apt.unpack_argv(deb, tree), f"{deb.name} could not be unpacked")
    init = tree / "usr/bin/docker-init"
    if not init.exists():
        init.unlink(missing_ok=True)
        init.symlink_to("tini-static")
    for path, option in _PROBES:
        _must((str(tree / path), option), f"{Path(path).name} does not run here")
    name = next(debs.glob("docker.io_*.deb")).name.split("_")[1]
    final = work.parent / re.sub(r"[^0-9.].*", "", name.partition("%3a")[2] or name)
    if not final.exists():
        tree.chmod(0o755)
        tree.rename(final)
    return final


def _must(argv: tuple[str, ...], what: str, *, cwd: Path | None = None) -> None:
    try:
        done = process.run(argv, env=apt.QUIET, cwd=str(cwd) if cwd else None)
    except OSError as missing:
        raise HostError(what, details=(f"{argv[0]}: {missing.strerror}",)) from None
    if not done.ok:
        raise HostError(what, details=done.tail(5))


def link_prefix(prefix: Path, *, root: Path = Path("/")) -> tuple[str, ...]:
    """Links the prefix's programs into /usr/local/bin and its plugins into the client's plugin folder.

    A name that this machine has already, anywhere on the usual PATH, is left alone; a link that points into
    a prefix (an older or a removed one) is renewed. Returns what was linked.
    """
    linked = []
    wanted = [(prefix / path, root / "usr/local/bin" / Path(path).name) for path in _LINKED]
    wanted += [
        (prefix / _PLUGIN_SOURCE / name, root / PLUGINS.lstrip("/") / name)
        for name in ("docker-compose", "docker-buildx")
    ]
    homes = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
    for target, link in wanted:
        # What the machine has of its own wins, and is never overwritten.
        ours = link.is_symlink() and str(link.readlink()).startswith(str(root / PREFIXES))
        taken = [root / home / link.name for home in homes if link.parent.name == "bin"]
        taken = [other for other in (link, *taken) if other.exists() or other.is_symlink()]
        if taken and not ours:
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh = link.with_name(f".{link.name}.rigstack")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.rename(link)
        linked.append(str(link))
    return tuple(linked)


def daemon_argv(prefix: str) -> tuple[str, ...]:
    """dockerd out of a prefix: it would look for its own helpers in /usr."""
    return (
        f"{prefix}/usr/sbin/dockerd",
        "--init-path",
        f"{prefix}/usr/bin/docker-init",
        "--userland-proxy-path",
        f"{prefix}/usr/sbin/docker-proxy",
    )


def daemon_path(prefix: str) -> str:
    """The PATH for a prefix's dockerd: it starts containerd and its shim by name, and finds the system's runc."""
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return f"{prefix}/usr/bin:{prefix}/usr/sbin:{system}"


def render_unit(prefix: str) -> str:
    """docker.service for a prefix; the settings are those of Debian's own unit (docker.io, docker.service)."""
    return f"""\
# Written by rigstack for the engine unpacked in {prefix}.
[Unit]
Description=Docker Engine (rigstack)
Documentation=https://docs.docker.com
After=network-online.target nss-lookup.target firewalld.service time-set.target
Wants=network-online.target
StartLimitBurst=3
StartLimitIntervalSec=60

[Service]
Type=notify
Environment=PATH={daemon_path(prefix)}
ExecStart={process.quote(daemon_argv(prefix))}
ExecReload=/bin/kill -s HUP $MAINPID
TimeoutStartSec=0
RestartSec=2
Restart=always
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
Delegate=yes
KillMode=process
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""
