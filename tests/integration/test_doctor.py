"""`rigstack doctor` against a real rig: each thing is broken for real, seen by name, and mended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rigstack.engine.checkup import observe_sshd
from rigstack.host import checkup
from rigstack.host.network_card import default_interface
from rigstack.plan import checks
from rigstack.plan.checkup import Checkup
from tests.conftest import MakeRig
from tests.live_rig import RIGSTACK, LiveRig, docker, free_port, wait_for
from tests.own_engine import OwnEngine


@pytest.fixture(scope="module")
def bare(make_rig: MakeRig) -> LiveRig:
    rig = make_rig(projects=())
    rig.up()
    return rig


def doctor(rig: LiveRig, *words: str) -> dict[str, dict[str, Any]]:
    """check -> its finding."""
    done = rig.run("doctor", "--json", *words)
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["ok"] else 5), done.stderr
    return {one["check"]: one for one in document["findings"]}


def test_a_rig_that_is_well(bare: LiveRig) -> None:
    found = doctor(bare)
    for check in ("engine", "clock", "certificate", "sshd policy", "keys and secrets", "containers", "disk room"):
        assert found[check]["state"] in ("ok", "warn"), found[check]
    assert "offers a stranger public keys only" in found["sshd policy"]["evidence"]
    assert "rigstack" in found["certificate"]["evidence"]
    page = bare.run("doctor").stdout
    assert "STATE" in page and "keys and secrets" in page


def test_a_readable_secret_and_host_key_are_named_and_mended(bare: LiveRig) -> None:
    key = bare.path / "state/keys/gateway/ssh_host_ed25519_key"
    secret = bare.path / "secrets/notebook/jupyter_server_config.json"
    for path in (key, secret):
        path.chmod(0o644)
    finding = doctor(bare)["keys and secrets"]
    assert finding["state"] == "fail" and finding["fixable"]
    assert f"{key} has mode 0644" in finding["evidence"] and f"{secret} has mode 0644" in finding["evidence"]
    assert doctor(bare, "--fix")["keys and secrets"]["state"] == "ok"
    assert [path.stat().st_mode & 0o777 for path in (key, secret)] == [0o600, 0o600]


def test_a_stopped_service_and_a_weak_restart_policy(bare: LiveRig) -> None:
    gateway, edge = bare.containers()["gateway"], bare.containers()["edge"]
    docker("update", "--restart=no", edge)
    docker("stop", "--time=1", gateway)
    try:
        found = doctor(bare)
    finally:
        docker("update", "--restart=always", edge)
        docker("start", gateway)
    assert "gateway is exited" in found["services"]["evidence"]
    assert found["sshd policy"]["state"] == "skip"
    assert "edge: restart is no, not always" in found["containers"]["evidence"]
    wait_for("the gateway is well", lambda: bare.status()["gateway"]["state"] == "healthy")


def test_a_clock_behind_the_rigs_own_files(bare: LiveRig) -> None:
    toml = bare.path / "rig.toml"
    os.utime(toml, (time.time() + 7200, time.time() + 7200))
    try:
        assert "behind the rig's own files by 7" in doctor(bare)["clock"]["evidence"]
    finally:
        os.utime(toml)


def test_an_expired_certificate_and_a_name_without_an_address(bare: LiveRig, tmp_path: Path) -> None:
    before = bare.toml
    names = ("-subj", "/CN=rig.invalid", "-addext", "subjectAltName=DNS:rig.invalid")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *(*names, "-keyout", str(tmp_path / "k.pem"), "-out", str(tmp_path / "c.pem"), "-days", "-1"),
        ],
        check=False,
        capture_output=True,
    )
    if not (tmp_path / "c.pem").exists():  # this openssl makes no certificate that has ended: then one nobody trusts
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names),
                *("-keyout", str(tmp_path / "k.pem"), "-out", str(tmp_path / "c.pem"), "-days", "1"),
            ],
            check=True,
            capture_output=True,
        )
    try:
        bare.set("hostname", '"rig.invalid"')
        bare.set("mode", '"files"')
        bare.set("certificate", f'"{tmp_path}/c.pem"')
        bare.set("key", f'"{tmp_path}/k.pem"')
        bare.up()
        found = doctor(bare)
        assert found["certificate"]["state"] == "fail"
        assert "a browser refuses it" in found["certificate"]["evidence"]
        assert "rig.invalid is no address" in found["dns"]["evidence"]
    finally:
        (bare.path / "rig.toml").write_text(before)
        bare.up()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=200", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_without_room_and_inodes(small_disk: Path) -> None:
    """A rig on it that was never brought up; the page comes all the same."""
    rig = small_disk / "rig"
    assert subprocess.run([*RIGSTACK, "init", str(rig), "--yes"], capture_output=True).returncode == 0
    for number in range(200):
        with contextlib.suppress(OSError):
            (small_disk / str(number)).touch()
    done = subprocess.run([*RIGSTACK, "--rig", str(rig), "doctor", "--json"], capture_output=True, text=True)
    finding = next(one for one in json.loads(done.stdout)["findings"] if one["check"] == "disk room")
    assert finding["state"] == "fail" and done.returncode == 5
    assert f"{rig}: 0.0 GiB of 0 free, 0 % of inodes free" in finding["evidence"]


def test_a_gateway_that_takes_passwords(bare: LiveRig, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A container of the gateway's image whose policy was changed by hand, asked as the doctor asks."""
    image = docker("inspect", "--format={{.Config.Image}}", bare.containers()["gateway"])
    policy = Path(__file__).parents[2] / "images/gateway/sshd_config"
    changed = policy.read_text().replace("PasswordAuthentication no", "PasswordAuthentication yes")
    weak = tmp_path / "sshd_config"
    weak.write_text(changed.replace("AuthenticationMethods publickey", "AuthenticationMethods any"))
    tmp_path.chmod(0o755)
    port = free_port()
    request.addfinalizer(lambda: docker("rm", "--force", f"{bare.name}-weak", check=False))
    container = docker(
        *("run", "--detach", "--name", f"{bare.name}-weak", f"--network=rigstack-{bare.name}_gate"),
        *(f"--publish=127.0.0.1:{port}:22", "--tmpfs=/run/rigstack:uid=1000,gid=1000,mode=0700"),
        *("--volume", f"{weak}:/usr/local/lib/rigstack/sshd_config:ro"),
        *("--volume", f"{bare.path}/state/keys/gateway:/etc/rigstack/keys:ro"),
        image,
    )
    methods = ""
    deadline = time.monotonic() + 15
    while not methods and time.monotonic() < deadline:
        methods = checkup.offered_methods(port, "127.0.0.1")
    finding = checks.sshd(Checkup(now=0, sshd=observe_sshd(container), methods=methods))
    assert finding.state == "fail"
    assert "passwordauthentication is yes, not no" in finding.evidence
    assert "password to strangers" in finding.evidence


