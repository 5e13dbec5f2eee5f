"""The laptop's commands by a person who is not root: what only root may do must be needed nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import MakeRig
from tests.e2e.laptop import PersonsLaptop, connected_rig
from tests.live_rig import LiveRig, wait_for


@pytest.fixture(scope="module")
def laptop() -> Iterator[PersonsLaptop]:
    made = PersonsLaptop()
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig, laptop: PersonsLaptop) -> LiveRig:
    return connected_rig(make_rig, laptop)


def done(laptop: PersonsLaptop, *words: str) -> str:
    """What rigstack prints, which must succeed."""
    ended = laptop.rigstack(*words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def mode_beneath(laptop: PersonsLaptop, point: str) -> int:
    """The mode of the folder under a mount, which is the laptop's own: from here it is not mounted on."""
    return laptop.path(point).stat().st_mode & 0o777


def test_it_is_no_root(laptop: PersonsLaptop, rig: LiveRig) -> None:
    assert laptop.run("id", "-u").stdout.strip() == str(PersonsLaptop.uid)
    assert laptop.run("ls", "/root/.ssh").returncode != 0
    assert laptop.run("ssh", "box-demo", "echo in").stdout == "in\n"
    assert done(laptop, "ssh", "demo", "--", "echo", "--", "in") == "-- in\n"


def test_a_mount_and_the_guard_beneath_it(laptop: PersonsLaptop, rig: LiveRig) -> None:
    done(laptop, "mount", "demo", "mnt")
    assert laptop.run("sh", "-c", "echo mounted > mnt/from-here").returncode == 0
    assert (rig.code() / "from-here").read_text() == "mounted\n"
    assert mode_beneath(laptop, "mnt") == 0
    # The program under the mount dies: nothing lands beside it, and the same command mounts again.
    assert laptop.run("pkill", "-9", "-x", "sshfs").returncode == 0
    wait_for("the mount is dead", lambda: laptop.run("ls", "mnt").returncode != 0)
    assert laptop.run("sh", "-c", "echo lost > mnt/beside").returncode != 0
    done(laptop, "mount", "demo", "mnt")
    assert laptop.run("cat", "mnt/from-here").stdout == "mounted\n"
    # Nor when somebody takes it away by hand.
    assert laptop.run("fusermount3", "-u", "-z", "mnt").returncode == 0
    assert laptop.run("sh", "-c", "echo lost > mnt/beside").returncode != 0
    done(laptop, "mount", "demo", "mnt")
    done(laptop, "unmount", "demo")
    assert not laptop.path("mnt").exists()


def test_files_go_both_ways(laptop: PersonsLaptop, rig: LiveRig) -> None:
    done(laptop, "cp", "demo:from-here", "back")
    assert laptop.path("back").read_text() == "mounted\n"
    work = laptop.path("work")
    work.mkdir()
    (work / ".gitignore").write_text("*.ckpt\n")
    (work / "train.py").write_text("print(1)\n")
    (work / "big.ckpt").write_text("0")
    laptop.belongs_to_the_person()
    done(laptop, "sync", "demo", "work", "--once")
    assert (rig.code() / "train.py").stat().st_uid == rig.code().stat().st_uid
    assert not (rig.code() / "big.ckpt").exists(), "its .gitignore holds, though it is in no repository"


def test_what_stays_in_the_background(laptop: PersonsLaptop, rig: LiveRig) -> None:
    told = json.loads(done(laptop, "tunnel", "demo", "8888", "--json"))
    assert told["tunnels"][0]["state"] == "up"
    done(laptop, "pycharm", "demo", "work")
    assert "sshConfigId" in (laptop.path("work") / ".idea/webServers.xml").read_text()
    done(laptop, "tunnel", "--stop")


def test_it_all_goes_again(laptop: PersonsLaptop, rig: LiveRig) -> None:
    done(laptop, "disconnect", "box")
    left = {str(one.relative_to(laptop.home)) for one in laptop.path(".ssh").rglob("*") if one.is_file()}
    assert left <= {".ssh/id_ed25519", ".ssh/id_ed25519.pub"}, left
    others = [one for one in laptop.home.rglob("*") if one.lstat().st_uid != PersonsLaptop.uid]
    assert others == [laptop.path(".fuse")]
