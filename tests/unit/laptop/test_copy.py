"""What `rigstack cp` runs, and what it takes away that broken copies left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_rigs import a_connection

from rigstack import process
from rigstack.errors import ConfigError, HostError
from rigstack.laptop.bulk import big_files, pour
from rigstack.laptop.copy import (
    PARTIAL,
    Copy,
    clean_command,
    clean_here,
    copy_argv,
    look_command,
    read_copy,
    ready_argv,
    there,
)
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import ensure_connected, find_project


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LaptopHome:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    home = LaptopHome(path=tmp_path, ssh_path=tmp_path)
    ensure_connected(home, a_connection())
    return home


def words(home: LaptopHome, *paths: str) -> tuple[str, ...]:
    return read_copy(home, paths).words()


def test_copies(home: LaptopHome, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.csv", "-b"):
        (home.path / name).write_text("")
    copy = read_copy(home, ("a.csv", "-b", "demo:data/"))
    assert copy.words() == ("a.csv", "-b", "box-demo:/code/demo/data/")
    argv = copy_argv(home, copy)
    assert argv[0] == "rsync" and "--dry-run" not in argv
    assert argv[-6:] == ("-e", "ssh", "--", *copy.words())
    assert "--dry-run" in copy_argv(home, copy, dry_run=True)
    assert copy_argv(home, copy, far=True)[-5].endswith("/programs/lanes.py box-demo.direct box-demo ssh")
    assert words(home, "demo:/data/x", "demo:y", ".") == ("box-demo:/data/x", "box-demo:/code/demo/y", ".")
    assert words(home, "box-demo:~/x", ".") == ("box-demo:~/x", ".")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert copy_argv(home, copy) == ("scp", "-rp", "--", *copy.words())
    with pytest.raises(HostError, match="scp cannot say"):
        copy_argv(home, copy, dry_run=True)


@pytest.mark.parametrize(
    "paths", [("a", "b"), ("demo:a", "demo:b"), ("demo:a", "b", "c"), ("a", "demo:b", "c"), ("missing", "demo:b")]
)
def test_copies_that_are_none(home: LaptopHome, paths: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        read_copy(home, paths)


def test_a_local_file_with_a_colon_is_a_local_file(home: LaptopHome) -> None:
    (home.path / "demo:x").write_text("")
    assert words(home, "demo:x", "demo:y") == ("demo:x", "box-demo:/code/demo/y")


# What programs called rsync say of themselves on macOS, shortened: openrsync of 15.0 to 15.3 and of 15.4 (the synopses
# of their manual pages), and the rsync 2.6.9 of before.
OPENRSYNC = "usage: openrsync [-0468BCDEFHILOPRSTWVabcdghklnopqrtuvxy] [-e program] [--numeric-ids] [--partial] {}"
OLD = " -P                          same as --partial --progress\n     --partial-dir=DIR       put a partially ..."


@pytest.mark.parametrize(
    ("told", "takes"),
    [(OPENRSYNC.format("[--port=service]"), False), (OPENRSYNC.format("[--partial-dir=DIR]"), True), (OLD, True)],
)
def test_an_rsync_of_macos_gets_what_it_understands(
    home: LaptopHome, monkeypatch: pytest.MonkeyPatch, told: str, takes: bool
) -> None:
    def run(given: tuple[str, ...], **_: object) -> process.Completed:
        assert given == ("rsync", "--help")
        return process.Completed(argv=given, status=1, stdout="", stderr=told)

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(process, "run", run)
    argv = copy_argv(home, read_copy(home, ("demo:x", ".")))
    assert ("--partial-dir=.rigstack-partial" in argv) is takes
    assert "--partial" not in argv, "half a file would have the whole one's name"


def test_what_nobody_went_on_with_is_taken_away(home: LaptopHome, tmp_path: Path) -> None:
    """Here by Python and on the rig by a shell: the same files."""
    copy = Copy(target=find_project(home, "demo"), sources=("here/set",), sink=f"{tmp_path}/to/a b", there=True)
    assert ready_argv(home, copy)[-1].endswith("; exec cat")
    assert ready_argv(home, copy.replace(there=False))[-1].startswith("stat ")
    old = [f"to/.rigstack-partial/{name}" for name in ("x", "y")]
    old += ["to/a b/.rigstack-partial/z", "to/a b/set/deep/.rigstack-partial/w"]
    young = ["to/a b/set/.rigstack-partial/v", "to/a b/other/.rigstack-partial/not-of-this", "to/a b/set/old.txt"]

    def by_shell() -> None:
        subprocess.run(["sh", "-c", clean_command(copy.folders())], check=False)

    for clean in (by_shell, lambda: clean_here(copy.folders())):
        for name in old + young:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half")
            if name not in young[:1]:
                os.utime(path, (time.time() - 8 * 86400,) * 2)
        clean()
        assert sorted(
            str(one.relative_to(tmp_path)) for one in (tmp_path / "to").rglob("*") if one.is_file()
        ) == sorted(young)
        assert not (tmp_path / "to/.rigstack-partial").exists()


@pytest.fixture
def one_machine(home: LaptopHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder "rig" is what is afar: a script stands for ssh and starts a shell here."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n')
    (tmp_path / "bin/ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr("rigstack.laptop.bulk.BIG", 1000)
    (tmp_path / "rig").mkdir()
    return tmp_path / "rig"


def poured(home: LaptopHome, sources: tuple[str, ...], sink: str, *, there: bool, more: int = 0) -> list[str]:
    """Pours what is big of these; the names. more: bytes that are expected beside those that come."""
    copy = Copy(target=find_project(home, "demo"), sources=sources, sink=sink, there=there)
    seen = subprocess.run(["sh", "-c", look_command(copy)], capture_output=True, text=True).stdout
    found = big_files(copy, "" if there else seen)
    for one in found:
        pour(home, copy, one.replace(size=one.size + more), far=False, tell=None)
    return [one.path for one in found]


@pytest.mark.parametrize("there", [True, False])
def test_a_big_new_file_goes_as_a_plain_stream(home: LaptopHome, one_machine: Path, there: bool) -> None:
    """Both ways, to every kind of place; size and time are right, so that rsync has nothing left to copy."""
    (home.path / "a b.bin").write_bytes(b"x" * 5000)
    os.utime(home.path / "a b.bin", ns=(1, 1_000_000_000_123_456_789))
    (home.path / "small").write_text("left to rsync")
    (home.path / "link").symlink_to("a b.bin")
    source = str(home.path / "a b.bin")
    sources = (source, str(home.path / "small"), str(home.path / "link"))
    (one_machine / "old").mkdir()
    for sink, whole in (
        ("new/", "new/a b.bin"),
        ("old", "old/a b.bin"),
        ("name", "name"),
        ("several", "several/a b.bin"),
    ):
        named = sources if sink == "several" else (source,)
        assert poured(home, named, f"{one_machine}/{sink}", there=there) == [source]
        made = one_machine / whole
        assert made.read_bytes() == b"x" * 5000
        assert (made.stat().st_mtime_ns, made.stat().st_mode & 0o777) == (1_000_000_000_123_456_789, 0o600)
        assert not (made.parent / PARTIAL).exists()


@pytest.mark.parametrize("there", [True, False])
def test_what_is_there_in_part_or_as_another_is_left_to_rsync(home: LaptopHome, one_machine: Path, there: bool) -> None:
    source = str(home.path / "a.bin")
    Path(source).write_bytes(b"x" * 5000)
    part = one_machine / PARTIAL / "a.bin"
    poured(home, (source,), f"{one_machine}/", there=there, more=1)
    assert not (one_machine / "a.bin").exists(), "it has its name, and is not whole"
    assert part.read_bytes() == b"x" * 5000
    part.write_text("half")
    poured(home, (source,), f"{one_machine}/", there=there)
    assert [one.name for one in one_machine.iterdir()] == [PARTIAL] and part.read_text() == "half"
    shutil.rmtree(part.parent)
    (one_machine / "a.bin").write_text("another")
    poured(home, (source,), f"{one_machine}/", there=there)
    assert [(one.name, one.read_text()) for one in one_machine.iterdir()] == [("a.bin", "another")]


@pytest.mark.parametrize(
    ("path", "words"), [("~", "~"), ("~/", "~/"), ("~/a b", "~/'a b'"), ("/a b/~", "'/a b/~'"), ("~me/x", "'~me/x'")]
)
def test_paths_for_the_rig_s_shell(path: str, words: str) -> None:
    assert there(path) == words


def test_names_that_look_like_something_else(home: LaptopHome, one_machine: Path) -> None:
    target = find_project(home, "demo")
    copy = Copy(target=target, sources=("/x",), sink="y", there=False)
    seen = (
        "5000 1.000000000 directory regular file /x\n5000 1.000000000 regular file /r 1\nregular file\n7 regular file"
    )
    assert [one.path for one in big_files(copy, seen)] == ["/r 1"]
