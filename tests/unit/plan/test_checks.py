"""The doctor's judgement, one table: what was seen, the check that speaks up, its state and its words."""

from __future__ import annotations

import pytest

from rigstack.plan import checks
from rigstack.plan.checkup import Certificate, Checkup, Chmod, Finding, Hardening, Reached, Room
from rigstack.plan.net import Wan
from rigstack.plan.wake import Card

DAY = 86400
CARD = Card(interface="eth0", mac="00:11:22:33:44:55", kind="ethernet", supported=True, enabled=True)
GOOD_CERTIFICATE = Certificate(name="rig.example.net", issuer="CA", begins=0, ends=90 * DAY)
GOOD_CONTAINER = Hardening(
    service="edge",
    restart="always",
    log_driver="local",
    log_limited=True,
    privileged=False,
    drops_all=True,
    no_new_privileges=True,
    read_only=True,
    memory=1 << 29,
    pids=512,
    user="1000:1000",
    socket=False,
)
OPEN = Wan(kind="open", words="the router says 203.0.113.9, and so does the world")
SHARED = Wan(kind="cgnat", words="it is shared", ways=("IPv6: ask the provider for it",))
WELL = Checkup(
    now=30 * DAY,
    hostname="rig.example.net",
    engine="29.0.0",
    live_restore=True,
    socket="/var/run/docker.sock",
    socket_mode=0o660,
    rooms=(Room(path="/rig", total=1 << 40, free=1 << 39, inodes=1000, inodes_free=900),),
    clock_synced=True,
    public_address=("203.0.113.9", "ddns"),
    dns=("203.0.113.9", "ns.example.net"),
    certificate=GOOD_CERTIFICATE,
    reached=(Reached(place="rig.example.net", port=443),),
    sshd=checks.SSHD,
    methods="publickey",
    modes={"/rig/secrets/": 0o700, "/rig/secrets/ddns-password": 0o600},
    containers=(GOOD_CONTAINER,),
    published=("*:443",),
    updates=(),
    card=CARD,
    router=OPEN,
)
BROKEN: dict[str, tuple[dict[str, object], str, str, str]] = {
    "a sick service": ({"services": (("edge is exited", "rigstack logs edge"),)}, "services", "fail", "edge is exited"),
    "no engine": ({"missing": (("missing: engine", "sudo rigstack host setup"),)}, "engine", "fail", "missing: engine"),
    "a hole": ({"holes": (("runc 1.1 is below", "upgrade"),)}, "known holes", "warn", "runc 1.1"),
    "no GPU for those who want one": ({"no_gpu": (("no GPU in containers", "check"),)}, "gpu", "warn", "no GPU"),
    "a stale CDI specification": ({"gpu": (("stale", "setup"),)}, "gpu", "fail", "stale"),
    "an open socket": ({"socket_mode": 0o666}, "engine socket", "fail", "every user of this machine is root"),
    "no live restore": ({"live_restore": False}, "live restore", "warn", "containers stop"),
    "a full disk": (
        {"rooms": (Room(path="/rig", total=1 << 40, free=1 << 30, inodes=0, inodes_free=0),)},
        "disk room",
        "fail",
        "1.0 GiB",
    ),
    "no inodes": (
        {"rooms": (Room(path="/rig", total=1 << 40, free=1 << 39, inodes=1000, inodes_free=3),)},
        "disk room",
        "fail",
        "0 % of inodes",
    ),
    "little room": (
        {"rooms": (Room(path="/rig", total=1 << 40, free=5 << 30, inodes=0, inodes_free=0),)},
        "disk room",
        "warn",
        "5.0 GiB",
    ),
    "a clock behind": ({"clock_ahead": 4000.0}, "clock", "fail", "behind the rig's own files by 4000 s"),
    "a clock that nobody keeps": ({"clock_synced": False}, "clock", "warn", "nothing keeps"),
    "a name without address": ({"dns": ("", "ns.example.net")}, "dns", "fail", "is no address at ns.example.net"),
    "a name that points elsewhere": ({"dns": ("198.51.100.1", "")}, "dns", "fail", "the public address is 203.0.113.9"),
    "an expired certificate": ({"now": 100 * DAY}, "certificate", "fail", "ended 10.0 days ago"),
    "a certificate not renewed": ({"now": 85 * DAY}, "certificate", "warn", "ends in 5.0 days"),
    "a certificate nobody trusts": (
        {"certificate": Certificate(name="x", error="a browser refuses it: self-signed")},
        "certificate",
        "fail",
        "self-signed",
    ),
    "a closed port": (
        {"reached": (Reached(place="rig.example.net", port=443, error="timed out"),)},
        "reachable",
        "fail",
        "rig.example.net:443: timed out",
    ),
    "a closed port that only leads on": (
        {"reached": (Reached(place="rig.example.net", port=80, error="timed out", needed=False),)},
        "reachable",
        "warn",
        "rig.example.net:80: timed out",
    ),
    "a kernel that waits": ({"kernel": "6.12.99-amd64"}, "updates", "warn", "6.12.99-amd64 is installed"),
    "passwords over ssh": (
        {"sshd": {**checks.SSHD, "passwordauthentication": "yes"}},
        "sshd policy",
        "fail",
        "passwordauthentication is yes, not no",
    ),
    "passwords offered": ({"methods": "publickey,password"}, "sshd policy", "fail", "offers publickey,password"),
    "a readable secret": (
        {"modes": {"/rig/secrets/ddns-password": 0o644}},
        "keys and secrets",
        "fail",
        "has mode 0644",
    ),
    "a container that stays down": (
        {"containers": (GOOD_CONTAINER.replace(restart="unless-stopped"),)},
        "containers",
        "fail",
        "edge: restart is unless-stopped",
    ),
    "the engine's socket in a container": (
        {"containers": (GOOD_CONTAINER.replace(socket=True, user="0"),)},
        "containers",
        "fail",
        "it runs as root, it has the engine's socket",
    ),
    "a log without end": (
        {"containers": (GOOD_CONTAINER.replace(log_limited=False),)},
        "containers",
        "fail",
        "its log",
    ),
    "ufw that sees nothing": (
        {"firewall": "ufw is on"},
        "firewall",
        "warn",
        "does not see what containers publish: *:443",
    ),
    "an update": ({"updates": ("runc",)}, "updates", "warn", "newer: runc"),
    "a router that forgot": ({"lost": ("443/tcp",)}, "router", "fail", "443/tcp of the router does not lead here"),
    "a shared address since": ({"router": SHARED}, "router", "fail", "it is shared"),
    "a router that does not answer": ({"router_error": "it is silent"}, "router", "fail", "it is silent"),
    "no wake on lan": ({"card": CARD.replace(enabled=False)}, "wake on lan", "warn", "eth0 may not wake"),
}


