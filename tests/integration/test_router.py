"""`rigstack net` in a home of network namespaces, against real routers: what they speak, what they hide, what opens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.internet import WITHOUT_TIMERS, HomeRouter, Place, cable
from tests.live_rig import RIGSTACK, wait_for

HOST, GATEWAY = "192.168.77.10", "192.168.77.1"
HOST6, GATEWAY6 = "2a0f:77::10", "2a0f:77::1"


class Home:
    """A GPU host (with a rig.toml and nothing running), its router, and an internet of one machine behind it."""

    def __init__(self, folder: Path, *, upnp: bool = True, pcp: bool = True, between: str = "") -> None:
        """between: the network of a second router between the home's and the internet."""
        self.internet, self.host = Place(folder / "internet"), Place(folder / "host")
        self.router = HomeRouter(folder / "router")
        self.places = [self.internet, self.host, self.router]
        provider, first = "11.7.0.1", self.router
        if between:
            first = HomeRouter(folder / "between")
            self.places.append(first)
            cable(first, "lan", f"{between}.1/24", self.router, "wan", f"{between}.2/24")
            provider = f"{between}.1"
        cable(self.internet, "home", "11.7.0.1/24", first, "wan", "11.7.0.2/24")
        first.do("ip route replace default via 11.7.0.1")
        cable(self.router, "lan", f"{GATEWAY}/24", self.host, "eth0", f"{HOST}/24")
        self.router.do(f"ip route replace default via {provider}", f"ip addr add {GATEWAY6}/64 dev lan nodad")
        self.host.do(f"ip route add default via {GATEWAY}", f"ip addr add {HOST6}/64 dev eth0 nodad")
        self.host.do(f"ip -6 route add default via {GATEWAY6}")
        self.internet.do("ip addr add 11.0.0.1/32 dev lo")
        self.router.switch_on(upnp=upnp, pcp=pcp)
        if between:
            first.switch_on(upnp=False, pcp=False)
        self.rig = folder / "rig"
        (self.rig / "secrets").mkdir(parents=True, mode=0o700)
        (self.rig / "secrets/ddns-password").write_text("a password\n")
        (self.rig / "secrets/ddns-password").chmod(0o600)
        self.write('[rig]\nname = "box"\n[access]\nssh_port = 22222\n[projects.demo]\nssh_port = 22301\n')

    def write(self, text: str) -> None:
        """rig.toml; the public address is asked at the internet's one machine."""
        ddns = (
            '[ddns]\nprovider = "dyndns2"\nhostname = "a.example.net"\nserver = "11.0.0.1"\ncheckip = "11.0.0.1/ip"\n'
        )
        (self.rig / "rig.toml").write_text(text + ddns)

    def tell_addresses(self) -> None:
        """The internet's machine says who asks it, as such places do."""
        (self.internet.folder / "answers").write_text(json.dumps({"ip": "", "answer": ""}))
        files = [str(self.internet.folder / name) for name in ("answers", "log")]
        self.internet.start(sys.executable, "-m", "tests.fake_provider", "80", *files)
        self.internet.wait_for_port(80)

    def net(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.host.run(*WITHOUT_TIMERS, *RIGSTACK, "--rig", str(self.rig), "net", *words)

    def status(self) -> dict[str, Any]:
        done = self.net("status", "--json")
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def reach(self, port: int, *, six: bool = False) -> str:
        """What answers the internet's machine at the router's public address, or at the host's own IPv6 address."""
        where = f"[{HOST6}]" if six else self.router_address
        return self.internet.run("curl", "-s", "--max-time", "1", f"http://{where}:{port}/").stdout

    router_address = "11.7.0.2"

    def destroy(self) -> None:
        for place in reversed(self.places):
            place.destroy()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("home"))
    try:
        made.tell_addresses()
        # IPv6 of the internet's machine, so that it may try the holes.
        made.internet.do("ip addr add 2a0f:1::1/64 dev home nodad", "ip -6 route add 2a0f:77::/64 via 2a0f:1::2")
        made.router.do("ip addr add 2a0f:1::2/64 dev wan nodad", "ip -6 route add default via 2a0f:1::1")
        for port in ("443", "22222"):
            page = made.host.folder / port
            page.mkdir()
            (page / "index.html").write_text(f"the rig's {port}")
            made.host.start(
                *(sys.executable, "-m", "http.server", "--bind", "::", "--directory", str(page), port),
                log=f"{port}.log",
            )
            made.host.wait_for_port(int(port))
        yield made
    finally:
        made.destroy()


