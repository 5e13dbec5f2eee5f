"""Starts an installed engine, by whatever runs services here, and waits until it answers."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rigstack import process
from rigstack.engine.presence import answers
from rigstack.errors import HostError
from rigstack.host import engine_prefix
from rigstack.host.machine import PREFIXES, find_program
from rigstack.host.setup_steps import StartEngine

LOG = "/var/log/rigstack-dockerd.log"
PIDFILE = Path("/var/run/docker.pid")
CONTAINERD_PIDFILE = Path("/var/run/docker/containerd/containerd.pid")
WAIT = 60.0


def ensure_engine(step: StartEngine) -> None:
    """Starts the engine unless it answers or is about to; returns when it answers.

    Raises HostError with the log's last lines when it ends, or stays silent for WAIT seconds.
    """
    if answers(step.socket, timeout=1):
        return
    mark = Path(LOG).stat().st_size if Path(LOG).exists() else 0
    child: int | None = None
    what = "was started and"
    if step.way == "none":
        # A package's own script may have started it a moment ago; a second would only die of the first.
        if is_alive("dockerd", PIDFILE):
            what = "runs (its process is there) and"
        else:
            # dockerd takes any process of these numbers, even a dead one nobody reaped, for what it looks for.
            PIDFILE.unlink(missing_ok=True)
            if not is_alive("containerd", CONTAINERD_PIDFILE):
                CONTAINERD_PIDFILE.unlink(missing_ok=True)
            child = _start_directly()
    else:
        argv = systemd_argv() if step.way == "systemd" else ("service", "docker", "start")
        done = process.run(argv, timeout=120)
        if not done.ok:
            raise HostError(
                f"the engine did not start: {process.quote(argv)} failed",
                remedy="see to the reason above and run this again",
                details=(*done.tail(5), *log_tail(step)),
            )
    until = time.monotonic() + WAIT
    while not answers(step.socket, timeout=1):
        if child is not None and _ended(child):
            raise HostError(
                "dockerd ended as soon as it was started",
                remedy=f"the reason is in the lines above ({LOG})",
                details=log_tail(step, since=mark),
            )
        if time.monotonic() > until:
            raise HostError(
                f"the engine {what} does not answer at {step.socket} after {WAIT:.0f} s",
                remedy="the reason may be in the lines above; then run this again",
                details=log_tail(step, since=mark if child else 0),
            )
        time.sleep(0.05)


def systemd_argv() -> tuple[str, ...]:
    """Starts docker.service now and at each boot."""
    return ("systemctl", "enable", "--now", "docker.service")


def direct_argv(daemon: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """dockerd's command line and environment without a service manager; one out of a prefix needs its own paths."""
    real = Path(daemon).resolve()
    if real.is_relative_to(Path("/") / PREFIXES):
        prefix = str(real.parents[2])
        return engine_prefix.daemon_argv(prefix), {"PATH": engine_prefix.daemon_path(prefix)}
    return (daemon,), {"PATH": os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"}


def _start_directly() -> int:
    prefix = engine_prefix.newest_prefix()
    unpacked = f"{prefix}/usr/sbin/dockerd" if prefix else None
    daemon = find_program("dockerd", Path("/"), os.environ) or unpacked
    if daemon is None:
        raise HostError("there is no dockerd to start", remedy="sudo rigstack host setup")
    argv, env = direct_argv(daemon)
    return process.start_daemon(argv, log=LOG, env=env)


def is_alive(program: str, pidfile: Path, proc: Path = Path("/proc")) -> bool:
    """Whether the process that `pidfile` names is a living `program`; a dead one that nobody reaped is not."""
    try:
        stat = (proc / str(int(pidfile.read_text())) / "stat").read_text()
    except (OSError, ValueError):
        return False
    # proc_pid_stat(5): pid (comm) state ...
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return name == program and rest.split()[0] not in ("Z", "X")


def _ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not Path(f"/proc/{pid}").exists()


def log_tail(step: StartEngine, *, since: int = 0, count: int = 12) -> tuple[str, ...]:
    """The last lines the engine wrote, wherever this machine keeps them; since: bytes of LOG to leave out."""
    if step.way == "systemd":
        argv = ("journalctl", "-u", "docker.service", "-n", str(count), "--no-pager", "-o", "cat")
        return process.run(argv).tail(count)
    for file, skip in ((Path(LOG), since), (Path("/var/log/docker.log"), 0)):
        try:
            return tuple(file.read_bytes()[skip:].decode(errors="replace").splitlines()[-count:])
        except OSError:
            continue
    return ()
