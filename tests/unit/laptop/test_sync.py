"""Sync: its command line, what it looks at, and what git ignores."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from test_rigs import a_connection

from rigstack import process
from rigstack.errors import ConfigError
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import ensure_connected, find_project
from rigstack.laptop.sync import Sync, check, look, rsync_argv
from rigstack.laptop.sync_git import head_of, ignored_paths
from rigstack.laptop.two_way import unison_argv


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
    argv = unison_argv(home, job.target, Path("/work"), ("odd[1].log", "out/"), watch=True)
    assert argv[:3] == ("unison", "/work", "ssh://box-demo.direct//code/demo")
    assert argv[-2:] == ("-repeat", "2")
    assert "-copyonconflict" in argv
    assert argv.count("-nodeletion") == 2
    ignored = {word for before, word in itertools.pairwise(argv) if before == "-ignore"}
    assert {"Name .git", "Path odd\\[1\\].log", "Path out"} <= ignored


def test_an_empty_folder_never_deletes_all(job: Sync) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        check(job.replace(delete=True))
    with pytest.raises(ConfigError, match="no folder"):
        check(job.replace(folder=job.folder / "nope"))


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
