"""A real rig for tests: its own directory, name, ports and keys, brought up by the real command, always torn down."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RIGSTACK = (sys.executable, "-m", "rigstack")
PATIENCE = 300.0


def free_port() -> int:
    """A TCP port that nobody listens on now, and that no outgoing connection will be given while a rig is down.

    Of each process of tests side by side from a part of its own: a port is taken long before a rig listens on it.
    """
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw7").removeprefix("gw")) % 8
    size = end // 16
    while True:
        port = end // 2 + part * size + random.randrange(size)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class LiveRig:
    """One rig directory with a key of its own; `up()` and the rest run the real command in a process of its own."""

    def __init__(
        self, folder: Path, *, name: str, projects: tuple[str, ...] = ("demo",), program: tuple[str, ...] = RIGSTACK
    ) -> None:
        self.program = program
        self.path = folder / "rig"
        self.name = name
        self.password = ""
        self.key = folder / "laptop" / "id_ed25519"
        self.key.parent.mkdir(parents=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test laptop", "-f", str(self.key)], check=True
        )
        self.ssh_port, self.https_port, self.http_port = free_port(), free_port(), free_port()
        self.ssh_config = self.key.parent / "config"
        words = [arg for project in projects for arg in ("--project", project)]
        public = self.key.with_suffix(".pub").read_text().strip()
        made = self.run("init", str(self.path), "--name", name, "--key", public, "--yes", *words)
        assert made.returncode == 0, made.stderr
        self.set("ssh_port", self.ssh_port)
        self.set("https_port", self.https_port)
        self.set("http_port", self.http_port)
        self.set("bind", '"127.0.0.1"')
        self._write_ssh_config(projects)

    def set(self, key: str, value: object) -> None:
        """Uncomments or changes one key in rig.toml, as a person with an editor would."""
        text = self.toml
        text, count = re.subn(rf"^(# )?{key} = .*$", f"{key} = {value}", text, count=1, flags=re.M)
        assert count == 1, key
        (self.path / "rig.toml").write_text(text)

    def append(self, lines: str) -> None:
        """Adds lines at the end of rig.toml."""
        (self.path / "rig.toml").write_text(self.toml + "\n" + lines + "\n")

    @property
    def toml(self) -> str:
        return (self.path / "rig.toml").read_text()

    def code(self, project: str = "demo") -> Path:
        return self.path / "code" / project

    def run(self, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """rigstack with these words, to its end."""
        return subprocess.run(
            [*self.program, *self._rig_words(words), *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """rigstack with these words, running."""
        return subprocess.Popen(
            [*self.program, *self._rig_words(words), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def _rig_words(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return () if words[0] == "init" else ("--rig", str(self.path))

    def up(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`rigstack up` that must succeed."""
        done = self.run("up", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        if shown := re.search(r"shown once\): (\S+)", done.stderr):
            self.password = shown.group(1)
        return done

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return document

    def containers(self) -> dict[str, str]:
        """service -> container id of all containers of this rig, running or not."""
        lines = docker(
            "ps",
            "--all",
            "--no-trunc",
            f"--filter=label=rigstack.rig={self.name}",
            '--format={{.Label "com.docker.compose.service"}} {{.ID}}',
        ).splitlines()
        return dict(line.split() for line in lines)

    def networks(self) -> list[str]:
        found = docker(
            "network",
            "ls",
            f"--filter=label=com.docker.compose.project=rigstack-{self.name}",
            "--format={{.Name}}",
        )
        return found.split()

    def ssh(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """The real ssh client through the gateway: ssh("demo", "command")."""
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config), *words],
            capture_output=True,
            text=True,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            timeout=60,
        )

    def _write_ssh_config(self, projects: tuple[str, ...]) -> None:
        """What a person would write: host keys are pinned to the rig's own, nothing is accepted unseen."""
        hosts = "".join(
            f"Host {project}\n  User dev\n  ProxyJump gateway\n  HostKeyAlias {project}\n" for project in projects
        )
        self.ssh_config.write_text(
            f"""Host gateway
  HostName 127.0.0.1
  Port {self.ssh_port}
  User jump
  HostKeyAlias gateway
{hosts}
Host *
  IdentityFile {self.key}
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {self.known_hosts}
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 10
"""
        )

    @property
    def known_hosts(self) -> Path:
        return self.key.parent / "known_hosts"

    def pin_host_keys(self) -> None:
        """Writes known_hosts from the rig's public host keys."""
        keys = self.path / "state" / "keys"
        lines = [
            f"{folder.name} {(folder / 'ssh_host_ed25519_key.pub').read_text()}"
            for folder in sorted(keys.iterdir())
            if folder.is_dir()
        ]
        self.known_hosts.write_text("".join(lines))

    @property
    def root_certificate(self) -> Path:
        return self.path / "secrets/edge/caddy/pki/authorities/local/root.crt"

    def curl(self, path: str, *words: str) -> subprocess.CompletedProcess[str]:
        """The real curl, trusting the rig's own authority and nothing else."""
        url = f"https://localhost:{self.https_port}{path}"
        return subprocess.run(
            ["curl", "-sS", "--cacert", str(self.root_certificate), *words, url],
            capture_output=True,
            text=True,
            timeout=60,
        )

    def destroy(self) -> None:
        """Takes everything of this rig away: containers, networks, its project images, its files."""
        images = ("image", "ls", f"--filter=reference=rigstack/{self.name}-*", "--format={{.Repository}}:{{.Tag}}")
        # One call for all of a kind: the client removes containers side by side.
        if containers := self.containers().values():
            docker("rm", "--force", "--volumes", *containers)
        if networks := self.networks():
            docker("network", "rm", *networks)
        if tags := docker(*images).split():
            docker("image", "rm", "--force", *tags)
        shutil.rmtree(self.path.parent, ignore_errors=True)


def docker(*words: str, check: bool = True) -> str:
    """The docker client; its output."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 or not check, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


def wait_for(what: str, true: Any, *, timeout: float = 30.0) -> None:
    """Returns when `true()` is; fails the test naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.1)
