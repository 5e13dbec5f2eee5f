"""What is kept up in the background: it comes back when it ends, is found again, and is gone after stop."""

from __future__ import annotations

import os
import plistlib
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from rigstack.errors import HostError
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.kept import Kept, last_lines, list_kept, start_kept, stop_kept
from rigstack.laptop.login import in_a_cache
from rigstack.laptop.tunnel import is_free, pick_port


@pytest.fixture
def home(tmp_path: Path) -> LaptopHome:
    return LaptopHome(path=tmp_path, ssh_path=tmp_path)


def until(true: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kept(home: LaptopHome, *argv: str) -> Kept:
    return start_kept(home, Kept(kind="tunnel", id="t", alias="box-demo", about={"remote": "1"}, argv=argv))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_it_is_started_again_and_again(home: LaptopHome) -> None:
    one = kept(home, "/bin/sh", "-c", f"echo run >> {home.path}/runs; exit 3")
    try:
        until(lambda: (home.path / "runs").exists() and len((home.path / "runs").read_text().split()) >= 2)
        assert list_kept(home) == list_kept(home, "tunnel") == (one,)
        assert list_kept(home, "sync") == ()
        assert any("ended with status 3" in line for line in last_lines(home, one))
        with pytest.raises(HostError, match="runs already"):
            kept(home, "true")
    finally:
        stop_kept(home, one)
    assert list_kept(home) == ()
    assert not (home.folder / "kept").exists()
    assert not alive(one.pid)


def test_stop_ends_what_it_started(home: LaptopHome) -> None:
    one = kept(home, "/bin/sh", "-c", f"echo $$ > {home.path}/child; exec sleep 300")
    until(lambda: (home.path / "child").exists() and (home.path / "child").read_text().strip())
    child = int((home.path / "child").read_text())
    stop_kept(home, one)
    until(lambda: not alive(child))


def test_what_died_is_started_again(home: LaptopHome) -> None:
    """All its processes are gone, as after a restart of the laptop."""
    one = kept(home, "sleep", "300")
    try:
        os.killpg(one.pid, signal.SIGKILL)
        # Its child holds the lock, too, and may be a moment longer in dying.
        until(lambda: list_kept(home)[0].pid != one.pid)
        (again,) = list_kept(home)
        assert (again.argv, again.about) == (one.argv, one.about)
        assert alive(again.pid)
        assert list_kept(home) == (again,)
    finally:
        for each in list_kept(home):
            stop_kept(home, each)
    assert list_kept(home) == ()


def test_a_rigstack_that_is_gone_is_replaced_by_this_one(home: LaptopHome, tmp_path: Path) -> None:
    """As when the cache that uvx put it into was emptied: the loop lives, and what it starts is not there."""
    (tmp_path / "old").symlink_to(sys.executable)
    code = f"open({str(tmp_path / 'ran')!r}, 'a').write('x'); import time; time.sleep(300)"
    one = kept(home, str(tmp_path / "old"), "-c", code)
    try:
        until((tmp_path / "ran").exists)
        assert list_kept(home) == (one,)
        (tmp_path / "old").unlink()
        (again,) = list_kept(home)
        assert again.argv == (sys.executable, "-c", code) and again.pid != one.pid
        until(lambda: (tmp_path / "ran").read_text() == "xx")
        assert not alive(one.pid)
        assert list_kept(home) == (again,)
    finally:
        for each in list_kept(home):
            stop_kept(home, each)


def test_a_cache_is_no_place_to_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_a_cache("/home/anna/.cache/uv/archive-v0/MQE5kudOnvoJgo7j")  # what `uvx rigstack` has for sys.prefix
    assert in_a_cache("/Users/anna/Library/Caches/pipx/a1b2")
    assert not in_a_cache("/home/anna/.local/share/uv/tools/rigstack")
    assert not in_a_cache("/srv/uv/archive-v0/a")
    monkeypatch.setenv("UV_CACHE_DIR", "/srv/uv")
    assert in_a_cache("/srv/uv/archive-v0/a")


def test_at_login_it_comes_back_while_something_is_kept(home: LaptopHome) -> None:
    units = home.path / ".config/systemd/user"
    units.mkdir(parents=True)  # this machine has systemd's user manager
    job = Kept(kind="sync", id="a", alias="box-demo", about={}, argv=("sleep", "300"))
    one, other = start_kept(home, job), start_kept(home, job.replace(id="b"))
    unit = units / "rigstack-kept.service"
    assert f'ExecStart="{sys.executable}" "-m" "rigstack" "tunnel" "--list"' in unit.read_text()
    assert (units / "default.target.wants/rigstack-kept.service").readlink() == unit
    stop_kept(home, one)
    assert unit.exists()
    stop_kept(home, other)
    assert list(units.iterdir()) == []


def test_on_macos_launchd_brings_it_back(home: LaptopHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    one = kept(home, "sleep", "300")
    agent = home.path / "Library/LaunchAgents/rigstack.kept.plist"
    told = plistlib.loads(agent.read_bytes())
    stop_kept(home, one)
    assert told["ProgramArguments"] == [sys.executable, "-m", "rigstack", "tunnel", "--list"]
    assert told["RunAtLoad"] is told["AbandonProcessGroup"] is True
    assert not agent.exists()


def test_ports() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert pick_port(port) > port
    assert is_free(port)
    assert pick_port(port) == port
    assert pick_port(80) >= 10080
