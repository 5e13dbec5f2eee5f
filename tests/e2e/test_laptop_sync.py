"""A checkout on the laptop and the project on the rig kept equal, git and cuts of the network included."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from tests.conftest import MakeRig
from tests.e2e.laptop import Laptop, connected_rig
from tests.live_rig import LiveRig, wait_for


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig, laptop: Laptop) -> LiveRig:
    return connected_rig(make_rig, laptop)


@pytest.fixture(scope="module", autouse=True)
def checkout(laptop: Laptop, rig: LiveRig) -> None:
    """A repository with an origin that both sides reach, cloned on the laptop."""
    for path in rig.code().iterdir():  # what `rigstack init` put there
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    done = laptop.run("ssh", "box-demo", "git init -q --bare -b main ~/origin.git")
    assert done.returncode == 0, done.stderr
    git(laptop, ".", "config", "--global", "user.name", "Me")
    git(laptop, ".", "config", "--global", "user.email", "me@example.net")
    git(laptop, ".", "clone", "-q", "box-demo:origin.git", "work")
    git(laptop, "work", "checkout", "-q", "-B", "main")
    laptop.path("work/src").mkdir()
    laptop.path("work/src/train.py").write_text("print(1)\n")
    laptop.path("work/.gitignore").write_text("*.ckpt\n!keep.ckpt\n/runs/\n")
    laptop.path("work/.rigignore").write_text("notes\n")
    git(laptop, "work", "add", "-A")
    git(laptop, "work", "commit", "-q", "-m", "one")
    git(laptop, "work", "push", "-q", "-u", "origin", "main")


def git(laptop: Laptop, folder: str, *words: str) -> str:
    done = laptop.run("git", "-C", folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def on_rig(laptop: Laptop, command: str) -> str:
    done = laptop.rigstack("ssh", "demo", command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def once(laptop: Laptop, *words: str) -> dict[str, object]:
    done = laptop.rigstack("sync", "demo", "work", "--once", "--json", *words)
    assert done.returncode == 0, done.stderr
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_files_go_and_what_is_ignored_stays(laptop: Laptop, rig: LiveRig) -> None:
    for name in ("big.ckpt", "keep.ckpt", "notes", "odd [x] *.txt"):
        laptop.path(f"work/{name}").write_text(name)
    laptop.path("work/runs").mkdir()
    laptop.path("work/runs/1.log").write_text("")
    done = once(laptop)
    there = {path.name for path in rig.code().iterdir()}
    assert there == {".git", ".gitignore", ".rigignore", "src", "keep.ckpt", "odd [x] *.txt"}
    assert sorted(map(str, done["sent"])) == [".gitignore", ".rigignore", "keep.ckpt", "odd [x] *.txt", "src/train.py"]  # type: ignore[call-overload]
    assert str(done["git"]).startswith("git is at ")
    assert once(laptop)["sent"] == []


def test_a_pull_on_the_rig_has_no_conflict(laptop: Laptop, rig: LiveRig) -> None:
    assert on_rig(laptop, "git status --porcelain").split("\n") == ["?? keep.ckpt", '?? "odd [x] *.txt"', ""]
    laptop.path("work/src/train.py").write_text("print(2)\n")
    once(laptop)
    assert on_rig(laptop, "git status --porcelain src") == " M src/train.py\n"
    git(laptop, "work", "commit", "-q", "-am", "two")
    git(laptop, "work", "push", "-q")
    once(laptop)
    # Somebody else pushes on; the rig pulls, as it would have refused to with files changed under it.
    git(laptop, ".", "clone", "-q", "box-demo:origin.git", "colleague")
    laptop.path("colleague/src/train.py").write_text("print(3)\n")
    git(laptop, "colleague", "commit", "-q", "-am", "three")
    git(laptop, "colleague", "push", "-q")
    # rsync's --update knows seconds: what is newer by less than two is not newer.
    saved = laptop.path("work/src/train.py").stat().st_mtime
    wait_for("two seconds have gone by", lambda: time.time() > saved + 2.5)
    on_rig(laptop, "git remote set-url origin ~/origin.git && git pull -q --ff-only origin main")
    assert (rig.code() / "src/train.py").read_text() == "print(3)\n"
    assert on_rig(laptop, "git log --format=%s").split() == ["three", "two", "one"]
    # And the laptop, which does not have that commit, takes nothing back.
    once(laptop)
    assert (rig.code() / "src/train.py").read_text() == "print(3)\n"
    git(laptop, "work", "pull", "-q", "--ff-only")


def test_commits_made_on_the_rig_are_never_touched(laptop: Laptop, rig: LiveRig) -> None:
    on_rig(laptop, "git -c user.name=r -c user.email=r@r commit -q --allow-empty -m 'made on the rig'")
    git(laptop, "work", "commit", "-q", "--allow-empty", "-m", "made on the laptop")
    assert "has commits of its own" in str(once(laptop)["git"])
    assert on_rig(laptop, "git log -1 --format=%s") == "made on the rig\n"


def test_what_is_newer_on_the_rig_stays(laptop: Laptop, rig: LiveRig) -> None:
    laptop.path("work/cell.py").write_text("laptop\n")
    once(laptop)
    (rig.code() / "cell.py").write_text("edited on the rig\n")
    os.utime(rig.code() / "cell.py", (time.time() + 60, time.time() + 60))
    laptop.path("work/cell.py").write_text("laptop again\n")
    assert once(laptop)["sent"] == []
    assert (rig.code() / "cell.py").read_text() == "edited on the rig\n"
    assert once(laptop, "--overwrite")["sent"] == ["cell.py"]
    assert (rig.code() / "cell.py").read_text() == "laptop again\n"


def test_nothing_is_deleted_unless_told_and_never_too_much(laptop: Laptop, rig: LiveRig) -> None:
    for number in range(12):
        laptop.path(f"work/part{number}.txt").write_text("x")
    once(laptop)
    for number in range(12):
        laptop.path(f"work/part{number}.txt").unlink()
    assert once(laptop)["deleted"] == []
    (rig.code() / "runs").mkdir()
    (rig.code() / "runs/made-there.log").write_text("ignored, so never deleted")
    refused = laptop.rigstack("sync", "demo", "work", "--once", "--delete", "--limit", "10")
    assert refused.returncode == 8
    assert "more than the limit of 10; none was" in refused.stderr
    assert len(list(rig.code().glob("part*.txt"))) == 12
    assert len(once(laptop, "--delete", "--limit", "12")["deleted"]) == 12  # type: ignore[arg-type]
    assert list(rig.code().glob("part*.txt")) == []
    assert (rig.code() / "runs/made-there.log").exists()
    laptop.path("empty").mkdir()
    assert laptop.rigstack("sync", "demo", "empty", "--once", "--delete").returncode == 2


def test_saves_are_there_a_moment_later_and_a_cut_loses_none(laptop: Laptop, rig: LiveRig) -> None:
    done = laptop.rigstack("sync", "demo", "work")
    assert done.returncode == 0, done.stderr
    assert laptop.rigstack("sync", "demo", "work").returncode == 2  # one is enough
    there = rig.code() / "saved.py"
    waits = []
    for number in range(5):
        laptop.path("work/saved.py").write_text(f"save {number}\n")
        began = time.monotonic()
        wait_for("the save is there", lambda n=number: there.exists() and there.read_text() == f"save {n}\n")  # type: ignore[misc]
        waits.append(time.monotonic() - began)
    print(f"sync: saved here to seen there {sorted(waits)[2]:.2f} s (median of 5)")
    laptop.cut()
    try:
        laptop.path("work/saved.py").write_text("during the cut\n")
        log = laptop.path(".ssh/rigstack/kept/sync-box-demo.log")
        wait_for("the cut is noticed", lambda: "cannot be reached" in log.read_text(), timeout=90)
        assert there.read_text() == "save 4\n", "the cut did not hurt"
        laptop.path("work/later.py").write_text("later\n")
    finally:
        laptop.heal()
    healed = time.monotonic()
    wait_for("the first is there", lambda: there.read_text() == "during the cut\n", timeout=90)
    wait_for("and the second", lambda: (rig.code() / "later.py").exists())
    print(f"sync: back {time.monotonic() - healed:.1f} s after the cut healed")
    assert there.read_text() == "during the cut\n"
    status = json.loads(laptop.rigstack("sync", "--status", "--json").stdout)["syncs"]
    assert status[0]["folder"] == str(laptop.path("work"))
    assert "sent" in laptop.rigstack("sync", "demo", "--log").stdout
    assert "stopped" in laptop.rigstack("sync", "--stop").stdout
    assert laptop.rigstack("sync").stdout == "no syncs\n"


def test_both_ways_and_a_conflict_loses_nothing(laptop: Laptop, rig: LiveRig) -> None:
    refused = laptop.rigstack("sync", "demo", "both", "--two-way", "--once")
    assert refused.returncode == 2
    laptop.path("both").mkdir()
    refused = laptop.rigstack("sync", "demo", "both", "--two-way", "--once")
    assert refused.returncode == 3
    assert "apt.txt" in refused.stderr
    (rig.code() / "apt.txt").write_text("unison\n")
    rig.up("--yes")
    laptop.path("both/mine.py").write_text("mine\n")
    wait_for("the new workspace answers", lambda: laptop.run("ssh", "box-demo.direct", "true").returncode == 0)
    done = laptop.rigstack("sync", "demo", "both", "--two-way", "--once")
    assert done.returncode == 0, done.stderr
    assert (rig.code() / "mine.py").read_text() == "mine\n"
    assert laptop.path("both/cell.py").read_text() == "laptop again\n"
    assert not laptop.path("both/.git").exists()
    # The same files changed on both sides: one later on the rig, one later on the laptop.
    for name in ("mine.py", ".env"):
        laptop.path(f"both/{name}").write_text("from the laptop\n")
        (rig.code() / name).write_text("from the rig\n")
    later = time.time() + 10
    os.utime(rig.code() / "mine.py", (later, later))
    os.utime(laptop.path("both/.env"), (later, later))
    done = laptop.rigstack("sync", "demo", "both", "--two-way")
    assert done.returncode == 0, done.stderr
    try:
        here = {path.name: path.read_text() for path in laptop.path("both").iterdir() if path.is_file()}
        there = {path.name: path.read_text() for path in rig.code().iterdir() if path.is_file()}
        assert here == there
        assert (here["mine.py"], here[".env"]) == ("from the rig\n", "from the laptop\n")
        machine = laptop.run("hostname", "-s").stdout.strip()
        kept = {name.rsplit("-", 4)[0]: text for name, text in here.items() if "conflict" in name}
        assert kept == {f"mine.conflict-{machine}": "from the laptop\n", ".env.conflict-box": "from the rig\n"}
        assert "mine.py was changed on both sides: the newer one is in place, the other is mine.c" in done.stderr
        # Watching, both directions.
        (rig.code() / "made-there.txt").write_text("there\n")
        wait_for("it is here", lambda: laptop.path("both/made-there.txt").exists(), timeout=30)
        laptop.path("both/made-here.txt").write_text("here\n")
        wait_for("it is there", lambda: (rig.code() / "made-here.txt").exists(), timeout=30)
        status = json.loads(laptop.rigstack("sync", "--status", "--json").stdout)["syncs"][0]
        assert "made-here.txt" in status["last"]
    finally:
        laptop.rigstack("sync", "--stop")


def test_both_ways_what_git_ignores_stays_on_its_side(laptop: Laptop, rig: LiveRig) -> None:
    git(laptop, "both", "init", "-q")
    laptop.path("both/.gitignore").write_text("*.ckpt\n")
    (rig.code() / "made-by-training.ckpt").write_text("10 GB")
    laptop.path("both/.rigignore").write_text("scratch\n")
    laptop.path("both/scratch").write_text("")
    assert laptop.rigstack("sync", "demo", "both", "--two-way", "--once").returncode == 0
    assert not laptop.path("both/made-by-training.ckpt").exists()
    assert not (rig.code() / "scratch").exists()


def test_both_ways_deletes_only_when_told_and_never_too_much(laptop: Laptop, rig: LiveRig) -> None:
    both = ("sync", "demo", "both", "--two-way", "--once")
    for number in range(6):
        laptop.path(f"both/many/{number}.txt").parent.mkdir(exist_ok=True)
        laptop.path(f"both/many/{number}.txt").write_text("x")
    (rig.code() / "there.txt").write_text("x")
    assert laptop.rigstack(*both).returncode == 0
    shutil.rmtree(laptop.path("both/many"))
    (rig.code() / "there.txt").unlink()
    kept = laptop.rigstack(*both)
    assert kept.returncode == 0
    assert "many was deleted on one side and stays on the other" in kept.stderr
    assert len(list((rig.code() / "many").iterdir())) == 6
    refused = laptop.rigstack(*both, "--delete", "--limit", "6")
    assert refused.returncode == 8
    assert "7 files would be deleted, more than the limit of 6; none was" in refused.stderr
    assert len(list((rig.code() / "many").iterdir())) == 6
    assert laptop.path("both/there.txt").exists()
    done = laptop.rigstack(*both, "--delete", "--limit", "7")
    assert done.returncode == 0, done.stderr
    assert not (rig.code() / "many").exists()
    assert not laptop.path("both/there.txt").exists()
