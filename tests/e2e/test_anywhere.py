"""The rig at home and the laptop in a cafe: a router, a name server, a DDNS provider and an authority between them.

All of it is real (miniupnpd, BIND, pebble, Chromium) but the DDNS company: it speaks dyndns2 and feeds the name server.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.conftest import MakeRig
from tests.e2e.browser import chromium_in, open_notebook, trust
from tests.e2e.laptop import Laptop
from tests.internet import WITHOUT_TIMERS, HomeRouter, Place, cable
from tests.live_rig import RIGSTACK, LiveRig, docker, wait_for
from tests.name_server import NameServer
from tests.world import FakeProvider

NAME = "rig.example.net"
INTERVAL = 10  # seconds, the least that [ddns] takes
TTL = 2
CELLS = ("x = 41\nprint('ready', x)",)


class Map:
    """Addresses of one run: 11.N.1.0/24 between provider and home, 11.N.2.0/24 the cafe, 10.213.N.0/24 the LAN."""

    def __init__(self) -> None:
        number = 1 + secrets.randbelow(254)
        self.public = f"11.{number}.0.0/16"
        self.provider, self.home, self.tomorrow = (f"11.{number}.1.{last}" for last in (1, 2, 77))
        self.cafe, self.laptop = (f"11.{number}.2.{last}" for last in (1, 2))
        self.router, self.host = (f"10.213.{number}.{last}" for last in (1, 10))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Map, Place, HomeRouter]]:
    """The internet and the home's router, with this machine on the router's LAN."""
    here, folder = Map(), tmp_path_factory.mktemp("places")
    internet, router, host = (
        Place(folder / "internet"),
        HomeRouter(folder / "router"),
        Place(folder / "host", host=True),
    )
    end = f"rs{secrets.token_hex(4)}"
    try:
        cable(internet, "home", f"{here.provider}/24", router, "wan", f"{here.home}/24")
        cable(router, "lan", f"{here.router}/24", host, end, f"{here.host}/24")
        router.do(f"ip route add default via {here.provider}")
        internet.do("sysctl -qw net.ipv4.ip_forward=1")
        # The machine's own way out stays as it is: only the test's internet is by the router.
        host.do(f"ip route add {here.public} via {here.router} dev {end}")
        host.do(f"ip route add default via {here.router} dev {end} metric 50000")
        router.switch_on()
        yield here, internet, router
    finally:
        router.destroy()
        internet.destroy()


@pytest.fixture(scope="module")
def authority(places: tuple[Map, Place, HomeRouter]) -> Path:
    """pebble on the internet, which looks names up there and visits what it finds; its own HTTPS certificate."""
    here, internet, _ = places
    folder = internet.folder / "pebble"
    folder.mkdir()
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -addext subjectAltName=IP:{here.provider}"
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem"))
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    settings = {
        **{"listenAddress": "0.0.0.0:14000", "managementListenAddress": "127.0.0.1:15000"},
        **{
            "certificate": str(folder / "ca.pem"),
            "privateKey": str(folder / "key.pem"),
            "httpPort": 80,
            "tlsPort": 443,
        },
        **{"ocspResponderURL": "", "externalAccountBindingRequired": False},
    }
    (folder / "config.json").write_text(json.dumps({"pebble": settings}))
    quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    internet.start("pebble", "-config", str(folder / "config.json"), "-dnsserver", "127.0.0.1:53", env=quick)
    internet.wait_for_port(14000)
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def zone(places: tuple[Map, Place, HomeRouter]) -> NameServer:
    return NameServer(places[1], "example.net", places[0].provider)


@pytest.fixture(scope="module")
def provider(places: tuple[Map, Place, HomeRouter], zone: NameServer) -> FakeProvider:
    fake = FakeProvider(places[1], port=8080)
    fake.set(ip="", answer="good", feed={"server": "127.0.0.1", "zone": zone.zone})
    return fake


@pytest.fixture(scope="module")
def rig(
    make_rig: MakeRig, places: tuple[Map, Place, HomeRouter], authority: Path, provider: FakeProvider
) -> Iterator[LiveRig]:
    """A rig that nobody has brought up yet, on the router's LAN."""
    here, _, _ = places
    made = make_rig()
    made.set("bind", f'"{here.host}"')
    made.set("https_port", 443)
    made.set("http_port", 80)
    made.set("hostname", f'"{NAME}"')
    made.set("acme_directory", f'"https://{here.provider}:14000/dir"')
    made.set("acme_ca", f'"{authority}"')
    (made.path / "rig.toml").write_text(made.toml.replace("[gpu]\n", '[gpu]\nmode = "none"\n'))
    place = f"{here.provider}:8080"
    made.append(
        f'[ddns]\nprovider = "dyndns2"\nusername = "ada"\nserver = "{place}"\ntls = false\ncheckip = "{place}/ip"\n'
        f'nameserver = "{here.provider}"\ninterval = {INTERVAL}\n'
    )
    secret = made.path / "secrets/ddns-password"
    secret.parent.mkdir(mode=0o700, exist_ok=True)
    secret.write_text("a password\n")
    secret.chmod(0o600)
    yield made
    made.run("down")  # before its network goes


