"""Certificates from a real ACME authority (pebble) that looks up and visits the rig as a public one would."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeRig
from tests.live_rig import LiveRig, docker, wait_for
from tests.name_server import NameServer
from tests.world import World

NAME = "rig.example.net"
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
    address = world.join("ca.example.net", network=f"rigstack-{bare.name}_front")
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
    """Who signed what the edge serves for NAME, as a client sees it."""
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{rig.https_port}", "-servername", NAME]
    seen = subprocess.run(argv, input="", capture_output=True, text=True, timeout=20).stdout
    return next((line for line in seen.splitlines() if line.startswith("issuer=")), "")


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


def test_a_name_that_leads_here_is_signed(bare: LiveRig, zone: NameServer, authority: Path) -> None:
    network = f"rigstack-{bare.name}_front"
    where = f'--format={{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    zone.set(NAME, docker("inspect", where, bare.containers()["edge"]))
    bare.set("mode", '"acme"')
    bare.up()
    docker("restart", "--time=2", bare.containers()["edge"])
    wait_for("the authority signs", lambda: "Pebble" in issuer(bare), timeout=60)
    wait_for("status says so", lambda: bare.status()["edge"]["tls"]["issuer"] == "acme")
    assert bare.status()["edge"]["tls"]["error"] == ""
    assert "nothing to do" in bare.up().stdout


def served_until(rig: LiveRig) -> float:
    """When the certificate ends that the edge serves for NAME, seconds since 1970."""
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{rig.https_port}", "-servername", NAME]
    seen = subprocess.run(argv, input="", capture_output=True, text=True, timeout=20).stdout
    shown = subprocess.run(["openssl", "x509", "-noout", "-enddate"], input=seen, capture_output=True, text=True)
    return ssl.cert_time_to_seconds(shown.stdout.strip().removeprefix("notAfter="))


def test_a_renewal_that_fails_leaves_what_is_served_and_tells_the_authoritys_words(
    bare: LiveRig, world: World, zone: NameServer
) -> None:
    zone.set(NAME, "127.0.0.1")  # from where the authority looks, nobody answers
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
    zone.set(NAME, "192.0.2.1")
    pebble = world.processes[-1]
    pebble.terminate()
    pebble.wait(timeout=10)
    for mode in ("acme", "auto"):
        bare.set("mode", f'"{mode}"')
        bare.up()
        docker("restart", "--time=2", bare.containers()["edge"])
        wait_for("the edge serves again", lambda: issuer(bare) != "", timeout=30)
        assert "Pebble" in issuer(bare), mode
