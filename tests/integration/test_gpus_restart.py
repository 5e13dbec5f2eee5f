"""A container keeps exactly its GPUs when the engine is killed and started again.

An engine of the test's own: its own data, socket, CDI folder and network namespace; the machine's is left alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigstack.engine.presence import answers
from rigstack.host.devices import KIND
from rigstack.host.machine import find_program
from tests.live_rig import wait_for
from tests.nvml_stub import NvmlStub, a_gpu, build, gpus

NAMES = ("GPU-aaaa-00", "GPU-aaaa-01")
# A whole image in one file: waits until it is stopped.
PROGRAM = "#include <signal.h>\n#include <unistd.h>\nint main(void) { signal(SIGTERM, _exit); for (;;) pause(); }\n"


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


@pytest.fixture
def engine() -> Iterator[OwnEngine]:
    daemon = find_program("dockerd", Path("/"), os.environ)
    client = shutil.which("docker")
    if daemon is None and client is not None:
        beside = Path(client).resolve().parent.parent / "sbin/dockerd"
        daemon = str(beside) if beside.exists() else None
    if os.geteuid() != 0 or daemon is None:
        pytest.skip("needs root and dockerd")
    devices = [{"name": n, "containerEdits": {"env": [f"MADE_UP_GPU={n}"]}} for n in NAMES]
    folder = Path(tempfile.mkdtemp(prefix="rigstack-"))  # not tmp_path: a socket's path has 107 characters at most
    (folder / "cdi").mkdir()
    (folder / "cdi/gpus.json").write_text(json.dumps({"cdiVersion": "0.5.0", "kind": KIND, "devices": devices}))
    (folder / "daemon.json").write_text("{}")
    own = OwnEngine(folder, os.path.realpath(daemon))
    try:
        own.start()
        yield own
    finally:
        own.stop()
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((one for one in mounted if one.startswith(str(folder))), reverse=True):
            subprocess.run(["umount", "--lazy", mount])
        shutil.rmtree(folder)


def test_a_gpu_is_kept_across_a_crash_of_the_engine(engine: OwnEngine, tmp_path: Path) -> None:
    subprocess.run(
        ["gcc", "-static", "-x", "c", "-", "-o", str(tmp_path / "wait")], input=PROGRAM, text=True, check=True
    )
    image = subprocess.run(["tar", "-C", str(tmp_path), "-c", "wait"], capture_output=True, check=True).stdout
    engine.docker("import", "--change", 'CMD ["/wait"]', "-", "waits:1", stdin=image)
    for number, name in enumerate(NAMES):
        ours = {"rig": "box", "project": f"p{number}", "role": "workspace", "gpus": name, "gpu_sharing": "exclusive"}
        labels = [f"--label=rigstack.{key}={value}" for key, value in ours.items()]
        start = ("run", "--detach", "--restart=always", "--network=none", f"--name=p{number}", *labels)
        engine.docker(*start, "--device", f"{KIND}={name}", "waits:1")

    def given() -> dict[str, str]:
        """container -> the made-up GPU in its first process's environment."""
        found = {}
        for number in range(len(NAMES)):
            pid = engine.docker("inspect", "--format={{.State.Pid}}", f"p{number}")
            pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0") if pid != "0" else []
            found[f"p{number}"] = next((p.partition("=")[2] for p in pairs if p.startswith("MADE_UP_GPU=")), "")
        return found

    wanted = {"p0": NAMES[0], "p1": NAMES[1]}
    assert given() == wanted
    before = engine.docker("inspect", "--format={{.State.StartedAt}}", "p0", "p1")
    engine.kill()
    engine.start()
    wait_for("containers run again", lambda: given() == wanted, timeout=60)
    assert engine.docker("inspect", "--format={{.State.StartedAt}}", "p0", "p1") != before, "it was a real crash"

    stub = NvmlStub(build(tmp_path / "nvml"), tmp_path)
    stub.set(gpus(2) | a_gpu(0, uuid=NAMES[0]) | a_gpu(1, uuid=NAMES[1]))
    words = (sys.executable, "-m", "rigstack", "gpus", "--json")
    shown = json.loads(subprocess.run(words, env={**engine.env, **stub.env}, capture_output=True, check=True).stdout)
    assert [[one["project"] for one in gpu["given_to"]] for gpu in shown["gpus"]] == [["p0"], ["p1"]]
    engine.docker("rm", "--force", "p0", "p1")
