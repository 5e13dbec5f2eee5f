"""programs/lanes.py under the real rsync, on one machine: a script stands for ssh and starts a shell here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "programs/lanes.py"
SSH = """\
#!/bin/sh
# -o OPTION... HOST COMMAND
while [ "$1" = -o ]; do shift 2; done
echo "$1" >> "$0.calls"
shift
exec sh -c "$*"
"""


@pytest.fixture
def remote_shell(tmp_path: Path) -> list[str]:
    """As `rigstack cp` runs it from afar, with lanes that are made soon."""
    text = PROGRAM.read_text().replace("AFTER = 8 << 20 ", "AFTER = 8 << 10 ")
    assert text != PROGRAM.read_text()
    (tmp_path / "lanes.py").write_text(text)
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    return [sys.executable, "-IS", str(tmp_path / "lanes.py"), "more", "host", str(tmp_path / "ssh")]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_a_tree_goes_both_ways_over_several_connections(tmp_path: Path, remote_shell: list[str]) -> None:
    here = tmp_path / "here"
    (here / "many").mkdir(parents=True)
    for number in range(50):
        (here / f"many/{number}").write_bytes(os.urandom(number * 100))
    (here / "big").write_bytes(os.urandom(30_000_000))
    for source, sink in ((f"{here}/", f"host:{tmp_path}/there/"), (f"host:{tmp_path}/there/", f"{tmp_path}/back/")):
        done = subprocess.run(
            ["rsync", "-a", "-e", " ".join(remote_shell), source, sink], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "back") == tree(tmp_path / "there") == tree(here)
    calls = (tmp_path / "ssh.calls").read_text().split()
    assert calls.count("host") == 2 and calls.count("more") == 6


def test_the_command_s_status_and_words_come_through(tmp_path: Path, remote_shell: list[str]) -> None:
    done = subprocess.run([*remote_shell, "host", "echo", "'a  b'; wc -c; exit 7"], input="x" * 70000, **PIPED)
    assert (done.returncode, done.stdout.split("\n")[0], done.stdout.split()[-1]) == (7, "a  b", "70000")


PIPED = {"capture_output": True, "text": True, "timeout": 30}