def test_a_closed_port_from_the_laptop(bare: LiveRig) -> None:
    done = bare.run("doctor", "--from-laptop", f"localhost:{bare.ssh_port}", "--json")
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["sshd policy"]["state"] == "ok"
    assert str(bare.ssh_port) not in found["reachable"]["evidence"] or found["reachable"]["state"] == "ok"


@pytest.fixture
def foreign(bare: LiveRig) -> Iterator[str]:
    """A container that somebody started by hand into the rig: whatever can be wrong with one is."""
    labels = {"rigstack.rig": bare.name, "rigstack.directory": str(bare.path), "rigstack.role": "workspace"}
    labels |= {"rigstack.project": "extra", "com.docker.compose.service": "extra-workspace", "rigstack.hash": "x"}
    port = free_port()
    image = docker("inspect", "--format={{.Config.Image}}", bare.containers()["gateway"])
    container = docker(
        *("run", "--detach", "--user=0", "--privileged", "--log-driver=json-file", f"--publish=0.0.0.0:{port}:22"),
        *("--volume=/var/run/docker.sock:/var/run/docker.sock", "--entrypoint=sleep"),
        *(f"--label={key}={value}" for key, value in labels.items()),
        *(image, "infinity"),
    )
    try:
        yield str(port)
    finally:
        docker("rm", "--force", container)


