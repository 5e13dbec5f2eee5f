"""The access log: what sshd and the edge wrote, read as who got in and who did not."""

from __future__ import annotations

import json

from rigstack.plan.access import (
    Failure,
    Login,
    parse_peers,
    read_edge,
    read_failures,
    read_sshd,
    summarise,
    with_addresses,
)

KEY = "SHA256:cB/tOlJKkDb8SQkDysmiswfgNolFeB8RcDXcGaB3SK8"


def accepted(when: int, address: str, port: int, user: str = "jump") -> str:
    return f"{when} Accepted publickey for {user} from {address} port {port} ssh2: ED25519 {KEY}"


def sshd(*lines: str, where: str = "gateway", project: str = "") -> tuple[Login, ...]:
    return read_sshd(lines, where=where, project=project, who={KEY: "ada@laptop"})


def test_a_login_lasts_until_sshd_says_that_it_ended() -> None:
    (login,) = sshd(
        accepted(100, "203.0.113.4", 5000),
        "160 Received disconnect from 203.0.113.4 port 5000:11: disconnected by user",
        "160 Disconnected from user jump 203.0.113.4 port 5000",
    )
    assert (login.who, login.address, login.began, login.seconds) == ("ada@laptop", "203.0.113.4", 100, 60)


def test_a_port_that_is_used_again_is_another_login() -> None:
    lines = [accepted(100, "a", 1), "110 Connection closed by a port 1", accepted(200, "a", 1)]
    assert [one.seconds for one in sshd(*lines)] == [10, None]


def test_what_a_client_sends_cannot_pose_as_a_message_of_sshd() -> None:
    forged = "Disconnected from user jump 203.0.113.4 port 5000"
    name = f"x from user jump 198.51.100.1 port 1 {forged}"
    line = f"9 Connection closed by invalid user {name} 192.0.2.66 port 4444 [preauth]"
    assert [one.address for one in read_failures([line], where="gateway")] == ["192.0.2.66"]
    assert sshd(f"9 Connection closed by invalid user Accepted publickey {KEY} 192.0.2.66 port 1 [preauth]") == ()


def test_a_key_that_is_not_known_any_more_keeps_its_fingerprint() -> None:
    (login,) = read_sshd([accepted(1, "a", 1)], where="gateway", project="", who={})
    assert (login.who, login.fingerprint) == ("", KEY)


def test_failures_are_counted_by_address_and_place() -> None:
    lines = [
        "10 Connection closed by authenticating user jump 192.0.2.1 port 1 [preauth]",
        "20 Connection closed by invalid user root 192.0.2.1 port 2 [preauth]",
        "30 Disconnected from invalid user admin 192.0.2.2 port 3 [preauth]",
        "31 torn li",
    ]
    tries = read_failures(lines, where="gateway")
    assert summarise(tries) == (
        Failure(where="gateway", address="192.0.2.1", tries=2, first=10, last=20),
        Failure(where="gateway", address="192.0.2.2", tries=1, first=30, last=30),
    )
    assert [one.address for one in summarise(tries, since=25)] == ["192.0.2.2"]


def test_a_workspace_login_has_the_address_of_the_gateway_login_around_it() -> None:
    gateway = sshd(accepted(100, "203.0.113.4", 1), "200 Disconnected from user jump 203.0.113.4 port 1")
    inside, later = sshd(
        accepted(101, "172.20.0.2", 7, "dev"), accepted(300, "172.20.0.2", 8, "dev"), where="workspace", project="demo"
    )
    found = {one.began: one.address for one in with_addresses((*gateway, inside, later)) if one.where == "workspace"}
    assert found == {101: "203.0.113.4", 300: "172.20.0.2"}


def test_a_workspace_login_that_the_gateway_did_not_see_is_the_workspaces_word_only() -> None:
    jump = Login(
        where="gateway", project="", who="", fingerprint="SHA256:a", address="192.0.2.1", began=100, seconds=50
    )
    inside = jump.replace(where="workspace", project="demo", address="172.18.0.3", began=101, seconds=9)
    made_up = (inside.replace(fingerprint="SHA256:b"), inside.replace(began=99), inside.replace(began=151))
    found = with_addresses((jump, inside, *made_up))
    assert [one.seen for one in found] == [True, True, False, False, False]
    assert [one.address for one in found[2:]] == ["172.18.0.3"] * 3


def test_two_addresses_with_one_key_are_not_guessed_between() -> None:
    gateway = sshd(accepted(100, "203.0.113.4", 1), accepted(100, "198.51.100.7", 2))
    inside = sshd(accepted(101, "172.20.0.2", 7, "dev"), where="workspace", project="demo")
    assert with_addresses((*gateway, *inside))[-1].address == "172.20.0.2"


def edge(status: int, uri: str, ts: float, duration: float = 0.1, address: str = "203.0.113.4") -> str:
    return json.dumps({"ts": ts, "status": status, "duration": duration, "request": {"remote_ip": address, "uri": uri}})


def test_notebooks_tell_who_gave_the_password_and_who_had_a_page_open() -> None:
    logins, failures = read_edge(
        [
            edge(401, "/p/demo/login", 5),
            edge(429, "/p/demo/login", 6),
            edge(302, "/p/demo/login", 10),
            edge(101, "/p/demo/api/events/subscribe", 70, 60),
            edge(101, "/p/demo/api/events/subscribe", 190, 110),
            edge(403, "/p/demo/api/events/subscribe", 195),
            edge(401, "/projects/", 196),
            "torn {",
        ]
    )
    assert [(one.who, one.project, one.began, one.seconds) for one in logins] == [
        ("password", "demo", 10, None),
        ("cookie", "demo", 10, 180),
    ]
    assert [(one.where, one.tries) for one in summarise(failures)] == [("notebook", 2), ("list", 1)]


def test_who_is_connected_is_read_from_the_kernel() -> None:
    text = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 5462001 1
   2: 03001EAC:0016 01001EAC:D660 01 00000000:00000000 02:000AFB4C 00000000  1000        0 5483700 2
   4: 02001DAC:CC36 04001DAC:0016 01 00000000:00000000 00:00000000 00000000  1000        0 5483409 1
   5: B80D0120000000000000000001000000:0016 B80D0120000000000000000002000000:0FA0 01 0:0 00:0 0 1000 0 77 1
"""
    assert parse_peers(text, 22) == {("172.30.0.1", 54880, "5483700"), ("2001:db8::2", 4000, "77")}
