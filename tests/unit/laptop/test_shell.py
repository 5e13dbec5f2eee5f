"""Command lines of the laptop, as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_rigs import a_connection

from rigstack.errors import ConfigError
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.reach import workspace_argv
from rigstack.laptop.rigs import ensure_connected, find_project
from rigstack.laptop.shell import command_argv, copy_argv, login_argv, tmux_argv
from rigstack.laptop.tunnel import tunnel_argv


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LaptopHome:
    monkeypatch.chdir(tmp_path)
    home = LaptopHome(path=tmp_path, ssh_path=tmp_path)
    ensure_connected(home, a_connection())
    return home


def test_shells(home: LaptopHome) -> None:
    demo = find_project(home, "demo")
    assert command_argv(home, demo, ("ls | wc",)) == ("ssh", "box-demo", "cd /code/demo || exit\nls | wc")
    assert command_argv(home, demo, ("echo", "a b"))[-1].endswith("\necho 'a b'")
    assert login_argv(home, demo, terminal=True) == ("ssh", "-t", "box-demo")
    assert "tmux -u new-session -A -s main -c /code/demo" in tmux_argv(home, demo, "main")[-1]
    assert workspace_argv(home, demo.connection, demo.project)[-3:] == ("-W", "demo:22", "box-gateway")


def test_a_tunnel_has_a_connection_of_its_own(home: LaptopHome) -> None:
    argv = tunnel_argv(home, find_project(home, "demo").direct, 6006, 16006)
    assert argv[-3:] == ("-L", "127.0.0.1:16006:127.0.0.1:6006", "box-demo.direct")
    assert "-N" in argv


def test_copies(home: LaptopHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    for name in ("a.csv", "-b"):
        (home.path / name).write_text("")
    argv, target = copy_argv(home, ("a.csv", "-b", "demo:data/"))
    assert argv[0] == "rsync" and "--dry-run" not in argv
    assert "--dry-run" in copy_argv(home, ("a.csv", "demo:"), dry_run=True)[0]
    assert argv[-4:] == ("--", "a.csv", "-b", "box-demo:/code/demo/data/")
    assert argv[-5].endswith("/programs/lanes.py box-demo.direct box-demo ssh")
    assert target.alias == "box-demo"
    assert copy_argv(home, ("demo:/data/x", "."))[0][-2:] == ("box-demo:/data/x", ".")
    assert copy_argv(home, ("box-demo:~/x", "."))[0][-2:] == ("box-demo:~/x", ".")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert copy_argv(home, ("demo:x", "."))[0] == ("scp", "-rp", "--", "box-demo:/code/demo/x", ".")


@pytest.mark.parametrize(
    "paths", [("a", "b"), ("demo:a", "demo:b"), ("demo:a", "b", "c"), ("a", "demo:b", "c"), ("missing", "demo:b")]
)
def test_copies_that_are_none(home: LaptopHome, paths: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        copy_argv(home, paths)


def test_a_local_file_with_a_colon_is_a_local_file(home: LaptopHome) -> None:
    (home.path / "demo:x").write_text("")
    assert copy_argv(home, ("demo:x", "demo:y"))[0][-2:] == ("demo:x", "box-demo:/code/demo/y")