@pytest.fixture(scope="module")
def laptop(places: tuple[Map, Place, HomeRouter], rig: LiveRig) -> Iterator[Laptop]:
    """In the cafe: it knows the cafe's router, the name server, and its own key."""
    here, internet, _ = places
    made = Laptop()
    try:
        outside = Place(internet.folder / "laptop", host=True)
        outside.pid = made.pid
        outside.do("ip link del cable")
        cable(internet, "cafe", f"{here.cafe}/24", outside, "wifi", f"{here.laptop}/24")
        outside.do(f"ip route add default via {here.cafe}")
        made.path("resolv.conf").write_text(f"nameserver {here.cafe}\n")
        made.as_root(f"mount --bind {made.home}/resolv.conf /etc/resolv.conf")
        for name in ("id_ed25519", "id_ed25519.pub"):
            made.path(f".ssh/{name}").write_bytes((rig.key.parent / name).read_bytes())
            made.path(f".ssh/{name}").chmod(0o600)
        yield made
    finally:
        made.destroy()


def net(rig: LiveRig, *words: str) -> str:
    done = subprocess.run(
        [*WITHOUT_TIMERS, *RIGSTACK, "--rig", str(rig.path), "net", *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# What the notebook's first kernel says to `code`, asked over a connection of one's own (jupyter-client, "Messaging").
ASK_KERNEL = """async (code) => {
  const [kernel] = await (await fetch('/p/demo/api/kernels')).json();
  const socket = new WebSocket(`wss://${location.host}/p/demo/api/kernels/${kernel.id}/channels`);
  const header = {msg_id: crypto.randomUUID(), msg_type: 'execute_request', session: crypto.randomUUID(),
                  username: '', version: '5.3', date: new Date().toISOString()};
  const content = {code, silent: false, store_history: false, user_expressions: {}, allow_stdin: false};
  return await new Promise((done, fail) => {
    setTimeout(() => fail(new Error('the kernel says nothing')), 20000);
    let text = '';  // it may come in pieces
    socket.onmessage = (event) => {
      const said = JSON.parse(event.data);
      if (said.msg_type === 'stream' && said.parent_header.msg_id === header.msg_id) text += said.content.text;
      if (text.endsWith('\\n')) done(text);
    };
    socket.onopen = () => socket.send(JSON.stringify(
      {header, parent_header: {}, metadata: {}, content, channel: 'shell', buffers: []}));
  });
}"""


def own_mib(container: str) -> float:
    """The memory of its processes but their mapped files, what they share counted in parts (proc(5), Pss_Anon)."""
    pids = docker("top", container, "-eo", "pid").split()[1:]
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:")) / 1024


def test_from_home_to_a_cafe_and_through_a_night(
    places: tuple[Map, Place, HomeRouter],
    rig: LiveRig,
    zone: NameServer,
    provider: FakeProvider,
    laptop: Laptop,
    artifacts: Path,
) -> None:
    here, internet, router = places
    times: dict[str, float] = {}
    begin = time.monotonic()

    def passed(what: str, since: float) -> float:
        times[what] = time.monotonic() - since
        return time.monotonic()

    # The rig comes up, maps its ports, has its name and its certificate.
    notebook = rig.code() / "story.ipynb"
    cells = [
        {"cell_type": "code", "id": f"c{n}", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
        for n, source in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "project", "display_name": "demo", "language": "python"}}
    notebook.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    os.chown(notebook, rig.code().stat().st_uid, rig.code().stat().st_gid)
    rig.up()
    at = passed("the rig is up", begin)
    assert laptop.run("curl", "-ks", "--max-time", "1", f"https://{here.home}/").returncode != 0, "it is open already"
    assert "443/tcp" in net(rig, "open")
    at = passed("ports are mapped", at)
    wait_for("the name leads to the router", lambda: zone.address_of(NAME) == here.home, timeout=30)
    root = laptop.path("root.pem")
    root.write_text(internet.run("curl", "-sk", "https://127.0.0.1:15000/roots/0").stdout)
    assert "BEGIN CERTIFICATE" in root.read_text()
    visit = ("curl", "-sS", "--max-time", "2", "--cacert", str(root), f"https://{NAME}/")

    def answers() -> bool:
        return laptop.run(*visit).returncode == 0

    wait_for("the laptop reads the rig's page by name, certificate and all", answers, timeout=60)
    at = passed("name and certificate", at)
    assert rig.status()["edge"]["tls"]["issuer"] == "acme"
    assert {one["state"] for one in json.loads(net(rig, "status", "--json"))["ports"]} == {"open"}

    # ssh by name, by what a person types on the laptop.
    fingerprint = rig.status()["gateway"]["fingerprint"]
    where = f"{NAME}:{rig.ssh_port}"
    connected = laptop.rigstack("connect", where, "--as", "box", "--fingerprint", fingerprint)
    assert connected.returncode == 0, connected.stderr
    assert "story.ipynb" in laptop.run("ssh", "box-demo", "ls", "/code/demo").stdout
    seen = laptop.run(
        *("env", f"SSL_CERT_FILE={root}", sys.executable, "-m", "rigstack", "doctor", "--from-laptop", where)
    )
    assert seen.returncode == 0, seen.stdout + seen.stderr

    # The notebook by name in a browser that trusts the authority and clicks no warning away.
    trust(laptop.home, root)
    url = f"https://{NAME}/p/demo/lab/tree/story.ipynb"
    # As root: its profile is made outside, by Playwright.
    with chromium_in(laptop.home, *laptop.argv(root=True)) as browser:
        page = browser.new_page()
        cell = open_notebook(page, url, rig.password)
        expect(page.locator("#jp-main-statusbar")).to_contain_text("demo | Idle", timeout=60_000)
        cell.click()
        page.keyboard.press("Shift+Enter")
        expect(cell).to_contain_text("ready 41", timeout=30_000)
        page.close()
        passed("ssh and a notebook from the cafe", at)

        # The provider gives another address. Nobody does anything.
        updates = len(provider.requests())
        router.new_address(f"{here.tomorrow}/24", here.provider)
        changed = time.monotonic()
        wait_for("the name follows", lambda: zone.address_of(NAME) == here.tomorrow, timeout=INTERVAL + 10)
        passed("address changed -> the name is updated", changed)
        wait_for("the laptop reaches it again", answers, timeout=TTL + 10)
        passed("address changed -> the laptop reads the page by name", changed)
        assert times["address changed -> the laptop reads the page by name"] < INTERVAL + TTL + 5
        assert len(provider.requests()) == updates + 1

        assert "story.ipynb" in laptop.run("ssh", "box-demo", "ls", "/code/demo").stdout
        page = browser.new_page()
        expect(open_notebook(page, url, rig.password)).to_contain_text("ready 41", timeout=30_000)
        assert page.evaluate(ASK_KERNEL, "print('after', x + 1)") == "after 42\n"
        page.screenshot(path=str(artifacts / "anywhere.png"))

    # With ssh sessions and a notebook open, right after a certificate.
    memory = {name: own_mib(rig.containers()[name]) for name in ("edge", "gateway", "ddns")}

    net(rig, "close")
    assert router.mappings() == []
    assert laptop.run("curl", "-ks", "--max-time", "1", f"https://{NAME}/").returncode != 0
    passed("all of it", begin)
    shown = "\n".join(f"{seconds:7.1f} s  {what}" for what, seconds in times.items())
    shown += "".join(f"\n{mib:7.1f} MiB  {name}" for name, mib in memory.items())
    (artifacts / "anywhere.txt").write_text(shown + "\n")
    print("\n" + shown)
    assert 5 < sum(memory.values()) <= 60, memory