def opened(home: Home) -> list[str]:
    return [one["state"] for one in home.status()["ports"]]


def test_ports_are_opened_renewed_and_closed(home: Home) -> None:
    """Somebody else's mapping stays; nothing of ours does."""
    before = home.status()
    assert before["lan"] | {"mac": ""} == {
        **{"interface": "eth0", "address": HOST, "prefix": 24, "gateway": GATEWAY, "mac": "", "addressing": "static"},
        **{"keeper": "", "profile": "", "dns": before["lan"]["dns"], "address6": HOST6, "gateway6": GATEWAY6},
    }
    assert before["router"] == {
        "name": "A home router",
        "speaks": ["UPnP IGD", "PCP", "NAT-PMP"],
        "speaks_ipv6": ["UPnP IGD", "PCP"],
        "address": "11.7.0.2",
    }
    assert (before["outside"]["address"], before["verdict"]["kind"]) == ("11.7.0.2", "open")
    assert {one["state"] for one in before["ports"]} == {"closed"} and not before["opened"]
    assert home.reach(443) == "" and home.reach(443, six=True) == ""
    game = ("upnpc", "-e", "game", "-a", HOST, "7777", "7777", "UDP", "3600")
    assert home.host.run(*game).returncode == 0
    plan = home.net("open", "--dry-run").stdout
    assert f"would open 443/tcp -> {HOST}:443" in plan and len(home.router.mappings()) == 1

    done = home.net("open")
    assert done.returncode == 0, done.stderr
    assert (home.reach(443), home.reach(22222)) == ("the rig's 443", "the rig's 22222")
    assert home.reach(443, six=True) == "the rig's 443"
    assert [(one["outside"], one["transport"], one["state"]) for one in home.status()["ports"]] == [
        *((443, "tcp", "open"), (443, "udp", "open"), (22222, "tcp", "open"), (22301, "tcp", "open"))
    ]

    rules = home.router.mappings()
    assert len(rules) == 5
    assert home.net("renew").returncode == 0
    assert home.router.mappings() == rules, "a renewal makes nothing new"
    home.router.switch_off()
    assert home.reach(443) == ""
    home.router.switch_on()
    assert home.net("renew").returncode == 0
    assert home.reach(443) == "the rig's 443"
    assert home.host.run(*game).returncode == 0

    # rig.toml moves a port: the old one is closed.
    (home.rig / "rig.toml").write_text((home.rig / "rig.toml").read_text().replace("22301", "22302"))
    assert home.net("renew").returncode == 0
    assert any("22302" in rule for rule in home.router.mappings())
    assert not any("22301" in rule for rule in home.router.mappings())

    listed = home.net("close", "--dry-run").stdout
    assert "would close: 443/tcp" in listed and len(home.router.mappings()) == 5
    assert home.net("close").returncode == 0
    assert len(home.router.mappings()) == 1 and "7777" in home.router.mappings()[0]
    wait_for("the game's alone is left", lambda: len(home.router.holes()) == 1)
    assert home.reach(443) == "" and home.reach(443, six=True) == ""
    assert not home.status()["opened"]
    assert "nothing to renew" in home.net("renew").stderr
    assert len(home.router.mappings()) == 1


