"""An engine of a test's own: data, socket, settings, CDI folder, network namespace; the machine's is left alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rigstack.engine.presence import answers
from rigstack.host.machine import find_program
from tests.live_rig import wait_for


class OwnEngine:
    """dockerd in `folder`; kill() and start() are a restart after a crash."""

    def __init__(self, folder: Path, daemon: str) -> None:
        self.folder, self.daemon = folder, daemon
        self.socket = f"{folder}/docker.sock"
        self.env = {**os.environ, "DOCKER_HOST": f"unix://{self.socket}"}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [
            # In a network namespace of its own: --bridge=none takes docker0 away wherever the daemon runs.
            *("unshare", "--net", self.daemon, "--host", f"unix://{self.socket}", "--data-root", f"{self.folder}/data"),
            *("--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid", "--bridge=none"),
            *("--iptables=false", "--ip6tables=false", "--feature", "cdi=true"),
            *("--cdi-spec-dir", f"{self.folder}/cdi", "--config-file", f"{self.folder}/daemon.json"),
        ]
        path = f"{Path(self.daemon).parent}:{Path(self.daemon).parent.parent / 'bin'}:{os.environ['PATH']}"
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, "PATH": path})
        wait_for("the engine of this test answers", lambda: answers(self.socket), timeout=60)

    def set(self, settings: str) -> None:
        """Other settings (daemon.json), which a running engine reads at once."""
        (self.folder / "daemon.json").write_text(settings)
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """SIGKILL, as the machine's memory killer would: nothing is put in order."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        assert not answers(self.socket)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def docker(self, *words: str, stdin: bytes | None = None) -> str:
        done = subprocess.run(["docker", *words], input=stdin, capture_output=True, env=self.env, timeout=120)
        assert done.returncode == 0, (words, done.stderr, (self.folder / "log").read_text()[-2000:])
        return done.stdout.decode().strip()


@contextmanager
def engine_of_its_own() -> Iterator[OwnEngine]:
    """One that is not started yet; skips the test where it cannot be had."""
    daemon = find_program("dockerd", Path("/"), os.environ)
    client = shutil.which("docker")
    if daemon is None and client is not None:
        beside = Path(client).resolve().parent.parent / "sbin/dockerd"
        daemon = str(beside) if beside.exists() else None
    if os.geteuid() != 0 or daemon is None:
        pytest.skip("needs root and dockerd")
    folder = Path(tempfile.mkdtemp(prefix="rigstack-"))  # not tmp_path: a socket's path has 107 characters at most
    (folder / "cdi").mkdir()
    (folder / "daemon.json").write_text("{}")
    own = OwnEngine(folder, os.path.realpath(daemon))
    try:
        yield own
    finally:
        own.stop()
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((one for one in mounted if one.startswith(str(folder))), reverse=True):
            subprocess.run(["umount", "--lazy", mount])
        shutil.rmtree(folder)
