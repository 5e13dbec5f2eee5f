"""A day at the laptop: commands, a shell, files, tunnels and status, and a network that breaks in the middle of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.bench.laptop import distance
from tests.conftest import MakeRig
from tests.e2e.laptop import Laptop, connected_rig
from tests.live_rig import LiveRig, free_port, wait_for


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig, laptop: Laptop) -> LiveRig:
    return connected_rig(make_rig, laptop)


def test_a_command_runs_in_the_project_s_folder(laptop: Laptop, rig: LiveRig) -> None:
    done = laptop.rigstack("ssh", "demo", "pwd")
    assert (done.returncode, done.stdout, done.stderr) == (0, "/code/demo\n", "")
    assert laptop.rigstack("ssh", "box-demo", "python", "-c", "print('a  b')").stdout == "a  b\n"
    assert laptop.rigstack("ssh", "demo", "echo one | tr o O; exit 7").returncode == 7
    assert laptop.rigstack("ssh", "demo", "--", "echo", "--", "in").stdout == "-- in\n"
    wrong = laptop.rigstack("ssh", "dmeo", "true")
    assert wrong.returncode == 2
    assert "projects: demo" in wrong.stderr


def test_files_to_and_fro(laptop: Laptop, rig: LiveRig) -> None:
    laptop.path("results").mkdir()
    laptop.path("results/a b.csv").write_text("1,2\n")
    done = laptop.rigstack("cp", "results", "demo:inbox/")
    assert done.returncode == 0, done.stderr
    assert (rig.code() / "inbox/results/a b.csv").read_text() == "1,2\n"
    assert laptop.rigstack("cp", "demo:inbox/results/a b.csv", "back.csv").returncode == 0
    assert laptop.path("back.csv").read_text() == "1,2\n"
    assert laptop.rigstack("cp", "back.csv", "there.csv").returncode == 2
    assert laptop.rigstack("cp", "demo:a", "demo:b").returncode == 2


def test_from_afar_a_big_file_goes_over_several_connections(laptop: Laptop, rig: LiveRig) -> None:
    big = laptop.path("big.bin")
    big.write_bytes(os.urandom(100 << 20))
    os.utime(big, (1_000_000_000, 1_000_000_000))
    big.chmod(0o640)
    there = rig.code() / "far/big.bin"

    def others() -> list[str]:
        return laptop.processes("ssh .*box-demo.direct")

    with distance(laptop, rig, 20):
        # Broken off by hand: nothing stays that looks like the file, and nothing runs on.
        copying = laptop.start(sys.executable, "-m", "rigstack", "cp", "big.bin", "demo:far/")
        wait_for("several connections are made", lambda: len(others()) >= 3)
        os.killpg(copying.pid, signal.SIGINT)
        assert copying.wait(timeout=20) != 0
        wait_for("all have ended", lambda: others() == [] and on_rig(laptop, "pgrep -x rsync; true") == "")
        assert not there.exists()
        for words in (("big.bin", "demo:far/"), ("demo:far/big.bin", "back.bin")):
            done = laptop.rigstack("cp", *words)
            assert done.returncode == 0, done.stderr
    assert there.read_bytes() == laptop.path("back.bin").read_bytes() == big.read_bytes()
    for copy in (there, laptop.path("back.bin")):
        assert (copy.stat().st_mtime, copy.stat().st_mode & 0o777) == (1_000_000_000, 0o640)
    assert [path.name for path in there.parent.iterdir()] == ["big.bin"], "what was copied in part is still there"


def on_rig(laptop: Laptop, command: str) -> str:
    done = laptop.run("ssh", "box-demo", command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_open_prints_the_address(laptop: Laptop, rig: LiveRig) -> None:
    url = f"https://{laptop.rig_address}:{rig.https_port}/p/demo/"
    assert laptop.rigstack("open", "demo").stdout == url + "\n"
    assert laptop.rigstack("open", "demo", "nb/my work.ipynb").stdout == url + "lab/tree/nb/my%20work.ipynb\n"
    assert json.loads(laptop.rigstack("open", "demo", "--json").stdout) == {"schema": 1, "url": url, "opener": None}


def test_trust_makes_the_laptop_and_its_browsers_believe_the_rig(laptop: Laptop, rig: LiveRig) -> None:
    way = f"localhost:{rig.https_port}:{laptop.rig_address}"

    def curl() -> int:
        url = f"https://localhost:{rig.https_port}/"
        return laptop.run("curl", "-sS", "-o", "/dev/null", "--resolve", way, url).returncode

    asked = laptop.rigstack("trust")
    assert asked.returncode == 8 and "nobody said yes" in asked.stderr
    assert "would run: sudo update-ca-certificates" in laptop.rigstack("trust", "--dry-run").stderr
    assert curl() == 60, "it is trusted already: nothing was tried"
    done = laptop.rigstack("trust", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {one["name"]: one["state"] for one in document["stores"]} == {"system": "trusted", "Chrome": "trusted"}
    shown = laptop.run("openssl", "x509", "-noout", "-fingerprint", "-sha256", stdin=rig.root_certificate.read_text())
    assert document["sha256"] == shown.stdout.strip().partition("=")[2]
    assert curl() == 0
    listed = laptop.run("certutil", "-d", f"sql:{laptop.path('.pki/nssdb')}", "-L").stdout
    assert "rigstack-box" in listed and "C,," in listed
    assert laptop.rigstack("trust", "box", "--yes").stdout.count("trusted already") == 2
    assert laptop.rigstack("trust", "--remove").stdout.count("removed") == 2
    assert curl() == 60
    assert laptop.rigstack("trust", "--remove").stdout.count("was not there") == 2


def test_status_says_what_answers_from_here(laptop: Laptop, rig: LiveRig) -> None:
    done = laptop.rigstack("status", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["seen_from"] == "laptop"
    assert document["rig"]["state"] == document["edge"]["state"] == document["gateway"]["state"] == "reachable"
    assert document["gateway"]["fingerprint"] == rig.status()["gateway"]["fingerprint"]
    project = document["projects"][0]
    assert (project["workspace"]["state"], project["notebook"]["state"]) == ("reachable", "reachable")
    assert (project["gpus"], project["workspace"]["health"]) == ("unknown", "unknown")
    assert document.keys() >= (rig.status().keys() - {"schema"})
    rig.run("compose", "--", "stop", "demo-workspace", "demo-notebook")
    try:
        laptop.run("ssh", "-O", "exit", "box-demo")
        page = laptop.rigstack("status", "box")
        assert page.returncode == 5
        assert "demo-workspace does not answer" in page.stdout
        assert "demo-notebook does not answer" in page.stdout
        failed = laptop.rigstack("ssh", "demo", "true")
        assert failed.returncode == 10
        assert "the rig answers, and the workspace of demo does not" in failed.stderr
    finally:
        rig.run("compose", "--", "start", "demo-workspace", "demo-notebook")
    wait_for("it is back", lambda: laptop.rigstack("status").returncode == 0, timeout=60)


@pytest.fixture
def server(laptop: Laptop, rig: LiveRig) -> Iterator[int]:
    """A program in the workspace that answers HTTP on its port."""
    port = 16006
    laptop.rigstack("ssh", "demo", f"setsid python -m http.server --bind 127.0.0.1 {port} > /dev/null 2>&1 &")
    ready = f"curl -s --max-time 2 -o /dev/null http://127.0.0.1:{port}/"
    wait_for("the program listens", lambda: laptop.rigstack("ssh", "demo", ready).returncode == 0)
    yield port
    laptop.rigstack("ssh", "demo", f"kill $(pgrep -f 'http.server.*{port}')")


def test_a_port_that_is_taken_here_gives_way(laptop: Laptop, rig: LiveRig, server: int) -> None:
    holder = laptop.start(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(server))
    taken = ("curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{server}/")
    try:
        wait_for("the port is taken", lambda: laptop.run(*taken).returncode == 0)
        done = laptop.rigstack("tunnel", "demo", str(server))
        assert done.returncode == 0, done.stderr
        assert f"port {server} is taken here; {server + 1} it is" in done.stderr
        named = laptop.rigstack("tunnel", "demo", f"{server}:{free_port()}")
        assert named.returncode == 2
    finally:
        holder.kill()
        holder.wait()
        laptop.rigstack("tunnel", "--stop")


class Terminal:
    """`rigstack ssh demo` on a terminal of its own; what it shows is collected as it comes."""

    def __init__(self, laptop: Laptop) -> None:
        command = f"stty rows 40 cols 120; {sys.executable} -m rigstack ssh demo"
        self.process = laptop.start("script", "-qfec", command, "/dev/null")
        self.shown = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while text := self.process.stdout.read(1):
            self.shown += text

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\r")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def terminal(laptop: Laptop, rig: LiveRig) -> Iterator[Terminal]:
    laptop.run("ssh", "-O", "exit", "box-demo")
    made = Terminal(laptop)
    yield made
    made.close()
    laptop.rigstack("ssh", "demo", "tmux kill-server")


def test_a_cut_ends_neither_a_tunnel_nor_a_shell(laptop: Laptop, rig: LiveRig, server: int, terminal: Terminal) -> None:
    """One cut for both, and for a tunnel that is asked for meanwhile: each takes 15 s to notice."""

    def works() -> bool:
        return laptop.run("curl", "-s", "--max-time", "2", f"http://127.0.0.1:{server}/").returncode == 0

    def tunnels() -> list[dict[str, str]]:
        listed: list[dict[str, str]] = json.loads(laptop.rigstack("tunnel", "--list", "--json").stdout)["tunnels"]
        return listed

    ticks = rig.code() / "ticks.txt"
    done = laptop.rigstack("tunnel", "demo", str(server), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tunnels"][0]["local"] == server
    assert works()
    assert laptop.rigstack("tunnel", "demo", str(server)).returncode == 0  # the same one
    assert len(tunnels()) == 1
    wait_for("tmux is there", lambda: "[main]" in terminal.shown)
    terminal.type("echo pid-$$-pid; pwd > where.txt; for i in $(seq 300); do echo $i >> ticks.txt; sleep 0.2; done &")
    wait_for("the work has begun", ticks.exists)
    assert (rig.code() / "where.txt").read_text() == "/code/demo\n"

    laptop.cut()
    try:
        asked = laptop.start(sys.executable, "-m", "rigstack", "tunnel", "demo", "6006")
        at_cut = len(ticks.read_text().split())
        assert not works(), "the cut did not hurt"
        # Long enough for the connection to be given up: 3 questions without an answer, 5 s apart.
        wait_for(
            "the tunnel notices the cut",
            lambda: [one["state"] for one in tunnels() if one["port"] == server] == ["reconnecting"],
            timeout=60,
        )
        wait_for("the shell notices the cut", lambda: "The connection is lost" in terminal.shown, timeout=90)
        said, _ = asked.communicate(timeout=120)
    finally:
        laptop.heal()
    healed = time.monotonic()
    terminal.shown = ""
    assert (asked.returncode, "no tunnel to port 6006 of demo" in said) == (10, True), said
    wait_for("the tunnel is back", works, timeout=60)
    print(f"tunnel: back {time.monotonic() - healed:.1f} s after the cut healed")
    wait_for("the session is back", lambda: "[main]" in terminal.shown, timeout=60)
    print(f"tmux: back {time.monotonic() - healed:.1f} s after the cut healed")
    assert len(ticks.read_text().split()) > at_cut
    terminal.type("echo again-$(wc -l < where.txt)")
    wait_for("the session takes words", lambda: "again-1" in terminal.shown)
    terminal.type("kill %1; exit")
    assert terminal.process.wait(timeout=20) == 0

    stopped = laptop.rigstack("tunnel", "--stop", "demo", str(server))
    assert "stopped" in stopped.stdout
    assert not works()
    assert laptop.rigstack("tunnel", "--list").stdout == "no tunnels\n"
    assert not laptop.path(".ssh/rigstack/kept").exists()


def test_disconnect_ends_what_is_kept(laptop: Laptop, rig: LiveRig, server: int) -> None:
    assert laptop.rigstack("tunnel", "demo", str(server)).returncode == 0
    assert laptop.run("ssh", "box-demo", "true").returncode == 0
    assert laptop.rigstack("sync", "demo", "results", "--once").returncode == 0
    assert laptop.rigstack("disconnect").returncode == 0
    wait_for("no ssh is left", lambda: laptop.processes("box-demo") == [])
    assert {path.name for path in laptop.path(".ssh").iterdir()} == {"id_ed25519", "id_ed25519.pub"}
