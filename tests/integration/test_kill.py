"""`rigstack up` and `down` killed with SIGKILL wherever they are; the next `up` makes a working rig of what is left."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeRig
from tests.live_rig import PATIENCE, LiveRig, docker, wait_for

SERVICES = {"edge", "gateway", "demo-workspace", "demo-notebook"}


def planned(rig: LiveRig) -> list[str]:
    """The steps that `up` would do now, without numbers and causes."""
    done = rig.run("up", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    return [match.group(1) for line in lines if (match := re.match(r"\d+\. (.+?) - ", line))]


def position(rig: LiveRig, kind: str) -> int:
    """The number of the step that starts with these words in the present plan."""
    return next(number for number, step in enumerate(planned(rig), 1) if step.startswith(kind))


def killed_up(rig: LiveRig, step: int, seconds: float = 0.0) -> bool:
    """Runs `up` until it kills itself (True) or ends before that, well (False)."""
    # To files: what a killed `up` leaves behind may hold a pipe open for as long as it lives.
    with (rig.path.parent / "killed.log").open("w+") as log:
        child = subprocess.run(
            [sys.executable, "-m", "tests.killed_up", str(step), str(seconds), "--", "--rig", str(rig.path), "up"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=PATIENCE,
        )
        log.seek(0)
        assert child.returncode in (-signal.SIGKILL, 0), log.read()
    return child.returncode != 0


def assert_converges(rig: LiveRig) -> None:
    """One `up`, and everything is as if nothing had ever happened."""
    rig.up()
    assert rig.status()["rig"]["state"] == "running"
    assert "nothing to do" in rig.up().stdout
    names = docker("ps", "--all", f"--filter=label=rigstack.rig={rig.name}", "--format={{.State}} {{.Names}}")
    assert len(names.splitlines()) == len(SERVICES), names
    assert set(rig.containers()) == SERVICES
    rig.pin_host_keys()
    assert rig.ssh("demo", "echo in").stdout == "in\n"


def test_killed_before_each_step_of_a_first_bring_up(make_rig: MakeRig) -> None:
    """Each run dies one step further than the one before, on what that one left; so every prefix is tried."""
    rig = make_rig()
    steps = planned(rig)
    assert len(steps) > 10
    assert steps[0].startswith("make folders")
    assert steps[-1].startswith("wait until healthy")
    assert killed_up(rig, 1)
    assert planned(rig)[1:] == steps[1:]  # the first is shorter: the lock has made state/
    for number, step in enumerate(steps[:-1], 2):
        # A built image counts only when it was checked: until then it is built once more, from the cache.
        again = step.startswith("build ")
        assert killed_up(rig, 3 if step.startswith("check ") else 2), f"step {number} was not reached"
        expected = steps[number - 2 :] if again else steps[number - 1 :]
        # By then some services may be healthy already, and the edge have made the root that rig.json tells of.
        left = [one for one in planned(rig) if not (step.startswith("start ") and one.endswith("/rig.json"))]
        assert [one.split(":")[0] for one in left] == [one.split(":")[0] for one in expected], step
    assert killed_up(rig, 1)
    assert_converges(rig)


@pytest.fixture(scope="module")
def worn(make_rig: MakeRig) -> LiveRig:
    """A rig for what needs containers again and again."""
    rig = make_rig()
    rig.up()
    return rig


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6, 0.9])
def test_killed_while_compose_makes_the_containers(worn: LiveRig, seconds: float) -> None:
    assert worn.run("down").returncode == 0
    assert killed_up(worn, position(worn, "start "), seconds)
    assert_converges(worn)


@pytest.mark.parametrize("seconds", [0.2, 0.5])
def test_killed_while_compose_replaces_containers(worn: LiveRig, seconds: float) -> None:
    text = re.sub(r"\npids = \d+\n", "\n", worn.toml)
    (worn.path / "rig.toml").write_text(f"{text}\npids = {4096 + secrets.randbelow(4096)}\n")
    before = worn.containers()
    assert killed_up(worn, position(worn, "start "), seconds)
    assert_converges(worn)
    after = worn.containers()
    assert {name for name in after if after[name] != before[name]} == {"demo-workspace", "demo-notebook"}


def test_killed_while_waiting_for_health(worn: LiveRig) -> None:
    assert worn.run("down").returncode == 0
    assert killed_up(worn, position(worn, "wait "), 0.2)
    assert set(worn.containers()) == SERVICES
    assert_converges(worn)


@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_killed_while_building(worn: LiveRig, seconds: float) -> None:
    # Nobody has built this one before, and it takes longer than that.
    built = secrets.token_hex(8)
    (worn.code() / "postBuild").write_text(f"sleep 2\necho {built} > /opt/built\n")
    running = worn.containers()
    assert killed_up(worn, position(worn, "build "), seconds)
    assert worn.containers() == running
    assert position(worn, "build ") == 1, "the build was over before the kill: nothing was tried"
    assert_converges(worn)
    assert worn.ssh("demo", "cat /opt/built").stdout == f"{built}\n"


class SlowDocker:
    """A fake docker client that waits before `compose up`, then is the real one; it notes that it was used."""

    def __init__(self, folder: Path, seconds: float) -> None:
        real = shutil.which("docker")
        self.folder = folder
        self.used = folder / "used"
        fake = folder / "docker"
        fake.write_text(
            f'#!/bin/sh\ncase " $* " in *" compose "*" up "*) echo $$ > {self.used}; sleep {seconds} ;; esac\n'
            f'exec {real} "$@"\n'
        )
        fake.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}

    def alive(self) -> bool:
        """Whether it runs; as a zombie (not every PID 1 reaps at once) it does not."""
        try:
            stat = Path(f"/proc/{self.used.read_text().strip()}/stat").read_text()
        except FileNotFoundError:
            return False
        return not stat.rpartition(") ")[2].startswith("Z")


def test_a_compose_that_outlives_rigstack_keeps_the_rig_to_itself(worn: LiveRig, tmp_path: Path) -> None:
    assert worn.run("down").returncode == 0
    slow = SlowDocker(tmp_path, 3)
    child = subprocess.Popen(
        [sys.executable, "-m", "rigstack", "--rig", str(worn.path), "up"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=slow.environment,
    )
    wait_for("compose was started", slow.used.exists)
    child.kill()
    child.wait()
    assert slow.alive()

    refused = worn.run("up", "--no-wait")
    assert refused.returncode == 6, refused.stderr
    assert f"process {child.pid} (rigstack up, since " in refused.stderr

    waited = worn.up()
    assert f"waiting for process {child.pid} (rigstack up" in waited.stderr
    assert not slow.alive()
    assert "[1/1] wait until healthy" in waited.stderr, "the orphan did not do its work to the end"
    assert_converges(worn)


def test_killed_in_the_middle_of_down(worn: LiveRig) -> None:
    for after in ("up", "down"):
        child = worn.start("down")
        wait_for("a container was stopped", lambda: len(running(worn)) < len(SERVICES))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert worn.containers(), "down was over before the kill: nothing was tried"
        if after == "up":
            assert_converges(worn)
        else:
            assert worn.run("down").returncode == 0
            assert worn.containers() == {}
            assert worn.networks() == []
            assert_converges(worn)


def running(rig: LiveRig) -> list[str]:
    return docker("ps", "--quiet", f"--filter=label=rigstack.rig={rig.name}").split()


def mounted(rig: LiveRig, container: str) -> set[str]:
    """Folders of the rig that the engine has mounted in a container, relative to the rig directory."""
    sources = docker("inspect", "--format={{range .Mounts}}{{println .Source}}{{end}}", container).split()
    return {str(Path(source).relative_to(rig.path)) for source in sources if Path(source).is_relative_to(rig.path)}


def test_all_of_state_deleted(worn: LiveRig) -> None:
    """Generated files are written again; containers that had a deleted folder mounted, and only those, are new."""
    state = worn.path / "state"
    generated = {
        path: path.read_bytes()
        for folder in ("edge/current", "ssh")
        for path in (state / folder).rglob("*")
        if path.is_file()
    } | {path: path.read_bytes() for path in (state / "compose.json", state / "compose.env")}
    keys = {path: path.read_bytes() for path in (state / "keys").rglob("*") if path.is_file()}
    before = worn.containers()
    lost = {name for name, one in before.items() if any(re.match("state/(?!keys)", at) for at in mounted(worn, one))}
    assert lost == {"edge", "gateway", "demo-workspace"}

    for path in state.iterdir():
        if path.name == "keys":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert worn.curl("/p/demo/api").returncode == 0, "the edge goes on as long as nobody touches it"
    assert_converges(worn)

    after = worn.containers()
    assert {name for name in after if after[name] != before[name]} == lost
    assert {path: path.read_bytes() for path in generated} == generated
    assert {path: path.read_bytes() for path in keys} == keys
    assert worn.curl("/p/demo/api").stdout.startswith('{"version"')


def test_a_kill_while_deleted_state_is_written_again(worn: LiveRig) -> None:
    before = worn.containers()
    shutil.rmtree(worn.path / "state" / "edge")
    shutil.rmtree(worn.path / "state" / "ssh")
    assert killed_up(worn, position(worn, "write "))
    assert_converges(worn)
    assert worn.containers()["demo-notebook"] == before["demo-notebook"]
    assert worn.curl("/p/demo/api").stdout.startswith('{"version"')


def test_a_project_s_folder_in_the_place_of_another_is_mounted_anew(worn: LiveRig) -> None:
    before, code = worn.containers(), worn.code()
    subprocess.run(["mv", str(code), str(code.with_name("old"))], check=True)
    subprocess.run(["cp", "-a", str(code.with_name("old")), str(code)], check=True)
    (code / "new.txt").write_text("new\n")
    read = ("cat", "/code/demo/new.txt")
    assert docker("exec", before["demo-workspace"], *read, check=False) == "", "it was noticed by itself"
    assert "demo-workspace: code/demo was replaced" in worn.run("up", "--dry-run").stdout
    assert_converges(worn)
    after = worn.containers()
    assert {name for name in after if after[name] != before[name]} == {"demo-workspace", "demo-notebook"}
    assert docker("exec", after["demo-workspace"], *read) == "new"
    shutil.rmtree(code.with_name("old"))


def test_the_plan_knows_what_is_mounted(worn: LiveRig) -> None:
    from rigstack.config.load import load_rig
    from rigstack.host.facts import observe_host
    from rigstack.plan.desired import desire

    rig = load_rig(worn.path)
    services = desire(rig, observe_host(rig)).services
    containers = worn.containers()
    assert {s.name: set(s.folders) for s in services} == {n: mounted(worn, one) for n, one in containers.items()}
