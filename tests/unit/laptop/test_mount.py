"""Mounts: the command, the guard of the folder beneath, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_rigs import a_connection

from rigstack.errors import ConfigError, HostError
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.mount import (
    _plain,
    advice,
    close_folder,
    ensure_mounted,
    open_folder,
    ready_folder,
    sshfs_argv,
    unmount_argv,
)
from rigstack.laptop.rigs import ensure_connected, find_project


@pytest.fixture
def home(tmp_path: Path) -> LaptopHome:
    home = LaptopHome(path=tmp_path, ssh_path=tmp_path)
    ensure_connected(home, a_connection())
    return home


def test_the_command_survives_cuts(home: LaptopHome) -> None:
    argv = sshfs_argv(home, find_project(home, "demo"), "/code/demo", Path("/m"))
    assert argv[-2:] == ("box-demo.direct:/code/demo", "/m")
    options = argv[2].split(",")
    assert {"reconnect", "ServerAliveInterval=5", "ServerAliveCountMax=3"} <= set(options)
    assert not any(one.startswith("ssh_command") for one in options)


def test_unmount() -> None:
    assert unmount_argv(Path("/m"), force=False)[1:] == ("-u", "/m")
    assert unmount_argv(Path("/m"), force=True)[1:] == ("-u", "-z", "/m")


def test_the_folder_beneath_takes_no_file(tmp_path: Path) -> None:
    point = tmp_path / "a" / "mount"
    for _ in range(2):  # the laptop was switched off while it was mounted
        with ready_folder(point) as beneath:
            close_folder(beneath, point)
    assert point.stat().st_mode & 0o777 == 0
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            (point / "file").write_text("lost")
    open_folder(point)
    assert not point.exists()


def test_a_file_that_came_while_it_was_being_mounted_stays(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not empty"), ready_folder(tmp_path / "mount") as beneath:
        (tmp_path / "mount/file").write_text("mine")
        close_folder(beneath, tmp_path / "mount")
    assert (tmp_path / "mount/file").read_text() == "mine"


def test_what_could_not_be_mounted_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ready_folder(tmp_path / "mount"):
        raise KeyboardInterrupt
    assert not (tmp_path / "mount").exists()


def test_the_folder_of_all_mounts_goes_with_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    one, other = tmp_path / "rigs/box-a", tmp_path / "rigs/box-b"
    for point in (one, other):
        with ready_folder(point) as beneath:
            close_folder(beneath, point)
    open_folder(one)
    assert other.exists() and not one.exists()
    open_folder(other)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_not_hidden(home: LaptopHome) -> None:
    (home.path / "full").mkdir()
    (home.path / "full/file").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        ensure_mounted(home, find_project(home, "demo"), "/code/demo", home.path / "full")
    assert (home.path / "full/file").read_text() == "mine"


def test_without_sshfs_there_is_advice(home: LaptopHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(HostError) as caught:
        ensure_mounted(home, find_project(home, "demo"), "/code/demo", home.path / "m")
    assert "sshfs" in caught.value.remedy
    assert not (home.path / "m").exists()
    monkeypatch.setattr("sys.platform", "darwin")
    assert "macFUSE" in advice()
    assert "rclone" in advice()


def test_mounts_with_blanks() -> None:
    assert _plain("/my\\040rig\\134x") == "/my rig\\x"
