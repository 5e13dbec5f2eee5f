"""What a stranger who scans a rig gets to see, by the scanners' own words."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.laptop import Laptop
from tests.live_rig import LiveRig, docker, free_port

SSH_AUDIT = (str(Path(sys.executable).with_name("ssh-audit")), "--skip-rate-test", "-p")
HARDENED = "Hardened Debian 13 (version 1)"
NOT_POST_QUANTUM = ["does not provide protection against post-quantum attacks"]


def ssh_audit(port: int) -> dict[str, dict[str, list[str]]]:
    """ "fail" and "warn" -> algorithm -> what ssh-audit has against it."""
    done = subprocess.run([*SSH_AUDIT, str(port), "-j", "127.0.0.1"], capture_output=True, text=True, timeout=60)
    document: dict[str, Any] = json.loads(done.stdout)
    assert [one["algorithm"] for one in document["kex"]], "nothing was scanned"
    found: dict[str, dict[str, list[str]]] = {"fail": {}, "warn": {}}
    for kind in ("kex", "key", "enc", "mac"):
        for one in document[kind]:
            for grade in found:
                if notes := one["notes"].get(grade):
                    found[grade][one["algorithm"]] = notes
    assert "OpenSSH" in document["banner"]["raw"] and "Debian" not in document["banner"]["raw"]
    return found


def policy(rig: LiveRig) -> dict[str, Any]:
    argv = [*SSH_AUDIT, str(rig.ssh_port), "-j", "-P", HARDENED, "127.0.0.1"]
    document: dict[str, Any] = json.loads(subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout)
    return document


def test_compatible_lacks_nothing_but_what_pycharm_lacks(rig: LiveRig) -> None:
    names = ("curve25519-sha256", "curve25519-sha256@libssh.org")
    assert ssh_audit(rig.ssh_port) == {"fail": {}, "warn": dict.fromkeys(names, NOT_POST_QUANTUM)}
    assert [error["mismatched_field"] for error in policy(rig)["errors"]] == ["Key exchanges"]


def test_modern_has_nothing_to_complain_about(rig: LiveRig) -> None:
    rig.set("clients", '"modern"')
    assert "gateway" in rig.run("up", "--dry-run").stdout
    rig.up()
    assert ssh_audit(rig.ssh_port) == {"fail": {}, "warn": {}}
    assert policy(rig)["passed"] is True
    assert rig.ssh("gateway").returncode == 0
    old = rig.ssh("-o", "KexAlgorithms=curve25519-sha256", "gateway")
    assert old.returncode != 0 and "no matching key exchange" in old.stderr


def workspace_port(rig: LiveRig) -> int:
    """The workspace's own port, set in rig.toml if it was not."""
    there = re.search(r"^\[projects\.demo\]\nssh_port = (\d+)$", rig.toml, re.M)
    port = int(there[1]) if there else free_port()
    if not there:
        text = re.sub(r"^\[projects\.demo\]$", rf"\g<0>\nssh_port = {port}", rig.toml, flags=re.M)
        (rig.path / "rig.toml").write_text(text)
    return port


def test_a_workspace_with_a_port_of_its_own_is_as_modern_as_the_gateway(rig: LiveRig) -> None:
    assert rig.ssh("demo", "-o", "KexAlgorithms=curve25519-sha256", "true").returncode == 0
    rig.set("clients", '"modern"')
    port = workspace_port(rig)
    rig.up()
    assert ssh_audit(port) == {"fail": {}, "warn": {}}
    # Whoever comes through the gateway, over the loopback or over IPv6 shares an address: it must not be shut out.
    said = docker("exec", rig.containers()["demo-workspace"], "cat", "/run/rigstack/sshd_env.conf")
    (exempt,) = re.findall(r"^PerSourcePenaltyExemptList (\S+)$", said, re.M)
    for network in ("p-demo", "s-demo"):
        subnet = "--format={{(index .IPAM.Config 0).Subnet}}"
        assert docker("network", "inspect", f"rigstack-{rig.name}_{network}", subnet) in exempt.split(",")


@pytest.fixture
def outside() -> Iterator[Laptop]:
    """A machine on another network, which knows the way to this one and to no container."""
    made = Laptop()
    yield made
    made.destroy()


