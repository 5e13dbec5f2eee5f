"""`rigstack init`: writes a rig that is valid, never over another one, and makes nothing before it has checked."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import command
import pytest
from builders import ALICE, BOB

from rigstack.config.load import load_rig
from rigstack.process import Completed


def init(home: Path, *words: str) -> Completed:
    return command.rigstack("init", *words, cwd=home, env={"HOME": str(home), "DOCKER_HOST": "unix:///nonexistent"})


def test_it_makes_a_rig_in_the_home(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519.pub").write_text(ALICE + "\n")
    (tmp_path / ".ssh/known_hosts.pub").write_text("box ssh-ed25519 AAAA\n")
    done = init(tmp_path, "--yes", "--name", "box")
    assert done.status == 0, done.stderr
    assert done.stdout == f"made {tmp_path}/rig/rig.toml\n"
    rig = load_rig(tmp_path / "rig")
    assert (rig.name, rig.hostname, rig.access.authorized_keys) == ("box", "", (ALICE,))
    assert [project.name for project in rig.projects] == ["demo"]
    assert sorted(one.name for one in (tmp_path / "rig").iterdir()) == ["code", "data", "homes", "rig.toml"]
    assert (tmp_path / "rig/code/demo/requirements.txt").read_text() == "matplotlib\nnumpy\n"
    owners = {one.lstat().st_uid for one in (tmp_path / "rig").rglob("*")}
    assert 0 not in owners
    assert len(owners) == 1
    assert stat.S_IMODE((tmp_path / "rig/rig.toml").stat().st_mode) == 0o644
    assert os.access(tmp_path / "rig/code/demo", os.R_OK)


def test_flags(tmp_path: Path) -> None:
    words = ("--name", "big", "--hostname", "rig.example.net", "--key", "github:alice", "--key", BOB)
    done = init(tmp_path, "--yes", *words, "--project", "cifar", "--project", "mnist", "--project", "cifar", "there")
    assert done.status == 0, done.stderr
    rig = load_rig(tmp_path / "there")
    assert (rig.name, rig.hostname, rig.access.authorized_keys) == ("big", "rig.example.net", ("github:alice", BOB))
    assert [project.name for project in rig.projects] == ["cifar", "mnist"]
    assert list((tmp_path / "there/code/cifar").iterdir()) == []


def test_without_a_key_it_says_so(tmp_path: Path) -> None:
    done = init(tmp_path, "--yes")
    assert done.status == 0
    assert "warning: no key may log in yet" in done.stderr


def test_it_never_overwrites_one(tmp_path: Path) -> None:
    (tmp_path / "rig.toml").write_text("mine")
    done = init(tmp_path, "--yes", ".")
    assert done.status == 2
    assert "init never overwrites one" in done.stderr
    assert (tmp_path / "rig.toml").read_text() == "mine"


def test_it_keeps_what_is_there_already(tmp_path: Path) -> None:
    (tmp_path / "rig/code/demo").mkdir(parents=True)
    (tmp_path / "rig/code/demo/requirements.txt").write_text("torch\n")
    assert init(tmp_path, "--yes").status == 0
    assert (tmp_path / "rig/code/demo/requirements.txt").read_text() == "torch\n"
    assert not (tmp_path / "rig/code/demo/README.md").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--name", "Big Box"), "rig.name: 'Big Box'"),
        (("--hostname", "https://rig.example.net"), "rig.hostname: 'https://rig.example.net'"),
        (("--key", "me"), "access.authorized_keys:"),
        (("--project", "edge"), "--project 'edge' is not right; expected a name other than"),
        (("--project", "x y"), "--project 'x y' is not right"),
        (("--project", "x]\n[rig"), "--project 'x]\\n[rig' is not right"),
        (("--project", ""), "--project '' is not right"),
    ],
)
def test_what_is_not_right_makes_nothing(tmp_path: Path, words: tuple[str, ...], part: str) -> None:
    done = init(tmp_path, "--yes", *words)
    assert done.status == 2, done.stderr
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = init(tmp_path, "--yes", "file/rig")
    assert done.status == 3
    assert "cannot make the folder" in done.stderr