def test_cron_renews_and_close_takes_its_line_away(home: Home) -> None:
    """A real cron (its daemon, and a crontab of its own); what its line says is run as cron would run it."""
    rig = f"{sys.executable} -m rigstack --rig {home.rig} net"
    script = f"""set -e
echo '0 4 * * * mine' | crontab -
cron -f & daemon=$!
trap 'kill $daemon' EXIT
{rig} open
crontab -l
crontab -l | sed -n 's|^[*]/10 [*] [*] [*] [*] ||p' | sh
{rig} close
echo; echo left:; crontab -l
"""
    done = home.host.run(*WITHOUT_TIMERS, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    before, left = done.stdout.split("left:")
    assert "renewed: by cron, in the crontab of root" in before
    assert f"*/10 * * * * {sys.executable} -m rigstack --rig {home.rig} net renew" in before
    assert left.strip() == "0 4 * * * mine"
    assert not [rule for rule in home.router.mappings() if "7777" not in rule]


def test_what_was_opened_is_closed_also_when_state_was_deleted(home: Home) -> None:
    assert home.net("open").returncode == 0
    (home.rig / "state/net.json").unlink()
    assert home.net("close").returncode == 0
    assert not [rule for rule in home.router.mappings() if "7777" not in rule]


def doctor(home: Home) -> dict[str, str]:
    """What `rigstack doctor` finds of the router."""
    done = home.host.run(*RIGSTACK, "--rig", str(home.rig), "doctor", "--json")
    assert done.stdout, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)["findings"]
    return next(one for one in found if one["check"] == "router")


def problems(home: Home) -> str:
    done = home.host.run(*RIGSTACK, "--rig", str(home.rig), "status", "--json")
    return "; ".join(one["what"] for one in json.loads(done.stdout)["problems"])


def test_a_router_that_forgot_or_lost_its_public_address_is_noticed(home: Home) -> None:
    """The doctor asks the router; status goes by what the last renewal found, and asks nobody."""
    assert doctor(home)["state"] == "skip"
    assert home.net("open").returncode == 0
    assert doctor(home)["state"] == "ok" and "router" not in problems(home)

    home.router.switch_off()
    home.router.switch_on()
    forgotten = doctor(home)
    assert (forgotten["state"], forgotten["remedy"]) == ("fail", "rigstack net open")
    assert "443/tcp, 443/udp, 22222/tcp" in forgotten["evidence"]
    assert home.net("open").returncode == 0
    assert doctor(home)["state"] == "ok"

    # The provider puts a translator in between: the world sees its address.
    answers = home.internet.folder / "answers"
    answers.write_text(json.dumps({"ip": "11.7.0.99", "answer": ""}))
    between = doctor(home)
    assert between["state"] == "fail" and "the router says 11.7.0.2, the world sees 11.7.0.99" in between["evidence"]
    # And gives the router one of the shared addresses.
    home.router.new_address("100.64.3.2/24", "100.64.3.1")
    try:
        shared = doctor(home)
        assert shared["state"] == "fail" and "tells none now" in shared["evidence"], shared
        assert "router" not in problems(home)
        assert home.net("renew").returncode == 0  # it takes them all the same
        assert "tells none now" in problems(home)
    finally:
        home.router.new_address("11.7.0.2/24", "11.7.0.1")
        answers.write_text(json.dumps({"ip": "", "answer": ""}))
    assert home.net("renew").returncode == 0
    assert doctor(home)["state"] == "ok" and "router" not in problems(home)
    home.router.switch_off()
    assert "speaks none of" in doctor(home)["evidence"]
    home.router.switch_on()
    assert home.net("close").returncode == 0


def test_a_port_of_somebody_else_is_named_and_left(home: Home) -> None:
    assert home.host.run("upnpc", "-e", "nas", "-a", HOST, "8443", "443", "TCP", "3600").returncode == 0
    done = home.net("open")
    assert done.returncode == 3
    assert f"port 443/tcp of the router already leads to {HOST}:8443 (nas)" in done.stderr
    assert "take another port in rig.toml" in done.stderr
    states = {f"{one['outside']}/{one['transport']}": one["state"] for one in home.status()["ports"]}
    assert states == {"443/tcp": "taken", "443/udp": "open", "22222/tcp": "open", "22302/tcp": "open"}
    assert home.net("close").returncode == 0
    assert f"{HOST}:8443" in "".join(home.router.mappings())


