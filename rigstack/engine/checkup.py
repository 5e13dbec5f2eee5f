"""What the doctor asks of the engine: how the rig's containers really run, and what the gateway's sshd is set to."""

from __future__ import annotations

from typing import Any

from rigstack.engine import api
from rigstack.engine.containers import run_inside
from rigstack.plan.checkup import Hardening
from rigstack.plan.observed import Container

_SSHD = ("/usr/sbin/sshd", "-T", "-f", "/usr/local/lib/rigstack/sshd_config")


def observe_hardening(container: Container) -> tuple[Hardening, tuple[str, ...]]:
    """How the container runs, and the ADDRESS:PORTs that it publishes beyond this machine."""
    found: dict[str, Any] = api.get(f"/containers/{container.id}/json")
    host, log = found["HostConfig"], found["HostConfig"]["LogConfig"]
    hardening = Hardening(
        service=container.service,
        restart=host["RestartPolicy"]["Name"] or "no",
        log_driver=log["Type"],
        log_limited=log["Type"] in ("local", "journald", "none") or "max-size" in (log.get("Config") or {}),
        privileged=bool(host["Privileged"]),
        drops_all="ALL" in (host.get("CapDrop") or ()),
        no_new_privileges=any(option.startswith("no-new-privileges") for option in host.get("SecurityOpt") or ()),
        read_only=bool(host["ReadonlyRootfs"]),
        memory=int(host.get("Memory") or 0),
        pids=int(host.get("PidsLimit") or 0),
        user=str(found["Config"].get("User") or ""),
        socket=any(str(mount.get("Source", "")).endswith("docker.sock") for mount in found.get("Mounts") or ()),
    )
    bound = {
        f"{one['HostIp'] or '*'}:{one['HostPort']}"
        for ports in (host.get("PortBindings") or {}).values()
        for one in ports or ()
        if not one["HostIp"].startswith(("127.", "::1"))
    }
    return hardening, tuple(sorted(bound))


def observe_sshd(container_id: str) -> dict[str, str]:
    """The gateway's policy: keyword (lower case) -> value; several lines of one keyword are joined."""
    status, said = run_inside(container_id, _SSHD)
    policy: dict[str, str] = {}
    if status:
        return policy
    for line in said.splitlines():
        keyword, _, value = line.partition(" ")
        policy[keyword] = f"{policy[keyword]} {value}" if keyword in policy else value
    return policy


def data_folder() -> str:
    """Where the engine keeps images and containers."""
    return str(api.get("/info").get("DockerRootDir") or "/var/lib/docker")
