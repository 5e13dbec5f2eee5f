"""Certificates from a real ACME authority (pebble) that looks up and visits the rig as a public one would."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.caddy_dns import MODULE, caddy_image
from tests.conftest import MakeRig
from tests.live_rig import LiveRig, docker, wait_for
from tests.name_server import KEY_NAME, KEY_SECRET, NameServer
from tests.world import FakeProvider, World

NAME, LAST = "rig.example.net", "last.example.net"
LIFE = 45  # seconds: Caddy renews when a third is left


@pytest.fixture(scope="module")
def bare(make_rig: MakeRig) -> LiveRig:
    rig = make_rig(projects=())
    rig.up()
    return rig


@pytest.fixture(scope="module")
def world(bare: LiveRig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    image = docker("inspect", "--format={{.Config.Image}}", bare.containers()["gateway"])
    made = World(f"{bare.name}-world", image, tmp_path_factory.mktemp("world"))
    try:
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def zone(bare: LiveRig, world: World) -> NameServer:
    address = world.join_front(bare, "ca.example.net")
    return NameServer(world, "example.net", address)


@pytest.fixture(scope="module")
def authority(world: World, zone: NameServer) -> Path:
    """pebble at https://ca.example.net:14000/dir; returns the root certificate of its own HTTPS."""
    folder = world.folder / "pebble"
    folder.mkdir()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca.example.net"),
            *("-addext", "subjectAltName=DNS:ca.example.net"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")),
        ],
        check=True,
        capture_output=True,
    )
    settings = {
        "listenAddress": "0.0.0.0:14000",
        "managementListenAddress": "0.0.0.0:15000",
        "certificate": str(folder / "ca.pem"),
        "privateKey": str(folder / "key.pem"),
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": LIFE,
    }
    (folder / "config.json").write_text(json.dumps({"pebble": settings}))
    quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
    world.start("pebble", "-config", str(folder / "config.json"), "-dnsserver", "127.0.0.1:53", env=quick)
    world.wait_for_port(14000)
    return folder / "ca.pem"


def issuer(rig: LiveRig) -> str:
    """Who signed what the edge serves for the rig's hostname, as a client sees it."""
    return next((line for line in served(rig).splitlines() if line.startswith("issuer=")), "")


def served(rig: LiveRig) -> str:
    """What openssl says of the edge's certificate for the rig's hostname."""
    name = tomllib.loads(rig.toml)["rig"]["hostname"]
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{rig.https_port}", "-servername", name]
    return subprocess.run(argv, input="", capture_output=True, text=True, timeout=20).stdout


def test_without_a_way_to_the_name_the_rigs_own_certificate_stands_in(
    bare: LiveRig, zone: NameServer, authority: Path
) -> None:
    bare.set("hostname", f'"{NAME}"')
    bare.set("acme_directory", '"https://ca.example.net:14000/dir"')
    bare.set("acme_ca", f'"{authority}"')
    assert zone.address_of(NAME) == ""
    bare.up()
    wait_for("the rig's own authority stands in", lambda: "rigstack" in issuer(bare), timeout=60)
    tls = bare.status()["edge"]["tls"]
    assert (tls["mode"], tls["issuer"]) == ("acme", "internal")
    wait_for("the authority's words", lambda: bare.status()["edge"]["tls"]["error"] != "")
    assert NAME in bare.status()["edge"]["tls"]["error"]
    assert "the rig's own certificate stands in" in bare.run("status").stdout


def address_of_edge(rig: LiveRig) -> str:
    where = f'--format={{{{(index .NetworkSettings.Networks "rigstack-{rig.name}_front").IPAddress}}}}'
    return docker("inspect", where, rig.containers()["edge"])


def test_a_name_that_somebody_sets_later_is_signed_within_a_minute(
    bare: LiveRig, world: World, zone: NameServer
) -> None:
    """Nobody says anything to the rig. Its resolver has the name by an alias on the network, the authority by BIND."""
    zone.set(NAME, address_of_edge(bare))
    assert "rigstack" in issuer(bare)
    alias = f"{world.name}-alias"
    world.containers.append(alias)
    image = docker("inspect", "--format={{.Config.Image}}", world.name)
    network = ("--network", f"rigstack-{bare.name}_front", "--network-alias", NAME)
    docker("run", "--detach", "--name", alias, *network, "--entrypoint=sleep", image, "infinity")
    wait_for("the authority signs", lambda: "Pebble" in issuer(bare), timeout=60)
    docker("rm", "--force", alias)
    asked = (bare.path / "secrets/edge/asked-authority").read_text().split()
    assert len(asked) == 1, "it asks when something changed, and not all the time"


