"""Mounts and copies from a laptop, through cuts of the network: nothing is lost, nothing lands in the wrong place."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.laptop import distance
from tests.conftest import MakeRig
from tests.e2e.laptop import Laptop, connected_rig
from tests.live_rig import LiveRig, wait_for

BULK = 128 << 20  # bytes: more than goes by in a blink, 100 ms away


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig, laptop: Laptop) -> LiveRig:
    return connected_rig(make_rig, laptop)


@pytest.fixture
def mounted(laptop: Laptop, rig: LiveRig) -> Iterator[str]:
    done = laptop.rigstack("mount", "demo", "mnt", "--json")
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout)["mounts"][0]["folder"]
    laptop.rigstack("unmount", "--force")


def test_a_mount_is_the_project_s_folder(laptop: Laptop, rig: LiveRig, mounted: str) -> None:
    assert laptop.run("sh", "-c", f"echo 'print(1)' > {mounted}/mounted.py").returncode == 0
    assert (rig.code() / "mounted.py").read_text() == "print(1)\n"
    assert (rig.code() / "mounted.py").stat().st_uid == rig.code().stat().st_uid
    assert laptop.rigstack("mount", "demo", "mnt").returncode == 0  # once more: nothing to do
    assert json.loads(laptop.rigstack("mount", "--list", "--json").stdout)["mounts"][0]["state"] == "mounted"
    assert json.loads(laptop.rigstack("status", "--json").stdout)["mounts"][0]["state"] == "mounted"
    # What the folder beneath would take: the laptop's other side sees it without the mount.
    assert laptop.path("mnt").stat().st_mode & 0o777 == 0
    done = laptop.rigstack("unmount", "demo")
    assert done.returncode == 0, done.stderr
    assert laptop.rigstack("mount", "--list").stdout == "no mounts\n"
    assert not laptop.path("mnt").exists()


def test_nothing_lands_beside_a_mount_that_died(laptop: Laptop, rig: LiveRig, mounted: str) -> None:
    (rig.code() / "kept").write_text("kept\n")
    save = ("sh", "-c", f"echo lost > {mounted}/beside")
    programs = laptop.processes("^sshfs ")
    assert programs
    for one in programs:
        os.kill(int(one), signal.SIGKILL)
    wait_for("the mount is dead", lambda: laptop.run("ls", mounted).returncode != 0)
    assert laptop.run(*save).returncode != 0
    assert laptop.rigstack("mount", "demo", "mnt").returncode == 0
    assert laptop.run("cat", f"{mounted}/kept").stdout == "kept\n"
    # Nor where somebody took it away by hand.
    assert laptop.run("fusermount3", "-u", "-z", mounted).returncode == 0
    assert laptop.run(*save).returncode != 0
    assert laptop.rigstack("mount", "demo", "mnt").returncode == 0
    assert laptop.run("cat", f"{mounted}/kept").stdout == "kept\n"
    assert not (rig.code() / "beside").exists()


def test_a_mount_in_use_is_not_torn_away(laptop: Laptop, rig: LiveRig, mounted: str) -> None:
    user = laptop.start("sh", "-c", f"cd {mounted} && exec sleep 300")
    try:
        wait_for("somebody is in it", lambda: laptop.processes("sleep 300") != [])
        time_out = time.monotonic() + 5
        while (done := laptop.rigstack("unmount", "demo")).returncode == 0 and time.monotonic() < time_out:
            laptop.rigstack("mount", "demo", "mnt")
        assert done.returncode == 3
        assert "--force" in done.stderr
    finally:
        user.kill()
        user.wait()


def test_a_mount_lives_through_a_cut(laptop: Laptop, rig: LiveRig, mounted: str) -> None:
    write = f"echo before > {mounted}/cut.txt"
    assert laptop.run("sh", "-c", write).returncode == 0
    laptop.cut()
    try:
        # An editor that saves in the middle of it: it waits, or is told; the file never lands beside the mount.
        saving = laptop.start("sh", "-c", f"echo during > {mounted}/during.txt")
        wait_for(
            "the cut is noticed",
            lambda: laptop.processes("ssh .*box-demo.direct") == [] or saving.poll() is not None,
            timeout=60,
        )
        assert mounted in laptop.run("cat", "/proc/self/mounts").stdout, "the mount went away"
        listed = laptop.rigstack("mount", "--list", timeout=15)  # does not hang on it
        assert "does not answer" in listed.stdout
        assert not (rig.code() / "during.txt").exists(), "the cut did not hurt"
    finally:
        laptop.heal()
    healed = time.monotonic()
    works = ("timeout", "20", "sh", "-c", f"echo after > {mounted}/cut.txt && cat {mounted}/cut.txt")
    wait_for("the mount is back", lambda: laptop.run(*works).stdout == "after\n", timeout=90)
    print(f"mount: back {time.monotonic() - healed:.1f} s after the cut healed")
    assert (rig.code() / "cut.txt").read_text() == "after\n"
    saved = saving.wait(timeout=60) == 0
    assert saved == ((rig.code() / "during.txt").exists() and (rig.code() / "during.txt").read_text() == "during\n")
    assert laptop.rigstack("unmount", "--force").returncode == 0
    assert not laptop.path("mnt").exists(), "something was written beside the mount"


def test_a_copy_that_is_cut_goes_on(laptop: Laptop, rig: LiveRig) -> None:
    """Nothing has the file's name before all of it is there, one error says what happened, no byte is sent twice."""
    big = laptop.path("big.bin")
    big.write_bytes(os.urandom(BULK))
    folder = rig.code() / "sets"
    part = folder / ".rigstack-partial/big.bin"
    sent = Path(f"/sys/class/net/{laptop.name}/statistics/rx_bytes")  # our end of the cable
    with distance(laptop, rig, 100):
        # The connection that it shares: one that notices a cut sooner than after a minute.
        shared = laptop.run("ssh", "-o", "ServerAliveInterval=3", "box-demo", "true")
        assert shared.returncode == 0, shared.stderr
        copying = laptop.start(sys.executable, "-m", "rigstack", "cp", "big.bin", "demo:sets/")
        wait_for("a third of it is there", lambda: part.exists() and part.stat().st_size > BULK / 3)
        laptop.cut()
        try:
            began = time.monotonic()
            assert not (folder / "big.bin").exists(), "it was too fast to be cut"
            said = copying.communicate(timeout=90)[0]
            print(f"cp: told of the cut after {time.monotonic() - began:.1f} s")
        finally:
            laptop.heal()
        assert copying.returncode == 10, said
        assert "the same command again goes on from there" in said
        assert said.count("error: ") == 1 and "cannot be reached" in said, said
        assert [one.name for one in folder.iterdir()] == [".rigstack-partial"]
        before = int(sent.read_text())
        assert laptop.rigstack("cp", "big.bin", "demo:sets/").returncode == 0
    assert int(sent.read_text()) - before < BULK * 0.8
    assert (folder / "big.bin").read_bytes() == big.read_bytes()
    assert [one.name for one in folder.iterdir()] == ["big.bin"], "what was copied in part is still there"


def test_a_mount_that_cannot_be_leaves_nothing(laptop: Laptop, rig: LiveRig) -> None:
    rig.run("compose", "--", "stop", "demo-workspace")
    try:
        done = laptop.rigstack("mount", "demo", "nowhere")
    finally:
        rig.run("compose", "--", "start", "demo-workspace")
    assert done.returncode == 10
    assert not laptop.path("nowhere").exists()