def found(**changed: object) -> dict[str, Finding]:
    return {one.check: one for one in checks.examine(WELL.replace(**changed))}


def test_a_rig_in_health() -> None:
    assert {name: one.state for name, one in found().items() if one.state != "ok"} == {}
    assert not [one for one in found().values() if one.remedy]


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_with_a_remedy_and_nothing_else_is(name: str) -> None:
    changed, check, state, words = BROKEN[name]
    findings = found(**changed)
    assert (findings[check].state, findings[check].remedy != "") == (state, True)
    assert words in findings[check].evidence
    assert [one.check for one in findings.values() if one.state not in ("ok", "skip")] == [check]


def test_every_check_has_a_case_that_breaks_it() -> None:
    assert {check for _, check, _, _ in BROKEN.values()} == set(found())


def test_what_nobody_could_see_is_skipped_and_not_called_good() -> None:
    states = {one.check: one.state for one in checks.examine(Checkup(now=0))}
    skipped = {"engine socket", "live restore", "dns", "certificate", "reachable", "sshd policy", "containers"}
    assert {name for name, state in states.items() if state == "skip"} == {*skipped, "router", "updates", "wake on lan"}


def test_fixes_only_ever_take_rights_away() -> None:
    fixes = found(modes={"/rig/secrets/": 0o755, "/rig/k": 0o644}, socket_mode=0o666)
    assert fixes["keys and secrets"].fixes == (
        Chmod(path="/rig/k", mode=0o600),
        Chmod(path="/rig/secrets", mode=0o700),
    )
    assert fixes["engine socket"].fixes == (Chmod(path="/var/run/docker.sock", mode=0o660),)
