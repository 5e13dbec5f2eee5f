"""Starts, stops, connects and asks containers: compose for what compose.yaml describes, the docker SDK for the rest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from rigstack import process
from rigstack.engine import api
from rigstack.engine.observe import observe_containers
from rigstack.errors import EngineError, HostError, RigstackError, UnhealthyError
from rigstack.plan import observed
from rigstack.render import folders

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

STOP_SECONDS = 10


def compose_argv(root: Path, assets: str, *words: str) -> tuple[str, ...]:
    """docker compose on exactly the rig's two files, and what varies in them."""
    state = root / "state"
    files = (state / "compose.env", *(file for file in (root / folders.FILE,) if file.is_file()))
    return (
        *("docker", "compose", *(word for file in files for word in ("--env-file", str(file)))),
        *("--project-directory", str(root)),
        *("-f", f"{assets}/compose.yaml", "-f", str(state / "compose.json")),
        *words,
    )


def start_services(root: Path, assets: str, services: Sequence[str], *, lock: int) -> None:
    """Creates, recreates or starts these services and no other. Raises HostError for a taken port, else EngineError.

    Never `-y`: it makes compose wipe named volumes. Never a dependency: the plan has named all that is needed.
    """
    argv = compose_argv(root, assets, "up", "--detach", "--no-deps", "--no-build", "--pull", "never", *services)
    done = process.run(argv, env={"COMPOSE_IGNORE_ORPHANS": "1"}, keep_open=(lock,))
    if not done.ok:
        raise _start_failure(done)


def _start_failure(done: process.Completed) -> RigstackError:
    said = done.stderr + done.stdout
    address = r"(?:\[[^\]\s]*\]|\d+(?:\.\d+){3}|[\da-f:]*)"
    port = re.search(rf"(?:listen (?:tcp|udp)[46]? |Bind for |failed to bind host port (?:for )?){address}:(\d+)", said)
    if port and re.search(r"already (in use|allocated)", said):
        return HostError(
            f"port {port.group(1)} is taken by another program",
            cause=_port_holder(int(port.group(1))),
            remedy="stop that program, or choose another port in rig.toml ([access], or the project's ssh_port)",
        )
    if "no space left on device" in said:
        return HostError("the disk is full", details=done.tail(3), remedy="free room, then run it again")
    if "address pools have been fully subnetted" in said:
        return HostError(
            "the engine has no address range left for another network",
            details=done.tail(3),
            cause="every project has a network of its own, and an engine's usual pools hold about 30",
            remedy='docker network prune removes those that nobody uses; for more, "default-address-pools":'
            ' [{"base": "10.201.0.0/16", "size": 24}] in the engine\'s daemon.json, and restart it',
        )
    if "error setting rlimit" in said:
        return HostError(
            "the engine may not lock as much memory as a project asks for",
            details=done.tail(3),
            cause="it runs with a lower limit itself and may not raise it",
            remedy="take memlock out of the project's table in rig.toml, or give the engine LimitMEMLOCK=infinity",
        )
    if "CDI device injection failed" in said or "unresolvable CDI devices" in said:
        return HostError(
            "the engine cannot give a container the GPUs asked for",
            details=done.tail(3),
            cause="a device that is not there, or a specification older than the driver",
            remedy="check `gpus` in rig.toml; sudo rigstack host setup makes the CDI specification anew",
        )
    return EngineError(
        "compose could not start the services", details=done.tail(8), remedy="rigstack logs; docker info"
    )


def _port_holder(port: int) -> str:
    """Who listens on a port, in words; "" when that cannot be seen."""
    try:
        listed = process.run(("docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}"))
        if published := listed.stdout.split():
            return f"the container {published[0]} publishes it"
        done = process.run(("ss", "-Hltunp", f"sport = :{port}"))
    except FileNotFoundError:
        return ""
    found = re.search(r'users:\(\("([^"]+)",pid=(\d+)', done.stdout)
    return f"{found.group(1)} (process {found.group(2)}) listens there" if found else ""


def remove_containers(rig: str, names: Iterable[str] | None, tell: Callable[[str], None]) -> int:
    """Stops and removes the rig's containers (all, or those of the named services) side by side; returns how many.

    Files are never touched: everything of value is a bind mount.
    """
    client = _client()
    try:
        wanted = None if names is None else set(names)
        doomed = [
            one
            for one in client.containers.list(all=True, filters={"label": f"rigstack.rig={rig}"}, ignore_removed=True)
            if wanted is None or one.labels.get("com.docker.compose.service") in wanted
        ]
        if doomed:
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(lambda one: _remove(one, tell), doomed))
        return len(doomed)
    finally:
        client.close()


