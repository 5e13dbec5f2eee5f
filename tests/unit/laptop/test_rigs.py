"""Connected rigs on disk: files, the Include line through links and modes, and undo."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from builders import a_host, a_rig

from rigstack.errors import ConfigError
from rigstack.laptop.home import LONGEST_CONTROL_PATH, LaptopHome, laptop_home
from rigstack.laptop.rigs import (
    ensure_connected,
    ensure_disconnected,
    find_connection,
    find_project,
    load_connections,
)
from rigstack.plan.remote import Connection, parse_description
from rigstack.render.description import render_description

TOML = "[rig]\nname='{0}'\nhostname='{0}.example.net'\n[projects.demo]\n[projects.{0}only]\n"


def a_connection(name: str = "box") -> Connection:
    rig = a_rig(TOML.format(name))
    return Connection(
        name=name,
        host=f"{name}.example.net",
        port=22222,
        jump="",
        identity="",
        rig=parse_description(render_description(rig, a_host(rig))),
        gone=("old",),
        refreshed="2026-11-20T12:00:00Z",
    )


@pytest.fixture
def home(tmp_path: Path) -> LaptopHome:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    return LaptopHome(path=tmp_path, ssh_path=tmp_path)


def everything(home: LaptopHome) -> dict[str, bytes]:
    return {str(path.relative_to(home.path)): path.read_bytes() for path in home.path.rglob("*") if path.is_file()}


def test_connect_and_disconnect_leave_nothing(home: LaptopHome) -> None:
    changed = ensure_connected(home, a_connection())
    assert home.config in changed
    assert "Include ~/.ssh/rigstack/*.conf\n" in home.config.read_text()
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.folder.iterdir()} == {0o600}
    assert load_connections(home) == (a_connection(),)
    assert ensure_connected(home, a_connection()) == ()
    ensure_disconnected(home, a_connection())
    assert everything(home) == {}
    assert not home.folder.exists()


def test_the_person_s_own_configuration_comes_back(home: LaptopHome) -> None:
    own = b"Host work\r\n  User me\r\n"
    home.config.write_bytes(own)
    home.config.chmod(0o644)
    ensure_connected(home, a_connection())
    assert home.backup.read_bytes() == own
    assert stat.S_IMODE(home.config.stat().st_mode) == 0o644
    ensure_connected(home, a_connection("hut"))
    ensure_disconnected(home, a_connection())
    assert home.config.read_bytes() != own
    ensure_disconnected(home, a_connection("hut"))
    assert everything(home) == {".ssh/config": own}
    assert stat.S_IMODE(home.config.stat().st_mode) == 0o644


def test_an_empty_configuration_stays_an_empty_one(home: LaptopHome) -> None:
    home.config.write_bytes(b"")
    ensure_connected(home, a_connection())
    ensure_disconnected(home, a_connection())
    assert everything(home) == {".ssh/config": b""}


def test_a_link_stays_a_link(home: LaptopHome) -> None:
    dotfiles = home.path / "dotfiles"
    dotfiles.mkdir()
    (dotfiles / "ssh_config").write_bytes(b"Host work\n")
    home.config.symlink_to("../dotfiles/ssh_config")
    ensure_connected(home, a_connection())
    assert home.config.is_symlink()
    assert (dotfiles / "ssh_config").read_bytes().endswith(b"Host work\n")
    ensure_disconnected(home, a_connection())
    assert home.config.is_symlink()
    assert (dotfiles / "ssh_config").read_bytes() == b"Host work\n"
    assert [path.name for path in dotfiles.iterdir()] == ["ssh_config"]


def test_projects_are_found_by_their_names(home: LaptopHome) -> None:
    with pytest.raises(ConfigError, match="not connected to any rig"):
        find_project(home, "demo")
    with pytest.raises(ConfigError, match="not connected to any rig"):
        find_connection(home, None)
    ensure_connected(home, a_connection())
    assert find_project(home, "demo").alias == find_project(home, "box-demo").alias == "box-demo"
    assert find_connection(home, None).name == "box"
    with pytest.raises(ConfigError, match="no connected rig has a project") as caught:
        find_project(home, "nope")
    assert "boxonly" in caught.value.remedy
    with pytest.raises(ConfigError, match="had no project old any more"):
        find_project(home, "old")
    ensure_connected(home, a_connection("hut"))
    assert find_project(home, "hutonly").alias == "hut-hutonly"
    with pytest.raises(ConfigError, match="several rigs") as caught:
        find_project(home, "demo")
    assert "box-demo, hut-demo" in caught.value.remedy
    with pytest.raises(ConfigError, match="several rigs"):
        find_connection(home, None)
    assert find_connection(home, "hut").name == "hut"
    with pytest.raises(ConfigError, match='not connected to a rig "nix"'):
        find_connection(home, "nix")


def test_a_broken_file_says_connect_again(home: LaptopHome) -> None:
    ensure_connected(home, a_connection())
    (home.folder / "box.json").write_text(json.dumps({"name": "box"}))
    with pytest.raises(ConfigError) as caught:
        load_connections(home)
    assert "rigstack connect" in caught.value.remedy


def test_shared_connections_fit_into_a_socket_s_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    short, long = Path("/home/somebody"), Path("/home") / ("x" * 60)
    assert LaptopHome(path=short, ssh_path=short).places("box").control_path == "~/.ssh/rigstack/%C"
    assert LaptopHome(path=long, ssh_path=long).places("box").control_path == ""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    runtime = LaptopHome(path=long, ssh_path=long).places("box").control_path
    assert runtime == "/run/user/1000/%C"
    assert len(runtime.replace("%C", "x" * 40)) <= LONGEST_CONTROL_PATH


def test_another_home_than_ssh_s_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    home = laptop_home()
    assert home.path == tmp_path
    assert home.ssh_words() == ("-F", "none")
    ensure_connected(home, a_connection())
    assert home.ssh_words() == ("-F", str(tmp_path / ".ssh/config"))
    assert f"Include {tmp_path}/.ssh/rigstack/*.conf\n" in home.config.read_text()
