"""Carries out a set-up plan, step by step, and decides nothing."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rigstack import process
from rigstack.errors import HostError, LockedError
from rigstack.host import apt, engine_prefix, nvidia
from rigstack.host.engine_start import ensure_engine
from rigstack.host.machine import Machine
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

DAEMON_SETTINGS = Path("/etc/docker/daemon.json")
UNIT = Path("/etc/systemd/system/docker.service")
UDEV_RULE = Path("/etc/udev/rules.d/71-rigstack-nvidia.rules")
LOCK = Path("/run/rigstack-host-setup.lock")
APT_PATIENCE = 180.0


def execute(plan: SetupPlan, machine: Machine, say: Callable[[str], None]) -> None:
    """Does each step of the plan and says so; a step already done does nothing, so a broken-off run can be repeated.

    Raises HostError when a step fails, LockedError when another set-up is at work here.
    """
    with _only_one():
        for number, step in enumerate(plan.steps, 1):
            say(f"[{number}/{len(plan.steps)}] {step.text()}")
            began = time.monotonic()
            _do(step, machine, lambda text: say(f"      {text}"))
            say(f"      done in {time.monotonic() - began:.1f} s")


def _do(step: Step, machine: Machine, say: Callable[[str], None]) -> None:
    match step:
        case AddVendorRepository():
            _add_repository(step)
        case WriteDaemonSettings():
            _write_settings()
        case InstallPackages():
            _install(step, say)
        case UnpackEngine():
            engine_prefix.ensure_prefix(step.suites, codename=machine.distribution.codename, say=say)
        case LinkEngine():
            for link in engine_prefix.link_prefix(_prefix()):
                say(link)
            _ensure_group()
        case WriteUnit():
            _write_unit()
        case StartEngine():
            ensure_engine(step)
        case RefreshCdi():
            _must(
                nvidia.enable_refresh_argv(), "the units that keep the GPUs' description fresh could not be switched on"
            )
        case GenerateCdi():
            Path(step.path).parent.mkdir(parents=True, exist_ok=True)
            _must(nvidia.generate_cdi_argv(path=step.path), "the GPUs could not be described to the engine")
        case LinkDevices():
            _must(nvidia.link_devices_argv(), "the GPUs could not be made known to systemd")
            _write(UDEV_RULE, nvidia.render_link_rule(shutil.which("nvidia-ctk") or "/usr/bin/nvidia-ctk"))


def render_daemon_settings() -> str:
    """daemon.json for an engine that rigstack installs.

    live-restore: containers outlive a restart of the engine. The local driver rotates logs.
    features.cdi: GPUs by CDI, which engines before 28.3 leave off.
    """
    settings = {
        "live-restore": True,
        "log-driver": "local",
        "log-opts": {"max-size": "20m", "max-file": "3"},
        "features": {"cdi": True},
    }
    return json.dumps(settings, indent=2) + "\n"


def _write_settings() -> None:
    if not DAEMON_SETTINGS.exists():
        _write(DAEMON_SETTINGS, render_daemon_settings())


def _write_unit() -> None:
    if UNIT.exists() and "Written by rigstack" not in UNIT.read_text():
        raise HostError(
            f"{UNIT} is there and not rigstack's",
            remedy="start that engine (systemctl start docker), or move the file away and run this again",
        )
    _write(UNIT, engine_prefix.render_unit(str(_prefix())))
    _must(("systemctl", "daemon-reload"), "systemd could not read the new unit")


def _install(step: InstallPackages, say: Callable[[str], None]) -> None:
    _when_unlocked(apt.repair_argv(), "an installation that was broken off could not be completed", say)
    _when_unlocked(apt.update_argv(), "the package lists could not be read", say)
    argv = apt.install_argv(step.packages)
    lines: list[str] = []

    def keep(line: str) -> None:
        lines.append(line)
        if line.startswith(("Need to get", "After this operation")):
            say(line)

    if process.stream(argv, keep, env=apt.QUIET):
        raise HostError(
            f"{process.quote(argv)} failed",
            remedy="see to the reason above (apt-get -f install may help) and run this again",
            details=tuple(lines[-12:]),
        )


def _when_unlocked(argv: tuple[str, ...], what: str, say: Callable[[str], None]) -> None:
    """Runs argv; while another package tool holds the lock (at boot, or after a kill), tries again."""
    until = time.monotonic() + APT_PATIENCE
    told = False
    while True:
        done = process.run(argv, env={**apt.QUIET, "LC_ALL": "C"})
        if done.ok or "lock" not in done.stderr or time.monotonic() > until:
            break
        if not told:
            say("waiting for another package tool to end")
            told = True
        time.sleep(0.5)
    if not done.ok:
        remedy = "see to the reason above and run this again"
        raise HostError(f"{what}: {process.quote(argv)} failed", remedy=remedy, details=done.tail())


def _add_repository(step: AddVendorRepository) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    source = Path(f"/etc/apt/sources.list.d/{step.name}.sources")
    host = step.uri.partition("$")[0]
    for file in [Path("/etc/apt/sources.list"), *source.parent.glob("*")]:
        # Two sources of one repository with different keys make apt refuse both.
        if file.is_file() and host in file.read_text(errors="replace"):
            return
    try:
        with urlopen(step.key_url, timeout=20) as answer:
            key = answer.read()
    except (URLError, OSError) as silence:
        raise HostError(
            f"the vendor's repository does not answer: {step.key_url}",
            cause=str(getattr(silence, "reason", silence)),
            remedy="let this machine reach it, or leave out --vendor",
        ) from None
    keyring = Path(f"/etc/apt/keyrings/{step.name}.asc")
    _write(keyring, key.decode())
    uri = step.uri.replace("$(ARCH)", _deb_arch())
    stanza = ["Types: deb", f"URIs: {uri}", f"Suites: {step.suite}", f"Signed-By: {keyring}"]
    if step.components:
        stanza.insert(3, f"Components: {step.components}")
    _write(source, "\n".join(stanza) + "\n")


def _deb_arch() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _ensure_group() -> None:
    if not process.run(("getent", "group", "docker")).ok:
        _must(("groupadd", "--system", "docker"), "the docker group could not be made")


def _prefix() -> Path:
    prefix = engine_prefix.newest_prefix()
    if prefix is None:
        raise HostError("no engine is unpacked below /opt/rigstack/engine", remedy="sudo rigstack host setup")
    return prefix


def _must(argv: tuple[str, ...], what: str) -> None:
    try:
        done = process.run(argv, env=apt.QUIET)
    except FileNotFoundError:
        raise HostError(what, cause=f"there is no {argv[0]} here", remedy=f"install {argv[0]}") from None
    if not done.ok:
        remedy = "see to the reason above and run this again"
        raise HostError(f"{what}: {process.quote(argv)} failed", remedy=remedy, details=done.tail())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.rigstack")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.rename(path)


@contextmanager
def _only_one() -> Iterator[None]:
    descriptor = os.open(LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LockedError(
            "another `rigstack host setup` is at work on this machine",
            remedy="wait for it and run this again",
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)