def test_gateway_and_edge_have_no_way_out(rig: LiveRig, outside: Laptop) -> None:
    """The edge of this rig signs its certificates itself: it has nobody to ask."""
    server = outside.start(sys.executable, "-u", "-m", "http.server", "8000")
    assert server.stdout is not None and "port 8000" in server.stdout.readline()

    def reaches(service: str) -> bool:
        probe = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{outside.address}/8000'"
        argv = ["docker", "exec", rig.containers()[service], "bash", "-c", probe]
        return subprocess.run(argv, capture_output=True, timeout=30).returncode == 0

    assert reaches("demo-workspace"), "nothing was tried"
    assert not reaches("gateway")
    assert not reaches("edge")


def guess(argv: list[str], times: int) -> list[int]:
    return [subprocess.run(argv, capture_output=True, timeout=30).returncode for _ in range(times)]


def stranger(address: str, port: int, key: str) -> list[str]:
    """A login with a key that nobody knows, which fails."""
    return [
        *("ssh", "-T", "-F", "none", "-p", str(port), "-i", key, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
        *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", f"jump@{address}"),
    ]


def test_one_guesser_on_the_loopback_locks_nobody_out(rig: LiveRig, tmp_path: Path) -> None:
    """Behind a published port all loopback clients arrive as the bridge's address: they must not share a penalty."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "k")], check=True)
    assert set(guess(stranger("127.0.0.1", rig.ssh_port, str(tmp_path / "k")), 8)) == {255}
    assert rig.ssh("gateway").returncode == 0


def test_a_guesser_with_an_address_of_its_own_is_shut_out(rig: LiveRig) -> None:
    """Another container on the gateway's network keeps guessing: sshd stops talking to it, and to nobody else."""
    network = f"rigstack-{rig.name}_gate"
    where = f'--format={{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    gateway = rig.containers()["gateway"]
    image = docker("inspect", "--format={{.Config.Image}}", gateway)
    address = docker("inspect", where, gateway)
    looks = f"for i in $(seq 25); do ssh-keyscan -T 2 -t ed25519 {address} 2> /dev/null; done"
    probe = f"{looks}; for i in 1 2 3 4 5 6 7 8; do {shlex.join(stranger(address, 22, '/tmp/k'))}; done"
    argv = [
        "docker",
        "run",
        "--rm",
        f"--network={network}",
        "--entrypoint=sh",
        image,
        "-c",
        f"ssh-keygen -qt ed25519 -N '' -f /tmp/k; {probe}",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    said = done.stderr
    assert done.stdout.count("ssh-ed25519") == 25, "only to look at the host key is no guess"
    tried = said.count("Permission denied")
    assert 1 <= tried <= 5, said
    assert len(re.findall("^(?:Connection (?:closed|reset) by|Not allowed)", said, re.M)) == 8 - tried, said
    assert rig.ssh("gateway").returncode == 0


def notebook_login(base: str, jar: Path, password: str, *words: str, runner: tuple[str, ...] = ()) -> str:
    """Gives a password to the login form as a browser does; the HTTP status."""
    curl = [*runner, "curl", "-sk", "-o", "/dev/null", "-b", str(jar), "-c", str(jar), "--max-time", "60", *words]
    subprocess.run([*curl, f"{base}/p/demo/login"], check=True, timeout=90)
    jars = subprocess.run([*runner, "cat", str(jar)], capture_output=True, text=True, check=True).stdout
    token = re.search(r"\t_xsrf\t(\S+)", jars)
    assert token
    form = ("--data-urlencode", f"password={password}", "--data-urlencode", f"_xsrf={token.group(1)}")
    argv = [*curl, "-w", "%{http_code}", *form, f"{base}/p/demo/login"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=90).stdout


def test_a_stranger_opens_no_websocket(rig: LiveRig, tmp_path: Path) -> None:
    """nvdashboard itself would tell anybody how busy the machine is."""
    jar = tmp_path / "jar"
    assert notebook_login(f"https://localhost:{rig.https_port}", jar, rig.password) == "302"
    fields = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + "A" * 22 + "==",
    )
    upgrade = ("--http1.1", *(word for field in fields for word in ("-H", field)), "--max-time", "2")
    for path in ("nvdashboard/cpu_resource", "api/events/subscribe"):
        answers = [
            rig.curl(f"/p/demo/{path}", "-o", "/dev/null", "-w", "%{http_code}", *upgrade, *who).stdout
            for who in ((), ("-b", str(jar)))
        ]
        assert answers == ["403", "101"], path


def test_a_stranger_cannot_fill_the_notebooks_memory(rig: LiveRig, tmp_path: Path) -> None:
    """Jupyter would take up to 512 MB of anybody before it asks who it is; people upload as much as ever."""
    large = tmp_path / "large"
    large.write_bytes(b'{"type": "file", "format": "text", "content": "' + b"x" * 40_000_000 + b'"}')
    notebook = rig.containers()["demo-notebook"]

    def memory() -> int:
        """The most that any of its processes ever had, in KiB (proc(5), VmHWM)."""
        told = docker("exec", notebook, "sh", "-c", "cat /proc/[0-9]*/status", check=False)
        return max(int(kib) for kib in re.findall(r"VmHWM:\s+(\d+) kB", told))

    before = memory()
    send = ("-o", "/dev/null", "-w", "%{http_code}", "--data-binary", f"@{large}")
    chunked = ("-H", "Transfer-Encoding: chunked", "--http1.1")
    for path, words in (("login", ()), ("api/contents/a.txt", chunked), ("login", ("-X", "GET", "--http1.1"))):
        code = rig.curl(f"/p/demo/{path}", *send, *words).stdout
        assert code in ("403", "413"), (path, words, code)
    assert memory() < before + 20_000, "it took them in"

    jar = tmp_path / "jar"
    assert notebook_login(f"https://localhost:{rig.https_port}", jar, rig.password) == "302"
    token = re.search(r"\t_xsrf\t(\S+)", jar.read_text())
    assert token
    mine = ("-b", str(jar), "-H", f"X-XSRFToken: {token.group(1)}", "-H", "Content-Type: application/json")
    assert rig.curl("/p/demo/api/contents/a.txt", *send, "-X", "PUT", *mine).stdout == "201"
    assert (rig.code() / "a.txt").stat().st_size == 40_000_000


def test_guessing_the_notebook_password_is_slow_and_locks_nobody_out(rig: LiveRig, tmp_path: Path) -> None:
    base = f"https://localhost:{rig.https_port}"
    owner = tmp_path / "owner"
    assert notebook_login(base, owner, rig.password) == "302"

    def guess(number: int) -> str:
        lie = ("-H", f"X-Real-Ip: 192.0.2.{number}", "-H", f"X-Forwarded-For: 192.0.2.{number}")
        return notebook_login(base, tmp_path / f"guesser{number}", f"wrong {number}", *lie)

    with ThreadPoolExecutor(max_workers=8) as crowd:
        first = [guess(number) for number in range(3)]
        rest = [crowd.submit(guess, number) for number in range(3, 33)]
        # Meanwhile, from the guesser's own address, but from a browser that was logged in before:
        assert notebook_login(base, owner, rig.password) == "302"
        # and from a browser that never was, at another address.
        workspace = rig.containers()["demo-workspace"]
        network = f"rigstack-{rig.name}_p-demo"
        where = f'--format={{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
        way = ("--resolve", f"localhost:443:{docker('inspect', where, rig.containers()['edge'])}")
        inside = ("docker", "exec", workspace)
        new = notebook_login("https://localhost", Path("/tmp/jar"), rig.password, *way, runner=inside)
        assert new == "302"
        answers = [*first, *(one.result() for one in rest)]
    assert first == ["401"] * 3
    assert set(answers) == {"401", "429"}, answers
    assert answers.count("401") <= 9, "it was looked at too many of them"


def test_a_crowd_at_the_project_list_does_not_bring_the_edge_down(rig: LiveRig) -> None:
    edge = rig.containers()["edge"]
    before = docker("inspect", "--format={{.State.StartedAt}}", edge)
    with ThreadPoolExecutor(max_workers=40) as crowd:
        words = ("-o", "/dev/null", "-w", "%{http_code}", "--max-time", "3")
        tries = [crowd.submit(rig.curl, "/projects/", "--user", f"rig:wrong {n}", *words) for n in range(40)]
        answers = [one.result().stdout for one in tries]
    assert answers.count("429") > 30, answers  # the others wait for their turn
    assert docker("inspect", "--format={{.State.StartedAt}}", edge) == before


@pytest.mark.parametrize("path", ["/", "/projects/", "/p/none/", "/nothing"])
def test_the_edge_says_no_more_than_it_must(rig: LiveRig, path: str) -> None:
    headers = rig.curl(path, "-I").stdout.lower()
    assert headers.startswith("http/2")
    for name in ("server:", "via:", "x-powered-by:", "caddy"):
        assert name not in headers, headers
    for name in ("x-content-type-options: nosniff", "x-frame-options: sameorigin", "content-security-policy:"):
        assert name in headers, headers


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_the_edge_speaks_no_old_tls(rig: LiveRig, version: str) -> None:
    argv = ["openssl", "s_client", version, "-cipher", "ALL:@SECLEVEL=0", "-connect", f"127.0.0.1:{rig.https_port}"]
    done = subprocess.run(argv, input="", capture_output=True, text=True, timeout=20)
    assert "Cipher is (NONE)" in done.stdout


# More connections than sshd has places for, on which nothing is said. Those that it closes count, too.
HOLD = """
import socket, sys, time
held = [socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) for _ in range(250)]
print("held", flush=True)
time.sleep(60)
"""
SIX = "fd5a:7e57:{:x}::"


@pytest.fixture
def six(outside: Laptop) -> str:
    """The prefix of a network of IPv6 on the cable: this machine is 1 there, the one outside 2."""
    prefix = SIX.format(os.getpid() % 65536)
    subprocess.run(["ip", "addr", "add", f"{prefix}1/64", "dev", outside.name, "nodad"], check=True)
    outside.as_root(f"ip addr add {prefix}2/64 dev cable nodad")
    return prefix


def test_over_ipv6_a_guesser_is_shut_out_alone_at_the_gateway_and_at_a_workspaces_own_port(
    rig: LiveRig, outside: Laptop, six: str
) -> None:
    """From outside, with an address of its own; and over the loopback, as which everybody has the bridge's."""
    rig.set("bind", '""')
    port = workspace_port(rig)
    rig.up()
    for name in ("id_ed25519", "id_ed25519.pub"):
        outside.path(f".ssh/{name}").write_bytes((rig.key.parent / name).read_bytes())
    outside.path(".ssh/id_ed25519").chmod(0o600)
    assert outside.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "k").returncode == 0
    assert outside.run("curl", "-sk", f"https://[{six}1]:{rig.https_port}/").returncode == 0
    for user, where, service in (("jump", rig.ssh_port, "gateway"), ("dev", port, "demo-workspace")):

        def login(to: str, key: str, *, where: int = where, user: str = user) -> list[str]:
            return [*stranger(to, where, key)[:-1], f"{user}@{to}", "true"]

        silent = outside.start("python3", "-c", HOLD, f"{six}1", str(where))
        assert silent.stdout is not None and silent.stdout.readline() == "held\n"
        quick = [subprocess.run(login("::1", str(rig.key)), capture_output=True).returncode for _ in range(6)]
        assert quick == [0] * 6, f"who says nothing takes the places of others at {service}"
        silent.kill()
        silent.communicate()
        here = [subprocess.run(login("::1", f"{outside.home}/k"), capture_output=True, text=True) for _ in range(6)]
        assert all("Permission denied" in one.stderr for one in here), (service, here[-1].stderr)
        there = [outside.run(*login(f"{six}1", f"{outside.home}/k")) for _ in range(6)]
        tried = sum("Permission denied" in one.stderr for one in there)
        assert 1 <= tried <= 5, (service, [one.stderr for one in there])
        assert outside.run(*login(f"{six}1", f"{outside.home}/.ssh/id_ed25519")).returncode == 255
        assert subprocess.run(login("::1", str(rig.key)), capture_output=True).returncode == 0, service
        journal = rig.path / "state/access" / service.removesuffix("-workspace") / "failed"
        assert f" {six}2 port " in journal.read_text()