def test_the_ddns_sidecars_first_success_leads_to_a_certificate(bare: LiveRig, world: World, zone: NameServer) -> None:
    """A new name; nobody knows the public address until long after the edge has asked, and was refused."""
    name = f"two.{zone.zone}"
    bare.set("hostname", f'"{name}"')
    bare.append(
        f'[ddns]\nprovider = "rfc2136"\nusername = "hmac-sha256:{KEY_NAME}"\nserver = "ca.{zone.zone}"\n'
        f'zone = "{zone.zone}"\ncheckip = "ca.{zone.zone}:8080/ip"\ninterval = 10\n'
    )
    secret = bare.path / "secrets/ddns-password"
    secret.write_text(KEY_SECRET + "\n")
    secret.chmod(0o600)
    bare.up()
    wait_for("the authority refuses", lambda: name in bare.status()["edge"]["tls"]["error"])
    assert bare.status()["edge"]["tls"]["issuer"] == "internal"
    FakeProvider(world, port=8080).set(ip=address_of_edge(bare), answer="")
    wait_for("the name is there", lambda: zone.address_of(name) == address_of_edge(bare))
    wait_for("the authority signs", lambda: bare.status()["edge"]["tls"]["issuer"] == "acme", timeout=60)
    assert "asks for its first certificate again" in bare.run("logs", "edge").stdout
    (bare.path / "rig.toml").write_text(bare.toml.partition("[ddns]\nprovider")[0])


def test_a_person_may_have_it_asked_again_but_not_all_the_time(bare: LiveRig, zone: NameServer) -> None:
    bare.set("hostname", f'"three.{zone.zone}"')
    bare.up()
    wait_for("the authority refuses", lambda: "three" in bare.status()["edge"]["tls"]["error"])
    zone.set(f"three.{zone.zone}", address_of_edge(bare))
    assert "the edge asks again" in bare.up().stderr
    wait_for("the authority signs", lambda: bare.status()["edge"]["tls"]["issuer"] == "acme", timeout=60)
    bare.set("hostname", f'"four.{zone.zone}"')
    bare.up()
    assert "it was asked 3 times within the hour" in bare.up().stderr


@pytest.fixture
def dns_01(bare: LiveRig, tmp_path: Path) -> Iterator[Path]:
    """rig.toml names a Caddy that has a DNS module, and for the test alone; yields the file of that one's secret."""
    before = bare.toml
    secret = bare.path / "secrets/tsig"
    with caddy_image(f"{bare.name}-caddy", tmp_path) as image:
        bare.set("hostname", '"nowhere.example.net"')
        bare.set("caddy_image", f'"{image}"')
        bare.set("dns_resolver", '"ca.example.net"')
        secret.write_text("bm90IHRoZSBrZXk=\n")
        secret.chmod(0o600)
        yield secret
        (bare.path / "rig.toml").write_text(before)


def test_a_caddy_without_the_module_is_refused_and_the_edge_goes_on(bare: LiveRig, dns_01: Path) -> None:
    edge = bare.containers()["edge"]
    bare.set("dns", '"desec"')
    bare.set("dns_settings", '{ token = "file:secrets/tsig" }')
    done = bare.run("up")
    assert done.returncode == 7, done.stderr
    assert f"has no module dns.providers.desec; of these it has: {MODULE}" in done.stderr
    assert "caddy list-modules" in done.stderr and "what ran before still runs" in done.stderr
    bare.set("dns", f'"{MODULE}"')
    done = bare.run("up")
    assert done.returncode == 4, done.stderr
    assert "Caddy refuses the new sites; the present ones stay" in done.stderr
    assert f"{MODULE} takes no token" in done.stderr
    assert bare.containers()["edge"] == edge and served(bare)


