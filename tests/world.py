"""The world outside a rig, in one container's network namespace: programs of this machine run in it under any name.

The container only holds the namespace. Names (`dynupdate.no-ip.com`, a CA, a name server) are aliases of it on a
network, which the engine's own DNS answers, so that what a rig runs finds them where it would find the real ones.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.live_rig import LiveRig, docker, wait_for

ROOT = Path(__file__).parents[1]


class World:
    """Made with `join`, used with `start`, always ended with `destroy`."""

    def __init__(self, name: str, image: str, folder: Path, *, ipv6: bool = False) -> None:
        self.name, self.folder = name, folder
        self.network = f"{name}-net"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.containers = [name]
        # A subnet of one's own (RFC 4193), since older engines choose none.
        six = ("--ipv6", f"--subnet=fd{secrets.token_hex(1)}:{secrets.token_hex(2)}:{secrets.token_hex(2)}::/64")
        docker("network", "create", *(six if ipv6 else ()), self.network)
        docker("run", "--detach", "--name", name, "--network=none", "--entrypoint=sleep", image, "infinity")
        docker("network", "disconnect", "none", name)
        self.pid = docker("inspect", "--format={{.State.Pid}}", name)

    def join(self, *aliases: str, network: str = "") -> str:
        """Joins a network under these names; returns the address there."""
        network = network or self.network
        docker("network", "connect", *(f"--alias={alias}" for alias in aliases), network, self.name)
        found = docker(
            "inspect", f'--format={{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}', self.name
        )
        return found

    def join_front(self, rig: LiveRig, *aliases: str) -> str:
        """Joins the network of those of a rig that go out, which compose makes when the first of them needs it."""
        front = f"rigstack-{rig.name}_front"
        if front not in rig.networks():
            labels = {"project": f"rigstack-{rig.name}", "network": "front"}
            docker("network", "create", *(f"--label=com.docker.compose.{k}={v}" for k, v in labels.items()), front)
        return self.join(*aliases, network=front)

    def inside(self, *argv: str) -> tuple[str, ...]:
        """The command line that runs a program of this machine in the world's network namespace."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", *argv)

    def start(self, *argv: str, env: dict[str, str] | None = None, log: str = "") -> subprocess.Popen[bytes]:
        with open(self.folder / (log or f"{Path(argv[0]).name}.log"), "ab") as out:
            child = subprocess.Popen(
                self.inside(*argv),
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
            )
        self.processes.append(child)
        return child

    def wait_for_port(self, port: int) -> None:
        probe = self.inside("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}")
        wait_for(f"port {port}", lambda: subprocess.run(probe, capture_output=True).returncode == 0)

    def destroy(self) -> None:
        for child in self.processes:
            child.terminate()
        for child in self.processes:
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
        for container in reversed(self.containers):
            docker("rm", "--force", "--volumes", container, check=False)
        docker("network", "rm", self.network, check=False)


class FakeProvider:
    """tests.fake_provider in a world, with what it was asked."""

    def __init__(self, world: World, *, port: int = 80, name: str = "provider") -> None:
        self.answers = world.folder / f"{name}.json"
        self.log = world.folder / f"{name}.requests"
        self.log.touch()
        self.set(ip="203.0.113.9", answer="good 203.0.113.9")
        world.start(sys.executable, "-m", "tests.fake_provider", str(port), str(self.answers), str(self.log))
        world.wait_for_port(port)

    def set(self, **answers: Any) -> None:
        """What it answers from now on."""
        new = self.answers.with_suffix(".new")
        new.write_text(json.dumps(answers))
        new.replace(self.answers)

    def requests(self) -> list[dict[str, Any]]:
        """The updates it was sent so far (questions for the address are not among them)."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def looks(self) -> list[float]:
        """When it was asked for the address, seconds since 1970."""
        return [float(line) for line in Path(f"{self.log}.looks").read_text().splitlines()]

    def wait_for(self, count: int, *, timeout: float = 30.0) -> list[dict[str, Any]]:
        deadline = time.monotonic() + timeout
        while len(self.requests()) < count:
            assert time.monotonic() < deadline, f"{len(self.requests())} requests, not {count}"
            time.sleep(0.05)
        return self.requests()
