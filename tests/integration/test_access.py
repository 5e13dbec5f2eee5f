"""Who gets in and out: keys taken away with what is open, and the log of logins and of failed tries."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live_rig import LiveRig, docker, wait_for


@pytest.fixture(scope="module")
def visitor(rig: LiveRig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second key that may log in."""
    key = tmp_path_factory.mktemp("visitor") / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "visitor's laptop", "-f", str(key)], check=True
    )
    assert rig.run("key", "add", key.with_suffix(".pub").read_text()).returncode == 0
    return key


@pytest.fixture
def visitors_config(rig: LiveRig, visitor: Path) -> Path:
    config = visitor.with_name("config")
    config.write_text(rig.ssh_config.read_text().replace(str(rig.key), str(visitor)))
    return config


@pytest.fixture
def sessions(rig: LiveRig, visitors_config: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Who -> an open session in the workspace, through the gateway."""
    opened = {
        who: subprocess.Popen(
            ["ssh", "-F", str(config), "demo", "echo in; cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who, config in (("owner", rig.ssh_config), ("visitor", visitors_config))
    }
    try:
        for session in opened.values():
            assert session.stdout is not None and session.stdout.readline() == "in\n"
        yield opened
    finally:
        for session in opened.values():
            session.kill()
            session.communicate()


def access_log(rig: LiveRig, *words: str) -> dict[str, Any]:
    done = rig.run("access", "log", "--json", *words)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_removed_keys_sessions_end_and_no_others(
    rig: LiveRig, visitor: Path, visitors_config: Path, sessions: dict[str, subprocess.Popen[str]]
) -> None:
    before = [(one["where"], one["who"], one["open"]) for one in access_log(rig)["logins"] if one["open"]]
    wanted = {(where, who, True) for where in ("gateway", "workspace") for who in ("test laptop", "visitor's laptop")}
    assert set(before) == wanted

    done = rig.run("key", "remove", "visitor's laptop", "--disconnect")
    assert done.returncode == 0, done.stderr
    assert re.search("ended [12] open connections", done.stdout), done.stdout + done.stderr
    assert sessions["visitor"].wait(timeout=10) == 255
    owner = sessions["owner"]
    assert owner.stdin is not None and owner.stdout is not None
    owner.stdin.write("still here\n")
    owner.stdin.flush()
    assert owner.stdout.readline() == "still here\n"
    again = subprocess.run(["ssh", "-F", str(visitors_config), "demo", "true"], capture_output=True, text=True)
    assert again.returncode == 255 and "Permission denied" in again.stderr
    still = {(one["where"], one["who"] or one["fingerprint"]) for one in access_log(rig)["logins"] if one["open"]}
    assert still == {("gateway", "test laptop"), ("workspace", "test laptop")}
    assert rig.run("key", "remove", "test laptop", "--disconnect").returncode == 8, "the last key goes unasked"


def test_the_log_tells_who_where_and_how_long(rig: LiveRig, tmp_path: Path) -> None:
    assert rig.ssh("demo", "sleep 1").returncode == 0
    stranger = tmp_path / "k"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    for user in ("jump", "root"):
        argv = ["ssh", "-F", "none", "-p", str(rig.ssh_port), "-i", str(stranger), "-o", "IdentitiesOnly=yes"]
        argv += ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        assert subprocess.run([*argv, f"{user}@127.0.0.1"], capture_output=True).returncode == 255
    rig.curl("/p/demo/api?token=not-to-be-kept")
    rig.curl("/projects/?token=not-to-be-kept", "--user", "rig:wrong")
    assert (
        rig.curl("/projects/", "--user", f"rig:{rig.password}", "-o", "/dev/null", "-w", "%{http_code}").stdout == "200"
    )

    def ended() -> list[dict[str, Any]]:
        return [one for one in access_log(rig, "--project", "demo")["logins"] if one["seconds"]]

    wait_for("the session's end is written", lambda: len(ended()) > 0)
    login = ended()[-1]
    assert (login["where"], login["who"], login["project"]) == ("workspace", "test laptop", "demo")
    assert 1 <= login["seconds"] < 60 and login["seen"]
    jump = [one for one in access_log(rig)["logins"] if one["where"] == "gateway" and one["seconds"]][-1]
    assert login["address"] == jump["address"], "the workspace's login shows the gateway's address"
    listed = [one for one in access_log(rig)["logins"] if one["where"] == "list"]
    assert [one["who"] for one in listed] == ["password"]
    tries = {(one["where"], one["tries"]) for one in access_log(rig, "--failed")["failed"]}
    assert {("gateway", 3), ("list", 1)} <= tries, tries  # the visitor's last try is one of them
    page = rig.run("access", "log").stdout
    assert "test laptop" in page and "FAILED" in page
    assert access_log(rig, "--since", "1s", "--project", "demo")["logins"] == []


def test_the_journals_are_private_outlive_containers_and_hold_no_secret(rig: LiveRig) -> None:
    folder = rig.path / "state/access"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"logins", "failed", "web"}
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}
    assert {oct(one.stat().st_mode & 0o777) for one in folder.iterdir()} == {"0o700"}
    for path in files:
        text = path.read_text()
        assert rig.password not in text and "not-to-be-kept" not in text and "Authorization" not in text
    before = len(access_log(rig)["logins"])
    docker("restart", "--time=2", rig.containers()["gateway"])
    wait_for("the gateway is back", lambda: rig.ssh("gateway").returncode == 0)
    assert len(access_log(rig)["logins"]) > before