def test_dns_01_needs_no_port_and_no_address(bare: LiveRig, zone: NameServer, dns_01: Path) -> None:
    name = "nowhere.example.net"
    bare.set("dns", f'"{MODULE}"')
    settings = f'server = "ca.{zone.zone}:53", key_name = "{KEY_NAME}", key = "file:secrets/tsig"'
    bare.set("dns_settings", f"{{ {settings} }}")
    (bare.path / "secrets/edge/asked-authority").unlink()  # an hour later
    plan = bare.run("up", "--dry-run").stdout
    assert f"FROM {bare.name}-caddy: local sha256:" in plan and f"build argument DNS_MODULE: {MODULE}" in plan
    bare.up()
    wait_for(
        "its name server refuses", lambda: "bad authentication" in bare.status()["edge"]["tls"]["error"], timeout=60
    )
    assert bare.status()["edge"]["tls"]["issuer"] == "internal"
    dns_01.write_text(KEY_SECRET + "\n")
    bare.up()
    wait_for("the authority signs", lambda: "Pebble" in issuer(bare), timeout=60)
    assert zone.address_of(name) == ""
    wait_for("the record is taken back", lambda: zone.address_of(f"_acme-challenge.{name}", "TXT") == "")
    edge = bare.containers()["edge"]
    seen = (
        docker("inspect", edge)
        + docker("logs", edge)
        + docker("top", edge, "-eo", "pid,args")
        + bare.run("logs").stdout
    )
    seen += "".join(path.read_text(errors="replace") for path in (bare.path / "state").rglob("*") if path.is_file())
    assert "nowhere" in seen and KEY_SECRET not in seen


def test_a_name_that_leads_here_is_signed(bare: LiveRig, zone: NameServer) -> None:
    zone.set(LAST, address_of_edge(bare))
    bare.set("hostname", f'"{LAST}"')
    bare.set("mode", '"acme"')
    bare.up()
    wait_for("the authority signs", lambda: "Pebble" in issuer(bare), timeout=60)
    wait_for("status says so", lambda: bare.status()["edge"]["tls"]["issuer"] == "acme")
    assert bare.status()["edge"]["tls"]["error"] == ""
    bare.up()
    again = bare.up()
    assert again.stdout.strip() == "nothing to do: everything runs as rig.toml says" and "asks" not in again.stderr


def served_until(rig: LiveRig) -> float:
    """When that certificate ends, seconds since 1970."""
    argv = ["openssl", "x509", "-noout", "-enddate"]
    shown = subprocess.run(argv, input=served(rig), capture_output=True, text=True)
    return ssl.cert_time_to_seconds(shown.stdout.strip().removeprefix("notAfter="))


def test_a_renewal_that_fails_leaves_what_is_served_and_tells_the_authoritys_words(
    bare: LiveRig, world: World, zone: NameServer
) -> None:
    zone.set(LAST, "127.0.0.1")  # from where the authority looks, nobody answers
    end = served_until(bare)
    wait_for("it is due", lambda: time.time() > end - LIFE / 3, timeout=LIFE)
    docker("restart", "--time=2", bare.containers()["edge"])
    wait_for("the renewal fails", lambda: bare.status()["edge"]["tls"]["error"] != "", timeout=60)
    tls = bare.status()["edge"]["tls"]
    assert "urn:ietf:params:acme:error:" in tls["error"] and "127.0.0.1:" in tls["error"], tls
    assert tls["issuer"] == "acme"
    assert served_until(bare) == end and "Pebble" in issuer(bare)
    assert "what was served before is served on" in bare.run("status").stdout


def test_what_was_signed_is_served_on_when_the_authority_is_gone(bare: LiveRig, world: World, zone: NameServer) -> None:
    zone.set(LAST, "192.0.2.1")
    pebble = world.processes[-1]
    pebble.terminate()
    pebble.wait(timeout=10)
    for mode in ("acme", "auto"):
        bare.set("mode", f'"{mode}"')
        bare.up()
        docker("restart", "--time=2", bare.containers()["edge"])
        wait_for("the edge serves again", lambda: issuer(bare) != "", timeout=30)
        assert "Pebble" in issuer(bare), mode