class OtherMachine:
    """What stands for parts of this machine where `inside` runs a program: an /etc to change, and fake hardware."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.etc = folder, folder / "etc/upper"
        script = "".join(
            f"mount -t overlay overlay -o lowerdir=/{name},upperdir={folder}/{name}/upper,workdir={folder}/{name}/work"
            f" /{name} && "
            for name in ("etc", "dev")
        )
        script += f"mount --bind {folder}/driver /proc/driver && mount --bind {folder}/net /sys/class/net && "
        # Without this right the kernel tells nothing of a card but what is in its folder.
        self.inside = ("unshare", "--mount", "sh", "-c", f'{script}exec setpriv --bounding-set=-net_admin "$@"', "sh")
        for name in ("etc", "dev"):
            for part in ("upper", "work"):
                (folder / name / part).mkdir(parents=True)
        for name in ("driver/nvidia", "net"):
            (folder / name).mkdir(parents=True)

    def fake_gpu(self, driver: str, described: str) -> None:
        """One GPU with this driver, and a specification for another; nvidia-ctk is a script that knows its version."""
        toolkit = self.folder / "bin/nvidia-ctk"
        toolkit.parent.mkdir()
        toolkit.write_text("#!/bin/sh\necho NVIDIA Container Toolkit CLI version 1.19.0\n")
        toolkit.chmod(0o755)
        (self.folder / "dev/upper/nvidia0").touch()
        (self.folder / "driver/nvidia/version").write_text(
            f"NVRM version: NVIDIA UNIX Module  {driver}  Release Build\n"
        )
        library = f"/usr/lib/x86_64-linux-gnu/libcuda.so.{described}"
        edits = {"mounts": [{"hostPath": library, "containerPath": library}]}
        nodes = {"deviceNodes": [{"path": "/dev/nvidia0"}]}
        spec = {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "containerEdits": edits}
        (self.etc / "cdi").mkdir()
        (self.etc / "cdi/nvidia.json").write_text(
            json.dumps({**spec, "devices": [{"name": "0", "containerEdits": nodes}]})
        )

    def fake_card(self, interface: str) -> None:
        """A network card that could wake the machine and may not."""
        device = self.folder / "net" / interface / "device/power"
        device.mkdir(parents=True)
        (device / "wakeup").write_text("disabled\n")
        (self.folder / "net" / interface / "address").write_text("00:11:22:33:44:55\n")


@pytest.fixture
def other_machine(tmp_path: Path) -> Iterator[OtherMachine]:
    layers = tmp_path / "other"
    layers.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(layers)], check=True)
    try:
        yield OtherMachine(layers)
    finally:
        subprocess.run(["umount", str(layers)], check=True)


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[str]:
    """ssh_config lines for "helper": an sshd as on another machine, which knows the rig's name and lets a key in."""
    port = free_port()
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    words = ["-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", str(tmp_path / "host"), "-o", "PidFile=none"]
    words += ["-o", f"AuthorizedKeysFile={tmp_path}/key.pub", "-o", "StrictModes=no", "-o", "ListenAddress=127.0.0.1"]
    Path("/run/sshd").mkdir(exist_ok=True)
    (tmp_path / "hosts").write_text("127.0.0.1 localhost rig.example.net\n")
    names = ["unshare", "--mount", "sh", "-c", f'mount --bind {tmp_path}/hosts /etc/hosts && exec "$@"', "sh"]
    with subprocess.Popen([*names, "/usr/sbin/sshd", *words], stderr=subprocess.DEVNULL) as sshd:
        try:
            yield (
                f"Host helper\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {tmp_path}/key\n"
                f"  IdentitiesOnly yes\n  UserKnownHostsFile {tmp_path}/known\n"
            )
        finally:
            sshd.terminate()


def test_what_others_changed_on_the_machine_is_named(
    bare: LiveRig, foreign: str, other_machine: OtherMachine, helper: str, tmp_path: Path
) -> None:
    """ufw, apt, GPU and network card, a container out of hand, and a helper that reaches some ports and not others: all
    seen in one look.
    """
    upper = other_machine.etc
    other_machine.fake_gpu("580.65.06", "570.1.1")
    other_machine.fake_card(default_interface())
    (upper / "hosts").write_text("127.0.0.1 localhost rig.example.net\n")
    (upper / "ufw").mkdir()
    (upper / "ufw/ufw.conf").write_text("ENABLED=yes\n")
    (upper / "ssh/ssh_config.d").mkdir(parents=True)
    (upper / "ssh/ssh_config.d/helper.conf").write_text(helper)
    status = Path("/var/lib/dpkg/status").read_text()
    name = next(one for one in ("runc", "openssh-server", "containerd") if f"Package: {one}\n" in status)
    old = re.sub(rf"(^Package: {name}\n(?:.+\n)*?Version: ).*$", r"\g<1>0.0.1", status, count=1, flags=re.M)
    (tmp_path / "status").write_text(old)
    (tmp_path / "apt.conf").write_text(f'Dir::State::status "{tmp_path}/status";\n')
    # An older compose, played by a script that tells its version; and a sidecar that saw another address than DNS has.
    plugin = tmp_path / "cli-plugins/docker-compose"
    plugin.parent.mkdir()
    plugin.write_text('#!/bin/sh\necho \'{"SchemaVersion": "0.1.0", "Version": "v2.30.3"}\'\n')
    plugin.chmod(0o755)
    report = bare.path / "state/ddns-cache/state.json"
    report.write_text('{"public_address": "203.0.113.9"}')
    before = bare.toml
    bare.set("hostname", '"rig.example.net"')
    bare.set("http_port", free_port())  # in rig.toml, and not yet open
    try:
        argv = [*other_machine.inside, *bare.program, "--rig", str(bare.path), "doctor", "--json", "--from", "helper"]
        environment = {**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf"), "DOCKER_CONFIG": str(tmp_path)}
        environment["PATH"] = f"{other_machine.folder}/bin:{environment['PATH']}"
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=120)
    finally:
        (bare.path / "rig.toml").write_text(before)
        report.unlink()
    assert done.stdout, done.stderr
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["firewall"]["state"] == "warn" and f":{foreign}" in found["firewall"]["evidence"]
    assert found["updates"]["state"] == "warn" and name in found["updates"]["evidence"]
    for words in ("may grow without end", "is privileged", "runs as root", "has the engine's socket", "restart is no"):
        assert words in found["containers"]["evidence"]
    assert found["reachable"]["state"] == "warn", found["reachable"]
    assert "no answer to helper" in found["reachable"]["evidence"]
    assert str(bare.https_port) not in found["reachable"]["evidence"]
    assert found["known holes"]["state"] == "warn" and "compose 2.30.3 is below" in found["known holes"]["evidence"]
    assert "CVE-2025-62725" in found["known holes"]["evidence"] and "apt-get" in found["known holes"]["remedy"]
    assert found["gpu"]["state"] == "fail" and "570.1.1" in found["gpu"]["evidence"], found["gpu"]
    assert found["wake on lan"]["state"] == "warn", found["wake on lan"]
    assert found["wake on lan"]["remedy"] == "sudo rigstack power setup"
    assert found["dns"]["state"] == "fail" and "the public address is 203.0.113.9" in found["dns"]["evidence"]