def _remove(container: Container, tell: Callable[[str], None]) -> None:
    import docker

    try:
        container.stop(timeout=STOP_SECONDS)
        container.remove(force=True)
        tell(f"removed {container.labels.get('com.docker.compose.service', container.name)}")
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as failed:
        raise EngineError(f"cannot remove {container.name}: {failed.explanation}", remedy="run it again") from None


def remove_networks(compose_project: str, keep: Iterable[str]) -> int:
    """Removes the compose project's networks except those in `keep`; whatever is still on one is disconnected."""
    import docker

    client = _client()
    kept, removed = set(keep), 0
    try:
        for network in client.networks.list(filters={"label": f"com.docker.compose.project={compose_project}"}):
            if network.name in kept:
                continue
            network.reload()
            for one in network.attrs.get("Containers") or {}:
                network.disconnect(one, force=True)
            network.remove()
            removed += 1
    except docker.errors.APIError as failed:
        raise EngineError(f"cannot remove a network: {failed.explanation}", remedy="run it again") from None
    finally:
        client.close()
    return removed


def join_network(container_id: str, network: str) -> None:
    """Connects a running container to a network; being there already is fine."""
    import docker

    client = _client()
    try:
        client.networks.get(network).connect(container_id)
    except docker.errors.APIError as failed:
        if "already exists in network" not in str(failed):
            raise EngineError(f"cannot connect to {network}: {failed.explanation}") from None
    finally:
        client.close()


def run_inside(
    container_id: str, argv: Sequence[str], *, env: dict[str, str] | None = None, root: bool = False
) -> tuple[int, str]:
    """Runs a command in a running container; returns its exit status and output.

    root: with all rights over the container's processes, which nobody in it has.
    """
    import docker

    client = _client()
    try:
        done = client.containers.get(container_id).exec_run(
            list(argv), environment=env or {}, user="root" if root else "", privileged=root
        )
    except docker.errors.APIError as failed:
        raise EngineError(f"cannot run {process.quote(argv)} in a container: {failed.explanation}") from None
    finally:
        client.close()
    output = done.output if isinstance(done.output, bytes) else b"".join(done.output)
    return done.exit_code or 0, output.decode(errors="replace")


def wait_healthy(
    rig: str,
    directory: str,
    services: Sequence[str],
    *,
    timeout: float,
    tell: Callable[[str], None],
    hopeless: Callable[[str], tuple[str, str] | None] = lambda _: None,
) -> None:
    """Returns when every service is healthy. Raises UnhealthyError with the log's tail of the first that is not.

    timeout: seconds. hopeless: asked of a service that is not healthy yet, (what is wrong, remedy) when waiting longer
    is in vain; raised when all others are healthy.
    """
    waiting, deadline = set(services), time.monotonic() + timeout
    restarting: dict[str, int] = {}
    lost: list[UnhealthyError] = []
    while waiting:
        containers = observe_containers(rig, directory)
        for name in sorted(waiting):
            there = containers.get(name)
            if there and there.state == "running" and there.health in ("healthy", ""):
                waiting.discard(name)
                tell(f"{name} is healthy")
                continue
            if (found := hopeless(name)) is not None:
                waiting.discard(name)
                lost.append(UnhealthyError(found[0], remedy=found[1]))
                continue
            restarting[name] = restarting.get(name, 0) + (there is not None and there.state == "restarting")
            gone = there is None or there.state in ("exited", "dead") or restarting[name] > 20
            if gone or there is None or there.health == "unhealthy" or time.monotonic() > deadline:
                raise _unhealthy(name, there)
        if waiting:
            time.sleep(0.2)
    if lost:
        raise lost[0]


def _unhealthy(service: str, there: observed.Container | None) -> UnhealthyError:
    if there is None:
        return UnhealthyError(f"{service} did not become healthy (it is gone)", remedy="rigstack up")
    done = process.run(("docker", "logs", "--tail", "8", there.id), timeout=20)
    return UnhealthyError(
        f"{service} did not become healthy ({there.status})",
        details=tuple((done.stdout + done.stderr).strip().splitlines()[-8:]),
        cause=there.ailment,
        remedy=f"rigstack logs {service}",
    )


def _client() -> DockerClient:
    import docker

    try:
        return docker.DockerClient(base_url=f"unix://{api.engine_socket()}", timeout=120)
    except docker.errors.DockerException as failed:
        raise HostError(f"no engine answers: {failed}", remedy="sudo rigstack host setup") from None


def restart(container_ids: Iterable[str]) -> None:
    """Restarts containers side by side. Raises EngineError."""
    import docker

    client = _client()
    try:
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(lambda one: client.containers.get(one).restart(timeout=STOP_SECONDS), container_ids))
    except docker.errors.APIError as failed:
        raise EngineError(f"cannot restart a container: {failed.explanation}") from None
    finally:
        client.close()
