"""The DDNS sidecar, the real image, against providers that answer good, bad and mad: it tells once, and never nags."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from rigstack.config.load import parse_rig
from rigstack.config.schema import TABLES
from rigstack.render.ddns import render_ddns_files
from rigstack.secret import Secret
from tests.conftest import MakeRig
from tests.live_rig import LiveRig, docker, wait_for
from tests.name_server import KEY_NAME, KEY_SECRET, NameServer
from tests.world import FakeProvider, World

PASSWORD = "s3cret-of-the-test"
ALIASES = (
    "dynupdate.no-ip.com",
    "www.duckdns.org",
    "api.cloudflare.com",
    "update.dedyn.io",
    "api.dynu.com",
    "freedns.afraid.org",
    "dynamicdns.park-your-domain.com",
    "dyn.example.net",
    "ns.example.net",
)


@pytest.fixture(scope="module")
def bare(make_rig: MakeRig) -> LiveRig:
    """A rig without projects: an edge and a gateway."""
    rig = make_rig(projects=())
    rig.up()
    return rig


@pytest.fixture(scope="module")
def world(bare: LiveRig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    image = docker("inspect", "--format={{.Config.Image}}", bare.containers()["gateway"])
    made = World(f"{bare.name}-world", image, tmp_path_factory.mktemp("world"), ipv6=True)
    made.join(*ALIASES)
    try:
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def provider(world: World) -> FakeProvider:
    return FakeProvider(world)


@pytest.fixture(scope="module")
def ddns_rig(bare: LiveRig, world: World, provider: FakeProvider) -> LiveRig:
    """The same rig with a [ddns] table, after the provider took its address."""
    world.join_front(bare, *ALIASES)
    (bare.path / "secrets/ddns-password").write_text(PASSWORD + "\n")
    bare.append(
        '[ddns]\nprovider = "dyndns2"\nhostname = "rig.example.net"\nusername = "me"\nserver = "dyn.example.net"\n'
        'tls = false\ncheckip = "dyn.example.net/ip"\nnameserver = "ns.example.net"\ninterval = 10'
    )
    bare.up()
    return bare


@pytest.fixture(scope="module")
def image(ddns_rig: LiveRig) -> str:
    return docker("inspect", "--format={{.Config.Image}}", ddns_rig.containers()["ddns"])


class Sidecar:
    """The sidecar alone, with the settings that rigstack renders; its minutes last one second."""

    def __init__(self, world: World, image: str, folder: Path, *, password: str = PASSWORD, **settings: object) -> None:
        self.folder = folder
        folder.mkdir()
        folder.chmod(0o755)
        words = {
            "hostname": "rig.example.net",
            "interval": 10,
            "tls": False,
            "checkip": "dyn.example.net/ip",
            **settings,
        }
        text = "[ddns]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in words.items())
        rig = parse_rig(text, rig_dir=folder)
        assert rig.ddns is not None
        self.write(render_ddns_files(rig.ddns.replace(interval=1), Secret(password), ca_bundle=False))
        (folder / "cache").mkdir()
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        self.name = f"{world.name}-{folder.name}-{secrets.token_hex(2)}"
        docker(
            *("run", "--detach", "--name", self.name, f"--network={world.network}", "--init", "--read-only"),
            *("--cap-drop=ALL", "--security-opt=no-new-privileges", "--env=RIGSTACK_DDNS_MINUTE=1"),
            *("--user=1000:1000", "--tmpfs=/tmp:mode=1777", "--tmpfs=/run/inadyn:uid=1000,gid=1000,mode=0700"),
            *("--volume", f"{folder}/state/ddns:/etc/rigstack/ddns:ro"),
            *("--volume", f"{folder}/secrets/ddns:/run/rigstack-secrets:ro"),
            *("--volume", f"{folder}/cache:/var/cache/inadyn"),
            image,
        )
        world.containers.append(self.name)

    def write(self, files: dict[str, tuple[str, bool]]) -> None:
        for path, (content, _) in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(content)

    def report(self) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads((self.folder / "cache/state.json").read_text())
        except FileNotFoundError:
            return {"state": ""}
        return document

    def wait_for(self, state: str) -> dict[str, Any]:
        deadline = time.monotonic() + 15
        while (report := self.report())["state"] != state:
            assert time.monotonic() < deadline, f"not {state}: {report}"
            time.sleep(0.1)
        return report

    def control(self, word: str) -> subprocess.CompletedProcess[str]:
        argv = ["docker", "exec", self.name, "/usr/local/lib/rigstack/ddns-control", word]
        return subprocess.run(argv, capture_output=True, text=True, timeout=100)

    def healthy(self) -> bool:
        argv = ["docker", "exec", self.name, "/usr/local/lib/rigstack/health"]
        return subprocess.run(argv, capture_output=True, timeout=30).returncode == 0


# name -> (what the provider answers, the state that follows, how many updates it gets at most in the time of the test)
ANSWERS: dict[str, tuple[dict[str, Any], str, int]] = {
    "good": ({"answer": "good 203.0.113.9"}, "current", 1),
    "nochg": ({"answer": "nochg 203.0.113.9"}, "current", 1),
    "badauth": ({"answer": "badauth"}, "refused", 1),
    "unauthorized": ({"answer": "no", "status": 401}, "refused", 1),
    "abuse": ({"answer": "abuse"}, "refused", 1),
    "nohost": ({"answer": "nohost"}, "refused", 1),
    "911": ({"answer": "911"}, "trouble", 3),
    "500": ({"answer": "oops", "status": 500}, "trouble", 3),
    "garbage": ({"answer": "<html>all good here</html>"}, "trouble", 3),
    "timeout": ({"answer": "", "hang": True}, "trouble", 3),
}
WATCHED = 33.0


def test_how_often_each_answer_is_asked_for(world: World, image: str, tmp_path: Path) -> None:
    """All at once, for as long as three tries of a provider in trouble take (10 and 20 of these short minutes)."""
    asked: dict[str, tuple[Sidecar, FakeProvider]] = {}
    for number, (name, (answers, _, _)) in enumerate(ANSWERS.items()):
        port = 8100 + number
        provider = FakeProvider(world, port=port, name=name)
        provider.set(ip="203.0.113.9", **answers)
        place = f"dyn.example.net:{port}"
        asked[name] = (
            Sidecar(
                world, image, tmp_path / name, provider="dyndns2", server=place, checkip=f"{place}/ip", username="me"
            ),
            provider,
        )
    flapping = FakeProvider(world, port=8090, name="flapping")
    place = "dyn.example.net:8090"
    Sidecar(world, image, tmp_path / "flapping", provider="dyndns2", server=place, checkip=f"{place}/ip", username="me")
    end = time.monotonic() + WATCHED
    quiet, dns_asked = asked["good"][0], set[int]()
    while time.monotonic() < end:
        dns_asked.add(quiet.report().get("dns_asked_at", 0))
        flapping.set(ip=f"203.0.113.{int(time.monotonic() / 1.3) % 2 + 1}", answer="good")
        time.sleep(0.1)

    for name, (sidecar, provider) in asked.items():
        _, state, most = ANSWERS[name]
        requests = provider.requests()
        report = sidecar.report()
        assert report["state"] == state, (name, report)
        assert 1 <= len(requests) <= most, (name, len(requests))
        if most == 3 and name != "timeout":
            gaps = [after["at"] - before["at"] for before, after in pairwise(requests)]
            assert len(gaps) == 2 and gaps[0] >= 9 and gaps[1] >= 19, (name, gaps)
        assert sidecar.healthy() == (state != "refused"), name
        if state == "refused":
            assert (report["answer"], report["next_at"]) == (ANSWERS[name][0]["answer"], 0)
        logs = subprocess.run(["docker", "logs", sidecar.name], capture_output=True, text=True)
        assert PASSWORD not in logs.stdout + logs.stderr + json.dumps(report) + docker("inspect", sidecar.name)
    # A quiet day, in its figures: after the one update a look an interval, and a question to DNS every ten minutes.
    looks = asked["good"][1].looks()
    assert all(later - earlier >= 1 for earlier, later in pairwise(looks)), looks
    settled = sorted(at for at in dns_asked if at > quiet.report()["updated_at"] + 10)
    assert settled and all(later - earlier >= 10 for earlier, later in pairwise(settled)), settled
    day = f"{86400 // TABLES['ddns']['interval'].default:,} looks at the address, {86400 // 600} questions to DNS"
    assert f"{day}, no update" in " ".join((Path(__file__).parents[2] / "docs/ddns.md").read_text().split())

    times = [request["at"] for request in flapping.requests()]
    assert len(times) >= 4
    assert all(later - earlier >= 9 for earlier, later in zip(times, times[3:], strict=False)), times

    refused, provider = asked["badauth"]
    provider.set(ip="203.0.113.9", answer="good 203.0.113.9")
    (refused.folder / "secrets/ddns/password").write_text("another\n")
    (refused.folder / "secrets/ddns/ddns.conf").write_text('password = "another"\n')
    refused.wait_for("current")
    assert len(provider.requests()) == 2

    troubled, provider = asked["911"]
    provider.set(ip="203.0.113.9", answer="good 203.0.113.9")
    assert troubled.control("update").returncode == 0
    assert troubled.report()["state"] == "current"

    told, provider = asked["good"]
    docker("restart", "--time=2", told.name)
    told.control("look")
    assert len(provider.requests()) == 1
    provider.set(ip="203.0.113.77", answer="good 203.0.113.77")
    assert "myip=203.0.113.77" in provider.wait_for(2)[-1]["path"]
    for name in [*asked]:
        docker("rm", "--force", asked[name][0].name)


ZONE_ID, RECORD_ID = "a" * 32, "b" * 32
CLOUDFLARE = {
    f"GET /client/v4/zones/{ZONE_ID}/dns_records": json.dumps(
        {"success": True, "result": [{"id": RECORD_ID, "content": "203.0.113.1"}]}
    ),
    "GET /client/v4/zones?": json.dumps({"success": True, "result": [{"id": ZONE_ID, "name": "example.net"}]}),
    "PUT /client/v4/zones/": json.dumps({"success": True}),
    "DELETE /client/v4/zones/": '{"success": true}',
}
FREEDNS = {
    "GET /api/": "rig.example.net|203.0.113.1|http://freedns.afraid.org/dynamic/update.php?the-key",
    "GET /dynamic/update.php": "Updated 1 host(s) rig.example.net to 203.0.113.9",
}
# provider -> (its answers, what the request that sets the address has in it, what the one that takes it back has)
PROVIDERS: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "no-ip": ({"answer": "good"}, ("dynupdate.no-ip.com", "/nic/update?hostname=rig.example.net"), ("offline=YES",)),
    "duckdns": (
        {"answer": "OK"},
        ("www.duckdns.org", f"/update?domains=rig&token={PASSWORD}&ip=203.0.113.9"),
        ("clear=true",),
    ),
    "cloudflare": (
        {"answer": "", "paths": CLOUDFLARE},
        ("PUT", f"Bearer {PASSWORD}", "203.0.113.9"),
        ("DELETE", RECORD_ID),
    ),
    "desec": ({"answer": "good"}, ("update.dedyn.io", "myipv4=203.0.113.9"), ("myipv4=&myipv6=",)),
    "dynu": ({"answer": "good"}, ("api.dynu.com", "myip=203.0.113.9"), ("offline=YES",)),
    "freedns": ({"answer": "", "paths": FREEDNS}, ("freedns.afraid.org", "the-key", "203.0.113.9"), ()),
    "namecheap": (
        {"answer": "<ErrCount>0</ErrCount>"},
        ("dynamicdns.park-your-domain.com", f"host=rig&password={PASSWORD}&domain=example.net&ip=203.0.113.9"),
        (),
    ),
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_provider_in_its_own_words(
    name: str, world: World, image: str, provider: FakeProvider, tmp_path: Path
) -> None:
    answers, sets, takes_back = PROVIDERS[name]
    provider.set(ip="203.0.113.9", **answers)
    before = len(provider.requests())
    hostname = "rig.duckdns.org" if name == "duckdns" else "rig.example.net"
    sidecar = Sidecar(world, image, tmp_path / name, provider=name, hostname=hostname, username="me")
    try:
        assert sidecar.wait_for("current")["address"] == "203.0.113.9"
        asked = [json.dumps(request) for request in provider.requests()[before:]]
        assert [one for one in asked if all(part in one for part in sets)], asked
        before = len(provider.requests())
        done = sidecar.control("deregister")
        asked = [json.dumps(request) for request in provider.requests()[before:]]
        if takes_back:
            assert done.returncode == 0, done.stdout + done.stderr
            assert [one for one in asked if all(part in one for part in takes_back)], asked
            assert sidecar.report()["state"] == "deregistered"
        else:
            assert (done.returncode, asked) == (3, [])
            assert "on its web page" in done.stdout
        assert PASSWORD not in docker("top", sidecar.name, "-eo", "pid,args")
    finally:
        docker("rm", "--force", sidecar.name)


def test_a_dns_server_of_ones_own(world: World, image: str, provider: FakeProvider, tmp_path: Path) -> None:
    """RFC 2136: the record is set, follows the address, is taken back; a wrong key is a refusal, asked once."""
    address = docker(
        "inspect", f'--format={{{{(index .NetworkSettings.Networks "{world.network}").IPAddress}}}}', world.name
    )
    zone = NameServer(world, "example.net", address)
    provider.set(ip="203.0.113.9", answer="")
    words = {"provider": "rfc2136", "server": "ns.example.net", "username": KEY_NAME}
    wrong = Sidecar(world, image, tmp_path / "wrong", password="d3Jvbmc=", **words)
    assert "NOTAUTH" in wrong.wait_for("refused")["answer"]
    assert zone.address_of("rig.example.net") == ""
    sidecar = Sidecar(world, image, tmp_path / "right", password=KEY_SECRET, **words)
    sidecar.wait_for("current")
    assert zone.address_of("rig.example.net") == "203.0.113.9"
    provider.set(ip="203.0.113.10", answer="")
    wait_for("the new address", lambda: zone.address_of("rig.example.net") == "203.0.113.10")
    wait_for("what DNS says", lambda: sidecar.report()["dns_address"] == "203.0.113.10")
    assert sidecar.report()["dns_server"] == "ns.example.net"
    assert sidecar.control("deregister").returncode == 0
    assert zone.address_of("rig.example.net") == ""
    assert sidecar.control("update").returncode == 0
    assert zone.address_of("rig.example.net") == "203.0.113.10"
    assert wrong.report()["sent"] == 1


def test_each_address_family_is_told_when_it_changed_and_alone(
    world: World, image: str, provider: FakeProvider, tmp_path: Path
) -> None:
    """A dyndns2 server, and BIND, which test_a_dns_server_of_ones_own has started."""
    zone = NameServer.running(world, "example.net")
    home = {"ip": "203.0.113.9", "ip6": "2001:db8::9", "answer": "good"}
    provider.set(**home)
    before = len(provider.requests())
    name = "six.example.net"  # the rig of this file tells the provider of its own
    words = {"hostname": name, "ipv6": True, "username": "me"}
    company = Sidecar(world, image, tmp_path / "company", provider="dyndns2", server="dyn.example.net", **words)
    told = {"provider": "rfc2136", "server": "ns.example.net", **words, "username": KEY_NAME}
    own = Sidecar(world, image, tmp_path / "own", password=KEY_SECRET, **told)

    def sent() -> list[str]:
        paths = (unquote(one["path"]) for one in provider.requests()[before:])
        return [path.partition("&")[2] for path in paths if name in path]

    def said() -> tuple[str, str]:
        return zone.address_of(name), zone.address_of(name, "AAAA")

    wait_for("both families are told", lambda: len(sent()) == 2 and own.report().get("sent") == 2)
    assert sorted(sent()) == ["myip=203.0.113.9", "myipv6=2001:db8::9"]
    assert said() == ("203.0.113.9", "2001:db8::9")
    provider.set(**{**home, "ip6": "2001:db8::10"})
    wait_for("the new IPv6 address", lambda: said() == ("203.0.113.9", "2001:db8::10") and len(sent()) == 3)
    assert sent()[2:] == ["myipv6=2001:db8::10"]
    provider.set(ip="203.0.113.10", ip6="2001:db8::10", answer="good")
    for one in (company, own):  # three in ten of these short minutes are as many as it sends
        wait_for("the new IPv4 address", lambda one=one: one.report()["address"] == "203.0.113.10")
    assert sent()[3:] == ["myip=203.0.113.10"] and said() == ("203.0.113.10", "2001:db8::10")
    for one in (company, own):
        report = one.report()
        assert (report["sent"], report["state"], report["address6"]) == (4, "current", "2001:db8::10")
    assert own.report()["dns_address6"] == "2001:db8::10"
    assert own.control("deregister").returncode == 0 and said() == ("", "")


def test_the_rig_tells_all_about_its_name(ddns_rig: LiveRig, provider: FakeProvider) -> None:
    provider.set(ip="203.0.113.9", answer="good 203.0.113.9")
    assert ddns_rig.run("ddns", "update").returncode == 0
    status = ddns_rig.status()["ddns"]
    assert (status["state"], status["report"]) == ("healthy", "current")
    assert (status["public_address"], status["address"]) == ("203.0.113.9", "203.0.113.9")
    assert status["answer"].startswith("good")
    assert status["dns"]["server"] == "ns.example.net"
    assert "public 203.0.113.9" in ddns_rig.run("status").stdout
    provider.set(ip="203.0.113.9", answer="badauth")
    failed = ddns_rig.run("ddns", "update")
    assert failed.returncode == 5
    assert 'refused (it said "badauth")' in failed.stdout
    assert any("refused" in one["what"] for one in ddns_rig.status()["problems"])
    provider.set(ip="203.0.113.9", answer="good 203.0.113.9")
    done = ddns_rig.run("ddns", "update", "--json")
    assert (done.returncode, json.loads(done.stdout)["report"]) == (0, "current")
    before = len(provider.requests())
    assert ddns_rig.run("ddns", "deregister").returncode == 8
    assert ddns_rig.run("ddns", "deregister", "--yes").returncode == 0
    assert "offline=YES" in provider.requests()[-1]["path"] and len(provider.requests()) == before + 1
    assert ddns_rig.status()["ddns"]["report"] == "deregistered"
    again = ddns_rig.run("ddns", "update")
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in ddns_rig.up().stdout
