"""A laptop meets a rig: trust, keys, names, a man in the middle, and away again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigstack.laptop.home import LaptopHome
from rigstack.laptop.rigs import ensure_connected
from rigstack.plan.fingerprint import fingerprint
from rigstack.plan.remote import parse_connection
from tests.conftest import MakeRig
from tests.e2e.laptop import Laptop, office, rig_on_the_cable
from tests.live_rig import LiveRig, free_port, wait_for

OWN_CONFIG = b"# mine\r\nHost work\r\n    User me\r\n"


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig, laptop: Laptop) -> LiveRig:
    """A rig on the laptop's cable that knows nobody from there."""
    return rig_on_the_cable(make_rig, laptop)


@pytest.fixture
def where(rig: LiveRig, laptop: Laptop) -> str:
    return f"{laptop.rig_address}:{rig.ssh_port}"


def gateway_fingerprint(rig: LiveRig) -> str:
    shown: str = rig.status()["gateway"]["fingerprint"]
    return shown


def test_without_a_key_nobody_asked_nothing_is_made(laptop: Laptop, where: str) -> None:
    done = laptop.rigstack("connect", where)
    assert done.returncode == 8
    assert "has no SSH key" in done.stderr
    assert list(laptop.path(".ssh").iterdir()) == []


def test_an_unseen_fingerprint_is_not_believed(laptop: Laptop, where: str, rig: LiveRig) -> None:
    laptop.path(".ssh/config").write_bytes(OWN_CONFIG)
    done = laptop.rigstack("connect", where, "--yes")
    assert done.returncode == 8
    assert gateway_fingerprint(rig) in done.stderr
    wrong = laptop.rigstack("connect", where, "--fingerprint", "SHA256:" + "A" * 43)
    assert wrong.returncode == 9
    assert "is not the rig that was expected" in wrong.stderr
    assert "compare the gateway's fingerprint" in wrong.stderr
    assert not laptop.path(".ssh/rigstack").exists()


def test_the_person_is_asked_on_a_terminal(laptop: Laptop, where: str, rig: LiveRig) -> None:
    words = f"{sys.executable} -m rigstack connect {where}"
    done = laptop.run("script", "-qec", words, "/dev/null", stdin="n\n")
    assert "Are they the same?" in done.stdout
    assert "was not confirmed" in done.stdout
    done = laptop.run("script", "-qec", words, "/dev/null", stdin="y\n")
    assert "does not know this machine's key yet" in done.stdout


def test_the_printed_line_lets_the_laptop_in_while_it_waits(laptop: Laptop, where: str, rig: LiveRig) -> None:
    shown = gateway_fingerprint(rig)
    before = {path: path.stat().st_ctime for path in (rig.path / "state").rglob("compose.json")}
    started = rig.containers()
    waiting = laptop.start(sys.executable, "-m", "rigstack", "connect", where, "--fingerprint", shown, "--wait")
    assert waiting.stdout is not None
    line = next(text for text in waiting.stdout if "rigstack key add" in text)
    key = line.split('"')[1]
    since = time.monotonic()
    added = rig.run("key", "add", key)
    assert added.returncode == 0, added.stderr
    rest = waiting.stdout.read()
    assert waiting.wait(timeout=60) == 0, rest
    print(f"let in {time.monotonic() - since:.1f} s after `rigstack key add`")
    assert f"{rig.name}-demo" in rest
    assert rig.containers() == started
    assert {path: path.stat().st_ctime for path in before} == before
    listed = json.loads(rig.run("key", "list", "--json").stdout)["keys"]
    assert [fingerprint(one["entry"]) for one in listed][1] == fingerprint(key)