def test_hairpin_is_seen(home: Home, tmp_path: Path) -> None:
    """The edge is played by openssl: any certificate will do, for it is compared with itself."""
    words = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=box -keyout {tmp_path}/key -out {tmp_path}/crt"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    server = f"openssl s_server -accept {HOST}:9443 -cert {tmp_path}/crt -key {tmp_path}/key -www -quiet"
    home.host.start(*server.split())
    home.host.wait_for_port(9443, HOST)
    text = (home.rig / "rig.toml").read_text()
    (home.rig / "rig.toml").write_text(text.replace("[access]", "[access]\nhttps_port = 9443"))
    assert home.net("open").returncode == 0
    assert home.status()["hairpin"] == "no"
    turn = "inet filter prerouting iifname lan ip daddr 11.7.0.2 tcp dport 9443 dnat ip to"
    home.router.do(
        f"nft add rule {turn} {HOST}:9443", f"nft add rule inet filter postrouting ip daddr {HOST} masquerade"
    )
    assert home.status()["hairpin"] == "yes"
    assert home.net("close").returncode == 0


@pytest.mark.parametrize(
    ("speaks", "upnp", "pcp", "how"),
    [
        ("UPnP alone", True, False, "UPnP IGD"),
        ("PCP and NAT-PMP alone", False, True, "PCP"),
        ("nothing", False, False, ""),
    ],
)
def test_other_routers(speaks: str, upnp: bool, pcp: bool, how: str, tmp_path: Path) -> None:
    home = Home(tmp_path, upnp=upnp, pcp=pcp)
    try:
        if not how:
            done = home.net("open")
            assert done.returncode == 3
            assert f"22222  TCP       {HOST}:22222" in done.stdout
            assert "speaks neither UPnP IGD nor PCP nor NAT-PMP" in done.stderr
            assert home.router.mappings() == [] and not (home.rig / "state/net.json").exists()
            return
        done = home.net("open", "--json")
        assert done.returncode == 0, done.stderr
        there = json.loads(done.stdout)["opened"]
        assert {one["how"] for one in there if one["family"] == 4} == {how}
        assert len([one for one in there if one["family"] == 6]) == 4
        assert len(home.router.mappings()) == 4
        if how == "PCP":  # nobody can ask what is mapped; but the router tells since when it runs
            assert {(one["state"], one["ipv6"]) for one in home.status()["ports"]} == {("open", True)}
            home.router.switch_off()
            home.router.switch_on(upnp=upnp, pcp=pcp)
            assert {(one["state"], one["ipv6"]) for one in home.status()["ports"]} == {("closed", False)}
            assert "443/tcp, 443/udp, 22222/tcp" in doctor(home)["evidence"]
        assert home.net("renew").returncode == 0
        assert len(home.router.mappings()) == 4
        assert {(one["state"], one["ipv6"]) for one in home.status()["ports"]} == {("open", True)}
        assert home.net("close").returncode == 0
        assert home.router.mappings() == []
        wait_for("the holes are closed", lambda: home.router.holes() == [])
    finally:
        home.destroy()


@pytest.mark.parametrize(("between", "kind"), [("100.64.3", "cgnat"), ("192.168.178", "double nat")])
def test_a_router_behind_another_is_told(between: str, kind: str, tmp_path: Path) -> None:
    """No mapping would help: the page says so, and what would; the IPv6 firewall can be opened all the same."""
    home = Home(tmp_path, between=between)
    try:
        home.tell_addresses()
        seen = home.status()
        assert seen["verdict"]["kind"] == kind, seen
        assert any("IPv6" in way for way in seen["verdict"]["ways"])
        assert seen["outside"]["address"] == "11.7.0.2"
        page = home.net("status").stdout
        assert "Tailscale" in page and "relay" in page and f"{between}.1" in page
        if kind == "cgnat":
            done = home.net("open")
            assert done.returncode == 0, done.stderr
            assert "no mapping leads here" in done.stderr
            assert home.router.mappings() == [] and len(home.router.holes()) == 4
    finally:
        home.destroy()
