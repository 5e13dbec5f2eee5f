"""`rigstack host setup` on bare Debian 12 machines: privileged containers where it really unpacks and runs an engine.

Takes a minute the first time: half of it is making the machine's file system, the rest fetching the engine twice.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from rigstack import process
from rigstack.engine.api import engine_socket
from rigstack.engine.presence import answers
from rigstack.host import apt

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = "python3,ca-certificates"
SAYS_NOTHING_TO_DO = "are here and answer: nothing to do"

pytestmark = pytest.mark.skipif(
    shutil.which("docker") is None or not answers(engine_socket()),
    reason="needs a Docker engine to make bare machines in",
)


def docker(*words: str, timeout: float = 120) -> process.Completed:
    return process.run(("docker", *words), timeout=timeout)


def must(done: process.Completed) -> str:
    assert done.ok, f"{process.quote(done.argv)}: {done.status}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True, kw_only=True)
class Box:
    """A bare machine: a privileged container whose PID 1 reaps nobody, as in many a test machine."""

    name: str

    def run(self, script: str, *, user: str = "root", timeout: float = 120) -> process.Completed:
        return docker("exec", "-u", user, self.name, "sh", "-c", script, timeout=timeout)

    def rigstack(self, words: str, *, user: str = "root", timeout: float = 120) -> process.Completed:
        return self.run(f"exec python3 -B -m rigstack {words}", user=user, timeout=timeout)

    def wait_for(self, script: str, *, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not self.run(script).ok:
            assert time.monotonic() < until, f"never came true: {script}"


@pytest.fixture(scope="module")
def bookworm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of a minimal Debian 12, from the machine's own mirror; from a registry where there is no mmdebstrap.

    Kept for the next run, as the images of rigs are: making it takes half a minute.
    """
    image = "rigstack-test/bookworm:" + hashlib.sha256(PACKAGES.encode()).hexdigest()[:12]
    if docker("image", "inspect", image).ok:
        yield image
        return
    if shutil.which("mmdebstrap"):
        tar = tmp_path_factory.mktemp("bookworm") / "root.tar"
        mirror = apt.own_mirror("bookworm")
        source = [mirror.uri] if mirror else []
        must(
            process.run(
                ("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(tar), *source)
            )
        )
        must(docker("import", str(tar), image))
        tar.unlink()
    else:
        must(docker("pull", "debian:bookworm-slim", timeout=300))
        script = f"apt-get update && apt-get install -y {PACKAGES.replace(',', ' ')}"
        container = must(docker("create", "debian:bookworm-slim", "sh", "-c", script))
        must(docker("start", "--attach", container, timeout=300))
        must(docker("commit", container, image))
        must(docker("rm", container))
    yield image


@pytest.fixture
def box(bookworm: str) -> Iterator[Box]:
    machine = Box(name=f"rigstack-test-{uuid.uuid4().hex[:8]}")
    click_package = Path(click.__file__).parent
    try:
        must(
            docker(
                *("run", "--detach", "--privileged", "--name", machine.name, "--volume", "/var/lib/docker"),
                *("--volume", f"{REPOSITORY / 'rigstack'}:/src/rigstack:ro"),
                *("--volume", f"{click_package}:/src/click:ro", "--env", "PYTHONPATH=/src"),
                *(bookworm, "sleep", "infinity"),
            )
        )
        # A frozen mirror is trusted in there as far as this machine trusts it.
        if shutil.which("apt-config"):
            frozen = must(process.run(("apt-config", "dump", "Acquire::Check-Valid-Until")))
            must(machine.run(f"echo '{frozen}' > /etc/apt/apt.conf.d/99as-outside"))
        yield machine
    finally:
        docker("rm", "--force", "--volumes", machine.name)


def test_without_root_or_a_yes_a_bare_machine_stays_bare(box: Box) -> None:
    found = box.rigstack("host check --json")
    assert found.status == 3
    report = json.loads(found.stdout)
    assert report["able"] is False
    assert report["problems"][0]["what"] == "missing: engine, client, compose, buildx"

    planned = box.rigstack("host setup --dry-run")
    assert planned.status == 0
    assert "unpack Debian unstable or trixie's Docker packages" in planned.stdout

    asked = box.rigstack("host setup")
    assert asked.status == 8
    assert "rigstack host setup --yes" in asked.stderr

    plain = box.rigstack("host setup --yes", user="nobody")
    assert plain.status == 3
    assert "sudo rigstack host setup" in plain.stderr

    assert not box.run("ls -d /opt/rigstack /etc/docker /usr/local/bin/docker").stdout


def test_from_bare_through_a_kill_to_an_engine_that_comes_back(box: Box) -> None:
    # Killed in the middle of fetching: nothing that looks whole is left, and the next run completes it.
    must(box.run("nohup python3 -B -m rigstack host setup --yes > /tmp/first.log 2>&1 & echo $! > /tmp/first.pid"))
    box.wait_for("ls -d /opt/rigstack/engine/.fetch-*/cache")
    must(box.run("kill -9 $(cat /tmp/first.pid)"))
    assert not box.run("ls -d /opt/rigstack/engine/[0-9]*").stdout
    done = box.rigstack("host setup --yes", timeout=300)
    assert done.ok, done.stderr
    assert "this machine is set up" in done.stdout
    assert not box.run("ls -d /opt/rigstack/engine/.fetch-*").stdout

    # It runs containers, and holds the settings of a new engine.
    must(
        box.run(
            "tar -ch -C / bin/echo bin/sleep $(ldd /bin/echo /bin/sleep | grep -o '/lib[^ ]*' | sort -u)"
            " 2>/dev/null | docker import - tiny"
        )
    )
    assert must(box.run("docker run --rm --init tiny /bin/echo inside")) == "inside"
    must(box.run("docker compose version && docker buildx version"))
    assert must(box.run("docker info --format '{{.LiveRestoreEnabled}} {{.LoggingDriver}}'")) == "true local"

    # Again, there is nothing to do, and that is known at once, for whoever may use the socket.
    def once_more() -> float:
        began = time.monotonic()
        assert SAYS_NOTHING_TO_DO in must(box.rigstack("host setup --yes"))
        return time.monotonic() - began

    assert any(once_more() < 1.0 for _ in range(10)), "not even once, on a machine however loaded"
    must(box.run("useradd --create-home ada"))
    forbidden = box.rigstack("host setup --yes", user="ada")
    assert forbidden.status == 3
    assert "sudo usermod -aG docker ada" in forbidden.stderr
    must(box.run("usermod -aG docker ada"))
    assert SAYS_NOTHING_TO_DO in must(box.rigstack("host setup --yes", user="ada"))

    # The engine dies; its containers do not; the next run brings it back.
    must(box.run("docker run --detach --name job tiny /bin/sleep 600"))
    before = must(box.run("docker inspect --format '{{.State.Pid}}' job"))
    must(box.run("kill -9 $(cat /var/run/docker.pid)"))
    box.wait_for("! docker version")
    assert box.rigstack("host check").status == 3
    must(box.rigstack("host setup --yes"))
    assert must(box.run("docker inspect --format '{{.State.Pid}} {{.State.Status}}' job")) == f"{before} running"
    assert json.loads(must(box.rigstack("host check --json")))["able"] is True