def test_every_tool_knows_the_project_by_name(laptop: Laptop, rig: LiveRig) -> None:
    done = laptop.run("ssh", "-o", "BatchMode=yes", f"{rig.name}-demo", "id -un; pwd")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["dev", "/home/dev"], "")
    laptop.path("a.txt").write_text("hello")
    assert laptop.run("scp", "-q", "a.txt", f"{rig.name}-demo:/code/demo/a.txt").returncode == 0
    assert laptop.run("rsync", "-a", "a.txt", f"{rig.name}-demo:/code/demo/b.txt").returncode == 0
    assert (rig.code() / "a.txt").read_text() == (rig.code() / "b.txt").read_text() == "hello"
    assert laptop.path(".ssh/config").read_bytes().endswith(OWN_CONFIG)
    assert not laptop.path(".ssh/known_hosts").exists()
    asked = laptop.run("ssh", "-O", "check", f"{rig.name}-demo")
    assert "Master running" in asked.stderr


def test_connecting_again_changes_nothing(laptop: Laptop, rig: LiveRig, where: str) -> None:
    before = {path: path.read_bytes() for path in laptop.path(".ssh").rglob("*") if path.is_file()}
    done = laptop.rigstack("connect", where, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["connection"]["aliases"] == {"demo": f"{rig.name}-demo"}
    assert document["files"] in (
        [],
        [str(laptop.path(f".ssh/rigstack/{rig.name}.{kind}")) for kind in ("conf", "json")],
        [str(laptop.path(f".ssh/rigstack/{rig.name}.json"))],
    )
    after = {path: path.read_bytes() for path in laptop.path(".ssh").rglob("*") if path.is_file()}
    for path, content in before.items():
        if path.suffix not in (".json",):
            assert after[path] == content, path


@pytest.fixture
def impostor(laptop: Laptop, rig: LiveRig) -> Iterator[int]:
    """Another sshd, with another host key, at the rig's address and port."""
    port, key = free_port(), laptop.path("impostor_key")
    laptop.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    words = ["/usr/sbin/sshd", "-D", "-f", "/dev/null", "-p", str(port), "-h", str(key), "-o", "PidFile=none"]
    server = laptop.start(*words)
    try:
        wait_for("the impostor listens", lambda: laptop.run("ssh-keyscan", "-p", str(port), "127.0.0.1").stdout != "")
        laptop.redirect(rig.ssh_port, port)
        laptop.run("ssh", "-O", "exit", f"{rig.name}-demo")
        yield port
    finally:
        laptop.redirect_no_more()
        server.terminate()
        server.wait(timeout=10)
        for path in (key, key.with_suffix(".pub")):
            path.unlink()


def test_a_man_in_the_middle_is_refused(laptop: Laptop, rig: LiveRig, where: str, impostor: int) -> None:
    # With ControlPersist ssh keeps what happens on the way through the gateway to itself; the gateway's name tells it.
    assert laptop.run("ssh", f"{rig.name}-demo", "true").returncode == 255
    plain = laptop.run("ssh", f"{rig.name}-gateway")
    assert plain.returncode == 255
    assert "Host key verification failed" in plain.stderr
    for words in (("connect", where), ("connect", where, "--fingerprint", gateway_fingerprint(rig)), ("refresh",)):
        refused = laptop.rigstack(*words)
        assert refused.returncode == 9, (words, refused.stderr)
        assert "its host key is another" in refused.stderr
        assert "cause: somebody between you and the rig" in refused.stderr
        assert "next:  compare the gateway's fingerprint" in refused.stderr


def test_at_home_the_lan_address_is_used_and_no_key_is_asked_for(laptop: Laptop, rig: LiveRig) -> None:
    kept = laptop.path(f".ssh/rigstack/{rig.name}.json")
    real = parse_connection(kept.read_text())
    home = LaptopHome(path=laptop.home, ssh_path=laptop.home)
    lan = real.rig.replace(addresses=(laptop.rig_address,))
    laptop.run("ssh", "-O", "exit", f"{rig.name}-demo")
    try:
        # The public name leads nowhere from here, the LAN address to the rig.
        ensure_connected(home, real.replace(host="public.invalid", rig=lan))
        started = time.monotonic()
        done = laptop.run("ssh", "-o", "BatchMode=yes", f"{rig.name}-demo", "echo home")
        print(f"at home, by the LAN address: {time.monotonic() - started:.2f} s")
        assert (done.stdout, done.stderr) == ("home\n", "")
        laptop.run("ssh", "-O", "exit", f"{rig.name}-demo")
        laptop.path(f".ssh/rigstack/.at-home-{laptop.rig_address}").unlink()  # asked again after 20 s
        # Away: whoever has that address on this network is not the rig, or nobody has.
        ensure_connected(home, real.replace(rig=real.rig.replace(addresses=(laptop.address,))))
        started = time.monotonic()
        done = laptop.run("ssh", "-o", "BatchMode=yes", f"{rig.name}-demo", "echo away")
        print(f"away, by the public address: {time.monotonic() - started:.2f} s")
        assert (done.stdout, done.stderr) == ("away\n", "")
    finally:
        laptop.run("ssh", "-O", "exit", f"{rig.name}-demo")
        ensure_connected(home, real)


def declared_ports_are_here_and_in_nobody_s_way(laptop: Laptop, alias: str) -> None:
    """tensorboard's port is forwarded; a second session, or a port that is taken here, goes on and says nothing."""
    serve = "python3 -m http.server --bind 127.0.0.1 6006"
    laptop.run("ssh", alias, f"setsid -f {serve} > /dev/null 2>&1")
    curl = ("curl", "-s", "-o", "/dev/null", "http://127.0.0.1:6006/")
    wait_for("the declared port answers here", lambda: laptop.run(*curl).returncode == 0)
    second = laptop.run("ssh", alias, "echo second")
    assert (second.stdout, second.stderr) == ("second\n", "")
    laptop.run("ssh", "-O", "exit", alias)
    assert laptop.run(*curl).returncode != 0
    holder = laptop.start(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "6006")
    try:
        wait_for("the port is taken", lambda: laptop.run(*curl).returncode == 0)
        for words in ("first", "second"):
            done = laptop.run("ssh", alias, f"echo {words}")
            assert (done.stdout, done.stderr) == (f"{words}\n", "")
        assert "Master running" in laptop.run("ssh", "-O", "check", alias).stderr
    finally:
        holder.kill()
        holder.wait()
        laptop.run("ssh", alias, "pkill -f [h]ttp.server")
        laptop.run("ssh", "-O", "exit", alias)


def test_refresh_learns_new_projects_and_remembers_old_ones(laptop: Laptop, rig: LiveRig) -> None:
    rig.append("[projects.cifar]\nports = [6006]\n")
    rig.up()
    dry = laptop.rigstack("refresh", "--dry-run")
    assert "new project: cifar" in dry.stderr
    assert "cifar" not in laptop.path(f".ssh/rigstack/{rig.name}.conf").read_text()
    done = laptop.rigstack("refresh")
    assert done.returncode == 0, done.stderr
    assert laptop.run("ssh", f"{rig.name}-cifar", "echo $RIGSTACK_PROJECT").stdout == "cifar\n"
    declared_ports_are_here_and_in_nobody_s_way(laptop, f"{rig.name}-cifar")
    (rig.path / "rig.toml").write_text(rig.toml.replace("[projects.cifar]\nports = [6006]\n", ""))
    rig.up()
    assert "no longer there: cifar" in laptop.rigstack("refresh").stderr
    stale = laptop.run("ssh", f"{rig.name}-cifar", "true")
    assert stale.returncode == 255
    assert "had no project cifar any more" in stale.stderr


def test_a_key_taken_away_is_out_at_once(laptop: Laptop, rig: LiveRig) -> None:
    key = laptop.path(".ssh/id_ed25519.pub").read_text().strip()
    laptop.run("ssh", "-O", "exit", f"{rig.name}-demo")
    assert rig.run("key", "remove", fingerprint(key)).returncode == 0

    def refused() -> bool:  # earlier refusals cost seconds in which the gateway does not answer at all
        return "Permission denied" in laptop.run("ssh", "-o", "BatchMode=yes", f"{rig.name}-gateway").stderr

    wait_for("the key is refused", refused, timeout=60)
    last = rig.run("key", "remove", rig.key.with_suffix(".pub").read_text())
    assert last.returncode == 8
    assert "last key" in last.stderr
    assert rig.run("key", "add", *key.split()).returncode == 0
    login = ("ssh", "-o", "BatchMode=yes", f"{rig.name}-demo", "true")
    wait_for("the key is taken again", lambda: laptop.run(*login).returncode == 0, timeout=60)


@pytest.fixture
def jump(laptop: Laptop, rig: LiveRig, tmp_path: Path) -> Iterator[str]:
    """An ssh host of the person's own, on the rig's side; and no other way to the rig."""
    with office(laptop, tmp_path) as log:
        laptop.drop(rig.ssh_port)
        try:
            yield "office"
            assert f"{laptop.rig_address} port {rig.ssh_port}" in log.read_text(), "it went another way"
        finally:
            laptop.drop_no_more(rig.ssh_port)


def test_through_another_host(laptop: Laptop, rig: LiveRig, where: str, jump: str) -> None:
    laptop.run("ssh", "-O", "exit", f"{rig.name}-demo")
    assert laptop.run("ssh", "-o", "ConnectTimeout=2", f"{rig.name}-gateway").returncode == 255, "there is another way"
    words = ("connect", where, "--as", "far", "--jump", jump)
    try:
        wrong = laptop.rigstack(*words, "--fingerprint", "SHA256:" + "A" * 43)
        assert wrong.returncode == 9
        done = laptop.rigstack(*words, "--fingerprint", gateway_fingerprint(rig))
        assert done.returncode == 0, done.stderr
        assert laptop.run("ssh", "-o", "BatchMode=yes", "far-demo", "id -un").stdout == "dev\n"
        laptop.path("far.txt").write_text("far")
        assert laptop.rigstack("cp", "far.txt", "far-demo:").returncode == 0
        assert (rig.code() / "far.txt").read_text() == "far"
        assert laptop.rigstack("refresh", "far").returncode == 0
        assert json.loads(laptop.rigstack("status", "far", "--json").stdout)["gateway"]["state"] == "reachable"
        folder = laptop.path("far")
        folder.mkdir()
        told = json.loads(laptop.rigstack("pycharm", "far-demo", str(folder), "--json").stdout)
        keys = laptop.run("ssh-keyscan", "-t", "ed25519", "-p", str(told["port"]), "127.0.0.1").stdout
        assert "ssh-ed25519" in keys
    finally:
        assert laptop.rigstack("disconnect", "far").returncode == 0


def test_disconnect_undoes_all_of_it(laptop: Laptop, rig: LiveRig) -> None:
    dry = laptop.rigstack("disconnect", "--dry-run")
    assert f"{rig.name}.conf" in dry.stderr
    assert laptop.run("ssh", f"{rig.name}-demo", "true").returncode == 0
    done = laptop.rigstack("disconnect", rig.name)
    assert done.returncode == 0, done.stderr
    assert laptop.path(".ssh/config").read_bytes() == OWN_CONFIG
    left = {path.name for path in laptop.path(".ssh").rglob("*")}
    assert left == {"config", "id_ed25519", "id_ed25519.pub"}
    assert laptop.processes(f"ssh.*{laptop.name}.*mux") == []


def test_the_laptop_has_no_engine(laptop: Laptop) -> None:
    assert subprocess.run(laptop.argv("docker", "version"), capture_output=True).returncode != 0
    assert Path(f"/tmp/{laptop.name}").is_dir()