def test_a_socket_that_everybody_may_use_is_named_and_closed(bare: LiveRig, tmp_path: Path) -> None:
    """Another door to the same engine, since the machine's own is everybody's."""
    door = tmp_path / "docker.sock"
    with engine_door(door):
        door.chmod(0o666)
        environment = {"DOCKER_HOST": f"unix://{door}"}
        done = bare.run("doctor", "--json", env=environment)
        found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
        assert found["engine socket"]["state"] == "fail" and "is root through it" in found["engine socket"]["evidence"]
        bare.run("doctor", "--fix", env=environment)
        assert door.stat().st_mode & 0o777 == 0o660


def test_an_engine_whose_restart_would_stop_containers(bare: LiveRig, own_engine: OwnEngine) -> None:
    own_engine.start()
    there = {"DOCKER_HOST": f"unix://{own_engine.socket}"}

    def finding() -> dict[str, str]:
        found: list[dict[str, str]] = json.loads(bare.run("doctor", "--json", env=there).stdout)["findings"]
        return next(one for one in found if one["check"] == "live restore")

    assert finding()["state"] == "warn" and '"live-restore": true' in finding()["remedy"]
    own_engine.set('{"live-restore": true}')
    wait_for("what the remedy says helps", lambda: finding()["state"] == "ok")


@contextlib.contextmanager
def engine_door(path: Path) -> Iterator[None]:
    """A unix socket that passes everything on to the engine's."""
    argv = ["socat", f"UNIX-LISTEN:{path},fork", "UNIX-CONNECT:/var/run/docker.sock"]
    with subprocess.Popen(argv) as socat:
        try:
            wait_for("the door is there", path.exists)
            yield
        finally:
            socat.terminate()


def test_without_an_engine_the_page_still_comes(bare: LiveRig, tmp_path: Path) -> None:
    done = bare.run("doctor", "--json", env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    assert done.returncode == 5
    assert found["services"]["state"] == "fail" and "no engine answers" in found["services"]["evidence"]
    assert found["keys and secrets"]["state"] == "ok"


def test_a_kernel_that_is_installed_and_does_not_run(tmp_path: Path) -> None:
    running = os.uname().release
    (tmp_path / "boot").mkdir()
    (tmp_path / f"boot/vmlinuz-{running}").touch()
    assert checkup.newer_kernel(tmp_path) == ""
    newer = re.sub(r"^\d+", "99", running)
    (tmp_path / f"boot/vmlinuz-{newer}").touch()
    assert checkup.newer_kernel(tmp_path) == newer


def test_rules_that_do_not_see_what_containers_publish(bare: LiveRig, foreign: str) -> None:
    """In a network of its own, where nftables keeps everybody out; the engine and its ports are the machine's."""
    rules = "add table inet guard; add chain inet guard in { type filter hook input priority 0; policy drop; }"
    words = ("unshare", "--net", "sh", "-c", f"nft '{rules}' && exec \"$@\"", "sh", *bare.program)
    done = subprocess.run([*words, "--rig", str(bare.path), "doctor", "--json"], capture_output=True, text=True)
    finding = next(one for one in json.loads(done.stdout)["findings"] if one["check"] == "firewall")
    assert finding["state"] == "warn" and f":{foreign}" in finding["evidence"]
    assert "nftables drops what comes in (table inet guard), and does not see" in finding["evidence"]
