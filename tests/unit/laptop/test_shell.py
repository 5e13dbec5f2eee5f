"""Command lines of the laptop, as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_rigs import a_connection

from rigstack.laptop.home import LaptopHome
from rigstack.laptop.reach import workspace_argv
from rigstack.laptop.rigs import ensure_connected, find_project
from rigstack.laptop.shell import command_argv, login_argv, tmux_argv
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
