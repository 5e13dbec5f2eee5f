"""Two rigstacks at once on one rig: one works, the other waits and says for whom, or leaves with exit code 6."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import time

import pytest

from tests.conftest import MakeRig
from tests.live_rig import LiveRig, wait_for


@pytest.fixture(scope="module")
def busy(make_rig: MakeRig) -> LiveRig:
    """A rig whose image has a step that takes seconds, so that an `up` can be met at work."""
    return make_rig()


def at_work(rig: LiveRig) -> subprocess.Popen[str]:
    """Starts an `up` with seconds of work that no cache has done, returns it once it holds the lock."""
    (rig.code() / "postBuild").write_text(f"sleep 3 # {secrets.token_hex(8)}\n")
    first = rig.start("up")
    lock = rig.path / "state" / "lock"

    def held() -> bool:
        try:
            return bool(json.loads(lock.read_text())["pid"] == first.pid)
        except (OSError, ValueError):
            return False

    wait_for("the first one holds the lock", held)
    return first


def test_without_waiting_the_second_exits_6_naming_who_works(busy: LiveRig) -> None:
    began = time.time()
    first = at_work(busy)
    second = busy.run("up", "--no-wait")
    assert second.returncode == 6
    told = re.search(rf"process {first.pid} \(rigstack up, since (\d\d:\d\d:\d\d)\) works on this rig", second.stderr)
    assert told, second.stderr
    nearby = {time.strftime("%H:%M:%S", time.localtime(began + seconds)) for seconds in range(15)}
    assert told.group(1) in nearby
    assert busy.run("down", "--no-wait").returncode == 6
    out, err = first.communicate(timeout=120)
    assert first.returncode == 0, out + err
    assert busy.status()["rig"]["state"] == "running"


def test_looking_needs_no_lock(busy: LiveRig) -> None:
    first = at_work(busy)
    assert busy.status()["rig"]["state"] == "running"
    assert "build" in busy.run("up", "--dry-run").stdout
    assert first.poll() is None, "it was over before we looked"
    assert first.wait(timeout=120) == 0


def test_both_end_well_and_the_work_is_done_once(busy: LiveRig) -> None:
    first = at_work(busy)
    second = busy.up()
    assert f"waiting for process {first.pid} (rigstack up, since " in second.stderr
    assert second.stderr.count("waiting for") == 1
    assert "nothing to do" in second.stdout
    out, err = first.communicate(timeout=120)
    assert first.returncode == 0, out + err
    assert " build rigstack/" in err
    assert busy.status()["rig"]["state"] == "running"
