"""The laptop's ssh files: what is written, that real ssh reads it so, and that people's own bytes stay theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import a_host, a_rig
from golden import assert_golden
from hypothesis import given
from hypothesis import strategies as st

from rigstack import process
from rigstack.laptop.rigs import PORT_FREE
from rigstack.plan.remote import Connection, parse_description
from rigstack.render.description import render_description
from rigstack.render.ssh_config import (
    MARK,
    Places,
    add_include,
    local_ports,
    remove_include,
    render_known_hosts,
    render_ssh_config,
)

TOML = """[rig]
name = 'box'
hostname = 'rig.example.net'
[projects.demo]
ports = [6006, 80]
[projects.cifar]
ports = [6006, 6007]
"""
PLACES = Places(
    known_hosts="~/.ssh/rigstack/box.known_hosts",
    at_home="/home/me/.ssh/rigstack/at-home",
    port_free="/home/me/.ssh/rigstack/port-free",
    control_path="~/.ssh/rigstack/%C",
)


def a_connection(toml: str = TOML) -> Connection:
    rig = a_rig(toml)
    return Connection(
        name="box",
        host="rig.example.net",
        port=22222,
        jump="",
        identity="",
        rig=parse_description(render_description(rig, a_host(rig))),
        gone=("old",),
        refreshed="2026-11-20T12:00:00Z",
    )


def test_the_ssh_configuration() -> None:
    assert_golden("ssh-config.txt", render_ssh_config(a_connection(), PLACES))
    assert_golden("known-hosts.txt", render_known_hosts(a_connection()))


def test_through_a_jump_with_a_key_and_no_shared_connections() -> None:
    connection = a_connection().replace(jump="me@office", identity="/home/me/my keys/id", port=2222)
    text = render_ssh_config(connection, PLACES.replace(control_path="", known_hosts="/home/my self/k"))
    assert_golden("ssh-config-jump.txt", text)


def effective(tmp_path: Path, text: str, host: str) -> dict[str, str]:
    """What the real ssh makes of it: `ssh -G`."""
    config = tmp_path / "config"
    config.write_text(text)
    done = process.run(("ssh", "-F", str(config), "-G", host))
    assert done.ok, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_ssh_reads_it_as_meant(tmp_path: Path) -> None:
    (tmp_path / "port-free").write_text(PORT_FREE)
    text = render_ssh_config(a_connection(), PLACES.replace(port_free=str(tmp_path / "port-free")))
    demo = effective(tmp_path, text, "box-demo")
    assert (demo["hostname"], demo["user"], demo["port"]) == ("demo", "dev", "22")
    assert (demo["proxyjump"], demo["hostkeyalias"]) == ("box-gateway", "box-demo")
    assert demo["ciphers"].startswith("aes256-gcm@openssh.com,")
    assert demo["stricthostkeychecking"] == "true"
    assert demo["localforward"] == "[127.0.0.1]:10080 [127.0.0.1]:80"
    gateway = effective(tmp_path, text, "box-gateway")
    assert (gateway["hostname"], gateway["port"], gateway["user"]) == ("rig.example.net", "22222", "jump")
    assert gateway["controlmaster"] == "false"
    other = effective(tmp_path, text, "elsewhere")
    assert (other["hostname"], other["stricthostkeychecking"]) == ("elsewhere", "ask")


def test_a_project_that_is_gone_says_so(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(render_ssh_config(a_connection(), PLACES))
    done = process.run(("ssh", "-F", str(tmp_path / "config"), "-o", "BatchMode=yes", "box-old"))
    assert done.status == 255
    assert "had no project old any more" in done.stderr
    assert "rigstack refresh box" in done.stderr


def test_two_projects_with_one_port_get_two_here() -> None:
    assert local_ports(a_connection()) == {
        ("demo", 6006): 6006,
        ("demo", 80): 10080,
        ("cifar", 6006): 6007,
        ("cifar", 6007): 6008,
    }


INCLUDE = "~/.ssh/rigstack/*.conf"
CONFIGS = {
    "empty": b"",
    "plain": b"Host work\n    User me\n",
    "no-newline-at-the-end": b"Host work\n    User me",
    "comments": b"# mine\n\n   # indented\nHost *\n  ServerAliveInterval 5 # trailing\n",
    "match": b'Match host *.lab exec "test -f /x"\n  User lab\nMatch all\n  Port 22\n',
    "crlf": b"Host work\r\n    User me\r\n",
    "mixed-line-ends": b"Host a\r\n  User b\nHost c\r\n",
    "other-includes": b"Include ~/.orbstack/ssh/config\nInclude config.d/*\nHost *\n  User me\n",
    "not-utf-8": b"# caf\xe9 \xff\xfe\nHost x\n",
    "form-feed-and-vertical-tab": b"Host a\x0c\n\x0bUser b\n",
    "an-include-after-our-mark-like-comment": b"# rigstack: not ours\nInclude mine\n",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_undo_restores_byte_for_byte(name: str) -> None:
    before = CONFIGS[name]
    after = add_include(before, INCLUDE)
    assert after.endswith(before)
    assert after.startswith(MARK.encode())
    assert add_include(after, INCLUDE) == after
    assert remove_include(after) == before
    ends = b"\r\n" if name in ("crlf", "mixed-line-ends") else b"\n"
    assert after[: len(after) - len(before)].count(ends) == 2


@given(st.binary(max_size=300))
def test_undo_restores_any_bytes(before: bytes) -> None:
    assert remove_include(add_include(before, INCLUDE)) == before


def test_what_the_person_wrote_since_then_stays() -> None:
    after = add_include(b"Host a\n", INCLUDE) + b"Host b\n"
    assert remove_include(after) == b"Host a\nHost b\n"
    moved = b"Host z\n" + after
    assert add_include(moved, INCLUDE) == add_include(b"Host z\nHost a\nHost b\n", INCLUDE)
    assert remove_include(moved) == b"Host z\nHost a\nHost b\n"


def test_a_new_path_replaces_the_old_line() -> None:
    after = add_include(add_include(b"Host a\n", "/old home/.ssh/rigstack/*.conf"), INCLUDE)
    assert after == add_include(b"Host a\n", INCLUDE)


def test_ours_comes_before_everything_the_person_says(tmp_path: Path) -> None:
    (tmp_path / "box.conf").write_text(render_ssh_config(a_connection(), PLACES))
    own = b"Host *\n  User somebody\n  ControlMaster no\n  StrictHostKeyChecking no\n"
    text = add_include(own, f"{tmp_path}/*.conf").decode()
    demo = effective(tmp_path, text, "box-demo")
    assert (demo["user"], demo["controlmaster"], demo["stricthostkeychecking"]) == ("dev", "auto", "true")
    assert effective(tmp_path, text, "elsewhere")["user"] == "somebody"


def test_a_description_is_json() -> None:
    rig = a_rig(TOML)
    assert json.loads(render_description(rig, a_host(rig)))["schema"] == 1
