"""What is to be opened, and what the addresses of router, world and next hop prove: one table."""

from __future__ import annotations

from typing import Any

import pytest
from builders import a_rig

from rigstack.plan.net import (
    Lan,
    Opened,
    Port,
    Record,
    forgotten,
    judge_wan,
    router_problem,
    wanted_ports,
    wants_pinholes,
)

HOME = Lan(interface="eth0", address="192.168.1.10", prefix=24, gateway="192.168.1.1", address6="2001:db8::10")


def ports_of(text: str) -> list[str]:
    return [f"{one}->{one.inside} {one.what}" for one in wanted_ports(a_rig(text))]


def test_what_is_opened_follows_rig_toml() -> None:
    assert ports_of("[rig]\n") == ["443/tcp->443 edge", "443/udp->443 edge, HTTP/3", "22222/tcp->22222 gateway"]
    public = '[rig]\nhostname = "rig.example.net"\n[access]\nhttps_port = 8443\nhttp_port = 8080\nssh_port = 2200\n'
    assert ports_of(public + "[projects.demo]\nssh_port = 2201\n[projects.other]\n") == [
        "8443/tcp->8443 edge",
        "80/tcp->8080 certificates",
        "2200/tcp->2200 gateway",
        "2201/tcp->2201 workspace of demo",
    ]
    dns = '[rig]\nhostname = "rig.example.net"\n[tls]\ndns = "desec"\ncaddy_image = "mine"\n'
    assert not any("certificates" in port for port in ports_of(dns))


def test_holes_are_wanted_where_the_rig_answers_on_ipv6() -> None:
    assert wants_pinholes(a_rig(), HOME)
    assert not wants_pinholes(a_rig(), HOME.replace(address6=""))
    assert not wants_pinholes(a_rig('[access]\nbind = "192.168.1.10"\n'), HOME)


# lan, router, outside, beyond -> kind, words
WANS = {
    "as it should be": (HOME, "203.0.113.9", "203.0.113.9", "", "open", "and so does the world"),
    "nobody outside answers": (HOME, "203.0.113.9", "", "", "open", "the router says 203.0.113.9"),
    "shared": (HOME, "100.64.3.2", "203.0.113.9", "", "cgnat", "carrier-grade NAT"),
    "the last of the shared": (HOME, "100.127.255.254", "", "", "cgnat", "carrier-grade NAT"),
    "past the shared": (HOME, "100.128.0.1", "100.128.0.1", "", "open", "so does the world"),
    "another router": (HOME, "192.168.178.20", "203.0.113.9", "", "double nat", "another router behind it"),
    "another translation": (HOME, "203.0.113.9", "198.51.100.4", "", "translated", "something between"),
    "no address, shared beyond": (HOME, "", "203.0.113.9", "100.64.3.1", "cgnat", "100.64.3.1"),
    "no address, private beyond": (HOME, "", "203.0.113.9", "10.0.0.1", "double nat", "10.0.0.1"),
    "no protocol, private beyond": (HOME, None, "203.0.113.9", "10.0.0.1", "unknown", "compare the address"),
    "no protocol": (HOME, None, "203.0.113.9", "203.0.113.1", "unknown", "the world sees 203.0.113.9"),
    "this machine alone": (HOME.replace(address="127.0.0.1"), None, "", "", "kept", "[access] bind keeps"),
    "no router": (HOME.replace(address="203.0.113.9"), None, "203.0.113.9", "", "direct", "nothing to map"),
}


@pytest.mark.parametrize("name", WANS)
def test_what_addresses_prove(name: str) -> None:
    lan, router, outside, beyond, kind, words = WANS[name]
    wan = judge_wan(lan, router, outside, beyond)
    assert (wan.kind, words in wan.words) == (kind, True), wan
    assert bool(wan.ways) == wan.closed == (kind in ("cgnat", "double nat", "translated"))
    if wan.closed:
        assert any("2001:db8::10" in way for way in wan.ways)
        assert any("VPN" in way for way in wan.ways) and any("relay" in way for way in wan.ways)


def test_a_port_says_its_number_and_transport() -> None:
    assert str(Port(outside=80, inside=8080, transport="tcp", what="")) == "80/tcp"


def a_record(router: str = "203.0.113.9", **changes: Any) -> Record:
    """Renewed at 1000, until 4600."""
    port = Opened(
        how="UPnP IGD",
        family=4,
        outside=443,
        inside=443,
        transport="tcp",
        what="edge",
        client="192.168.1.10",
        router="192.168.1.1",
        until=4600,
    )
    return Record(opened=(port,), router=router, kind="open", at=1000).replace(**changes)


# record, what the world sees, when the provider was told that, now -> words, "" for no problem
ROUTERS = {
    "as it should be": (a_record(), "203.0.113.9", 500, 1600, ""),
    "nobody tells the public address": (a_record(), "", 0, 1600, ""),
    "the world sees another": (a_record(), "198.51.100.1", 500, 1600, "the world sees 198.51.100.1"),
    "the address changed since the renewal": (a_record(), "198.51.100.1", 1100, 1600, ""),
    "shared since": (a_record("100.64.3.2"), "198.51.100.1", 500, 1600, "carrier-grade NAT"),
    "another router since": (a_record("192.168.178.2"), "", 0, 1600, "another router behind it"),
    "no address since": (a_record(""), "", 0, 1600, "tells none now"),
    "shared from the beginning": (a_record("100.64.3.2", kind="cgnat"), "", 0, 1600, ""),
    "refused": (a_record(failures=("it refuses port 443/tcp",)), "", 0, 1600, "refuses port 443/tcp"),
    "nothing renews": (a_record(), "", 0, 4900, "ended 5 minutes ago"),
}


@pytest.mark.parametrize("name", ROUTERS)
def test_what_was_opened_and_leads_here_no_more_is_told(name: str) -> None:
    record, public, told_at, now, words = ROUTERS[name]
    found = router_problem(record, public, told_at, now)
    assert words in found[0] if found else not words


@pytest.mark.parametrize(
    ("epoch", "later", "lost"),
    [
        (1600, 600, False),
        (1530, 600, False),  # a slow clock
        (1003, 3, False),
        (40, 600, True),  # it started anew 40 s ago
        (999, 600, True),
        (-1, 600, False),  # it has no clock
    ],
)
def test_a_router_whose_clock_began_anew_has_forgotten(epoch: int, later: int, lost: bool) -> None:
    opened = Opened(how="PCP", family=4, outside=443, inside=443, transport="tcp", what="", client="", router="")
    assert forgotten(opened.replace(epoch=1000, at=5000), epoch, 5000 + later) == lost
    assert not forgotten(opened, epoch, 5000 + later), "UPnP IGD tells no clock with what it opens"
