"""How a conflict is read from unison's words, and what the version that gave way is called."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from rigstack.laptop.two_way_conflict import (
    find_command,
    is_copy,
    kept_name,
    look_here,
    new_names,
    parse_found,
    read_conflicts,
)

# unison 2.52.1's own.
TOLD = """
changed  <-?-> changed    .hid  
new file <-?-> new file   d/odd  [x] ü.py  
new dir  <-?-> new file   newd  
props    <-?-> props      perm  
changed  <-?-> deleted    t.tar.gz  
         <=?=> new file   dd  
new file ---->            plain  
"""


def test_conflicts_are_told_apart_by_what_there_is_to_keep() -> None:
    seen = read_conflicts(TOLD)
    assert seen.files == (".hid", "d/odd  [x] ü.py")
    assert seen.plain == ("perm", "t.tar.gz")
    assert seen.kinds == ("newd",)
    assert read_conflicts("").files == ()


@pytest.mark.parametrize(
    ("path", "of"),
    [
        ("d/mine (conflict_on_2026-11-21).py", "d/mine.py"),
        ("t.tar (conflict_on_2026-11-21).gz", "t.tar.gz"),
        (" (conflict_on_2026-11-21).hid", ".hid"),
        ("Makefile (conflict_on_2026-11-21)", "Makefile"),
    ],
)
def test_a_copy_of_unison_s_is_known_by_its_name(path: str, of: str) -> None:
    assert is_copy(path, of)


@pytest.mark.parametrize("path", ["mine.py", "other (conflict_on_2026).py", "e/mine (conflict_on_x).py", "min.py"])
def test_other_files_are_no_copies(path: str) -> None:
    assert not is_copy(path, "mine.py")
    assert not is_copy(path, "d/mine.py")


def test_the_name_says_whose_version_it_is_and_when_it_was_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert kept_name("src/train.py", "Anna's MBP", 1795273925) == "src/train.conflict-Anna-s-MBP-2026-11-21-151205.py"
    assert kept_name(".env", "box", 0) == ".env.conflict-box-1970-01-01-000000"
    assert kept_name("Makefile", "box", 0) == "Makefile.conflict-box-1970-01-01-000000"
    monkeypatch.undo()
    time.tzset()


def test_both_sides_are_looked_at_in_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("d/a (conflict_on_2026-11-21).py", "d/a.py", "b (conflict_on_2026-11-21)", "b", "conflict.txt"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (100, 100))
    files = ("d/a.py", "b", "gone/c")
    here = look_here(tmp_path, files)
    printed = subprocess.run(["sh", "-c", find_command(str(tmp_path), files)], capture_output=True, text=True).stdout
    assert sorted(parse_found(printed)) == sorted(here)
    names = new_names(here, files, "box")
    assert set(names) == {"d/a (conflict_on_2026-11-21).py", "b (conflict_on_2026-11-21)"}
