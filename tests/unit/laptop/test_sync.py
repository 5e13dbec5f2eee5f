"""Sync: its command line, what it looks at, and what git ignores."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import pytest
from test_rigs import a_connection

from rigstack import process
from rigstack.errors import ConfigError
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import ensure_connected, find_project
from rigstack.laptop.sync import Sync, check, rsync_argv
from rigstack.laptop.sync_git import head_of, ignored_paths, would_ignore
from rigstack.laptop.two_way import unison_argv
from rigstack.laptop.watch import Watch, counts, look


@pytest.fixture
def job(tmp_path: Path) -> Sync:
    home = LaptopHome(path=tmp_path, ssh_path=tmp_path)
    ensure_connected(home, a_connection())
    (tmp_path / "work").mkdir()
    return Sync(target=find_project(home, "demo"), folder=tmp_path / "work")


def test_the_command(job: Sync, tmp_path: Path) -> None:
    home = LaptopHome(path=Path("/home/me"), ssh_path=Path("/home/me"))
    argv = rsync_argv(home, job, Path("/ignored"))
    assert argv[-2:] == (f"{tmp_path}/work/", "box-demo.direct:/code/demo/")
    assert "--update" in argv
    assert "--exclude=.git" in argv
    assert not [word for word in argv if "delete" in word]
    assert "ControlPath=~/.ssh/rigstack/s%C" in argv[argv.index("-e") + 1]
    all_of_it = rsync_argv(home, job.replace(delete=True, overwrite=True, limit=7), Path("/ignored"))
    assert "--max-delete=7" in all_of_it
    assert "--update" not in all_of_it


def test_both_ways(job: Sync) -> None:
    home = LaptopHome(path=Path("/home/me"), ssh_path=Path("/home/me"))
    (job.folder / ".rigignore").write_text("# mine\nnotes\n/data/big/\n*.log\n!keep.log\n")
    argv = unison_argv(home, job, ("odd[1].log", "out/"))
    assert argv[:3] == ("unison", str(job.folder), "ssh://box-demo.direct//code/demo")
    assert not {"-prefer", "-copyonconflict"} & set(argv), "a conflict would be settled before it is seen"
    assert argv.count("-nodeletion") == 2
    ignored = [word for before, word in itertools.pairwise(argv) if before == "-ignore"]
    assert {"Name .git", "Path odd\\[1\\].log", "Path out"} <= set(ignored)
    assert ignored[-3:] == ["Name notes", "Path data/big", "Name *.log"]
    settling = unison_argv(home, job, (), only=("a b",), newer=True, keep=True)
    assert "-copyonconflict" in settling and settling[settling.index("-prefer") + 1] == "newer"
    assert settling.count("-nodeletion") == 2
    deleting = unison_argv(home, job, (), only=("a b", "c"), delete=True)
    assert "-nodeletion" not in deleting
    assert [word for before, word in itertools.pairwise(deleting) if before == "-path"] == ["a b", "c"]


def test_an_empty_folder_never_deletes_all(job: Sync) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        check(job.replace(delete=True))
    with pytest.raises(ConfigError, match="no folder"):
        check(job.replace(folder=job.folder / "nope"))


def test_the_home_folder_is_no_checkout(job: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(job.folder / "me"))
    for holds in (job.folder, job.folder / "me"):
        holds.mkdir(exist_ok=True)
        with pytest.raises(ConfigError, match="is your home folder or holds it"):
            check(job.replace(folder=holds))
    (job.folder / "me/work").mkdir()
    check(job.replace(folder=job.folder / "me/work"))


def test_looking_sees_each_change_that_counts(job: Sync) -> None:
    folder = job.folder
    (folder / "a").write_text("1")
    before = look(folder)
    assert look(folder) == before
    (folder / ".venv").mkdir()
    (folder / ".venv/x").write_text("")
    with_folder = look(folder)
    (folder / ".venv/y").write_text("")
    assert look(folder) == with_folder == before
    for change in (
        lambda: (folder / "a").write_text("22"),
        lambda: os.utime(folder / "a", (1, 1)),
        lambda: (folder / "a").chmod(0o755),
        lambda: (folder / "sub").mkdir(),
        lambda: (folder / "sub/b").write_text(""),
        lambda: (folder / "sub/b").rename(folder / "sub/c"),
        lambda: (folder / "sub/c").unlink(),
    ):
        change()
        now = look(folder)
        assert now != before
        before = now


def test_what_is_no_change() -> None:
    ignored = frozenset({"runs/", "big.ckpt"})
    for path in ("train.py", "src/train.py", ".git/HEAD", ".git/refs/heads/main", "runs.py"):
        assert counts(PurePath(path), ignored), path
    for path in (".venv/x", "src/__pycache__/a.pyc", ".git/index", "runs/1/log.txt", "runs", "big.ckpt"):
        assert not counts(PurePath(path), ignored), path


@pytest.mark.parametrize("events", [True, False])
def test_a_change_wakes_the_watch(job: Sync, monkeypatch: pytest.MonkeyPatch, events: bool) -> None:
    """By the system's own events, and by looking where it has no room for more of them."""
    if not events:

        def no_room(*_: object, **__: object) -> object:
            raise OSError(28, "inotify watch limit reached")

        monkeypatch.setattr("watchfiles.watch", no_room)
    watch = Watch(job.folder)
    changes = watch.changes()
    next(changes)
    with ThreadPoolExecutor() as pool:
        woken = pool.submit(next, changes)
        number = 0
        while not woken.done():  # the watch begins with the first wait
            number += 1
            (job.folder / "saved.py").write_text(str(number))
            time.sleep(0.05)
        woken.result()
        assert number > 0


@pytest.mark.parametrize("repository", [True, False])
def test_the_rig_s_own_files_are_judged_by_the_same_rules(job: Sync, repository: bool) -> None:
    assert would_ignore(job.folder, ("a.log",)) == ()
    if repository:
        assert process.run(("git", "init", "-q", str(job.folder))).ok
    (job.folder / ".gitignore").write_text("*.ckpt\n!keep.ckpt\n/runs/\n")
    there = ("runs/", "runs/1/", "runs/1/a.txt", "keep.ckpt", "big.ckpt", "src/", "src/x.ckpt", "src/x.py")
    assert would_ignore(job.folder, there) == ("runs/", "big.ckpt", "src/x.ckpt")


def test_git_itself_says_what_is_ignored(job: Sync) -> None:
    assert ignored_paths(job.folder) == ()
    assert process.run(("git", "init", "-q", "-b", "main", str(job.folder))).ok
    (job.folder / ".gitignore").write_text("*.log\n!keep.log\nout/\n")
    for name in ("a.log", "keep.log", "b.py"):
        (job.folder / name).write_text("")
    (job.folder / "out").mkdir()
    (job.folder / "out/x").write_text("")
    assert set(ignored_paths(job.folder)) == {"a.log", "out/"}
    assert head_of(job.folder) == "ref: refs/heads/main"
    shutil.rmtree(job.folder / ".git")
    assert set(ignored_paths(job.folder)) == {"a.log", "out/"}, "the rules hold before `git init`, too"
