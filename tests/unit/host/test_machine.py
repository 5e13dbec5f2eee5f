"""The machine as seen from a made-up root, a made-up engine behind a real socket, and apt sources of many forms."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rigstack.engine.api import ask, engine_socket
from rigstack.engine.presence import EngineAnswers, EngineSilent, observe_engine
from rigstack.errors import HostError
from rigstack.host import apt, engine_prefix, nvidia
from rigstack.host.engine_start import direct_argv, is_alive
from rigstack.host.machine import Plugin, observe_machine
from rigstack.host.setup import render_daemon_settings

VERSION = {
    "Version": "28.5.2",
    "Components": [{"Name": "Engine", "Version": "28.5.2"}, {"Name": "runc", "Version": "1.3.3"}],
}
GENERATED_SPEC = """
kind: nvidia.com/gpu
devices: [{name: "0", containerEdits: {deviceNodes: [{path: /dev/nvidia0}]}}]
containerEdits: {mounts: [{hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06}]}
"""


@contextmanager
def made_up_engine(path: Path, answers: dict[str, str]) -> Iterator[list[str]]:
    """Answers GETs on a unix socket; yields the resources it was asked for."""
    asked: list[str] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(4096).split()[1].decode())
                body = answers.get(asked[-1])
                status = "404 Not Found" if body is None else "200 OK"
                connection.sendall(f"HTTP/1.0 {status}\r\n\r\n{body or ''}".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def program(path: Path, script: str = "exit 0") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def environ(root: Path, **more: str) -> dict[str, str]:
    return {"PATH": str(root / "usr/bin"), "HOME": str(root / "root"), **more}


def test_a_bare_machine(tmp_path: Path) -> None:
    put(tmp_path / "etc/os-release", 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian 12"\n')
    machine = observe_machine(root=tmp_path, environ=environ(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock"))
    assert (machine.distribution.id, machine.distribution.release, machine.init) == ("debian", (12,), "none")
    assert machine.engine == EngineSilent(reason=f"{tmp_path}/none.sock: No such file or directory")
    assert (machine.daemon, machine.client, machine.compose, machine.tools) == (None, None, None, frozenset())
    assert machine.gpu == nvidia.NoGpu()


def test_a_ready_machine_is_seen_without_starting_any_program(tmp_path: Path) -> None:
    ran = f"touch {tmp_path}/ran"
    for name in ("usr/bin/docker", "usr/sbin/dockerd", "usr/sbin/iptables", "usr/bin/nvidia-ctk"):
        program(tmp_path / name, ran)
    program(tmp_path / "usr/libexec/docker/cli-plugins/docker-compose", ran)
    program(tmp_path / "root/.docker/cli-plugins/docker-buildx", ran)
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    with made_up_engine(tmp_path / "d.sock", {"/version": json.dumps(VERSION)}) as asked:
        machine = observe_machine(root=tmp_path, environ=environ(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/d.sock"))
    assert asked == ["/version"]
    assert machine.engine == EngineAnswers(name="Engine", version="28.5.2", runc="1.3.3")
    assert machine.daemon == str(tmp_path / "usr/sbin/dockerd")
    assert machine.buildx == Plugin(path=str(tmp_path / "root/.docker/cli-plugins/docker-buildx"))
    assert machine.init == "systemd"
    assert machine.tools == {"iptables"}
    assert not (tmp_path / "ran").exists()


def test_a_thorough_look_asks_programs_for_their_versions(tmp_path: Path) -> None:
    program(tmp_path / "usr/sbin/dockerd", "echo Docker version 20.10.24+dfsg1, build 297e128")
    plugin = tmp_path / "usr/lib/docker/cli-plugins/docker-compose"
    program(plugin, '[ "$1" = docker-cli-plugin-metadata ] && echo \'{"Version": "v2.40.3"}\'')
    program(tmp_path / "usr/lib/docker/cli-plugins/docker-buildx", "echo not json")
    machine = observe_machine(
        thorough=True, root=tmp_path, environ=environ(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    )
    assert machine.daemon_version == "20.10.24+dfsg1"
    assert machine.compose == Plugin(path=str(plugin), version="2.40.3")
    assert machine.buildx is not None
    assert machine.buildx.version == ""


def test_prefixes_by_version_and_only_complete_ones(tmp_path: Path) -> None:
    for name in ("9.1.0", "28.5.2", "28.5.10", ".fetch-unstable-7/tree"):
        program(tmp_path / f"opt/rigstack/engine/{name}/usr/sbin/dockerd")
    machine = observe_machine(root=tmp_path, environ=environ(tmp_path, DOCKER_HOST="unix:///nowhere"))
    assert [Path(prefix).name for prefix in machine.prefixes] == ["9.1.0", "28.5.2", "28.5.10"]
    assert machine.daemon == f"{machine.prefixes[-1]}/usr/sbin/dockerd"


def test_engine_socket_follows_the_docker_clients_own_order(tmp_path: Path) -> None:
    assert engine_socket({"HOME": str(tmp_path)}) == "/var/run/docker.sock"
    put(tmp_path / ".docker/config.json", json.dumps({"currentContext": "rootless"}))
    meta = tmp_path / ".docker/contexts/meta" / hashlib.sha256(b"rootless").hexdigest() / "meta.json"
    put(meta, json.dumps({"Endpoints": {"docker": {"Host": "unix:///run/user/7/docker.sock"}}}))
    assert engine_socket({"HOME": str(tmp_path)}) == "/run/user/7/docker.sock"
    assert engine_socket({"HOME": str(tmp_path), "DOCKER_CONTEXT": "default"}) == "/var/run/docker.sock"
    assert engine_socket({"HOME": str(tmp_path), "DOCKER_HOST": "unix:///x.sock"}) == "/x.sock"
    with pytest.raises(HostError, match=r"DOCKER_HOST points to ssh://box"):
        engine_socket({"DOCKER_HOST": "ssh://box"})


def test_an_engine_that_answers_nonsense_is_silent(tmp_path: Path) -> None:
    with made_up_engine(tmp_path / "d.sock", {"/version": "<html>"}):
        assert isinstance(observe_engine(str(tmp_path / "d.sock")), EngineSilent)
    with made_up_engine(tmp_path / "e.sock", {}):
        assert ask(str(tmp_path / "e.sock"), "/version").status == 404
        assert isinstance(observe_engine(str(tmp_path / "e.sock")), EngineSilent)


def test_settings_are_asked_for_when_a_gpu_needs_cdi(tmp_path: Path) -> None:
    put(tmp_path / "dev/nvidia0", "")
    info = json.dumps({"CDISpecDirs": ["/etc/cdi"], "LiveRestoreEnabled": False})
    with made_up_engine(tmp_path / "d.sock", {"/version": json.dumps(VERSION), "/info": info}) as asked:
        machine = observe_machine(root=tmp_path, environ=environ(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/d.sock"))
    assert asked == ["/version", "/info"]
    assert isinstance(machine.engine, EngineAnswers)
    assert (machine.engine.cdi, machine.engine.live_restore) == (True, False)


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\n", "535.129.03"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs)\n", "580.65.06"),
        ("nonsense", ""),
    ],
)
def test_driver_version(tmp_path: Path, text: str, driver: str) -> None:
    put(tmp_path / "proc/driver/nvidia/version", text)
    assert nvidia.driver_version(tmp_path) == driver


def test_gpus_and_their_specs(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
        put(tmp_path / "dev" / name, "")
    put(tmp_path / "etc/cdi/nvidia.yaml", GENERATED_SPEC)
    put(tmp_path / "var/run/cdi/other.yaml", "kind: example.com/nic")
    nodes = nvidia.gpu_nodes(tmp_path)
    assert nodes == ("/dev/nvidia0", "/dev/nvidia2", "/dev/nvidia10")
    (spec,) = nvidia.cdi_specs(tmp_path, nodes=nodes, driver="580.65.06")
    assert spec == nvidia.CdiSpec(path="/etc/cdi/nvidia.yaml", stale="it names 1 GPU(s) and the machine has 3")


@pytest.mark.parametrize(
    ("spec", "driver", "nodes", "expected"),
    [
        (GENERATED_SPEC, "580.65.06", ("/dev/nvidia0",), ""),
        (GENERATED_SPEC, "580.82.09", ("/dev/nvidia0",), "it is for driver 580.65.06 and 580.82.09 is loaded"),
        ("kind: nvidia.com/gpu\ndevices: [{name: all}]", "580.65.06", ("/dev/nvidia0",), ""),
        (GENERATED_SPEC, "", ("/dev/nvidia0",), ""),
    ],
)
def test_a_spec_is_stale_when_driver_or_cards_changed(
    spec: str, driver: str, nodes: tuple[str, ...], expected: str
) -> None:
    assert nvidia.stale(spec, nodes=nodes, driver=driver) == expected


def test_a_spec_is_stale_when_mig_instances_changed(tmp_path: Path) -> None:
    capabilities = tmp_path / "proc/driver/nvidia/capabilities/gpu0/mig"
    put(capabilities / "config", "DeviceFileMinor: 1\nDeviceFileMode: 256\n")
    put(capabilities / "gi1/access", "DeviceFileMinor: 12\nDeviceFileMode: 292\n")
    put(capabilities / "gi1/ci0/access", "DeviceFileMinor: 13\nDeviceFileMode: 292\n")
    assert nvidia.mig_capabilities(tmp_path) == {12, 13}
    spec = (
        GENERATED_SPEC + "# /dev/nvidia-caps/nvidia-cap12 /dev/nvidia-caps/nvidia-cap13 /dev/nvidia-caps/nvidia-cap2\n"
    )
    put(tmp_path / "etc/cdi/nvidia.yaml", spec)
    (one,) = nvidia.cdi_specs(tmp_path, nodes=("/dev/nvidia0",), driver="580.65.06")
    assert one.stale == ""
    put(capabilities / "gi2/access", "DeviceFileMinor: 21\n")
    (one,) = nvidia.cdi_specs(tmp_path, nodes=("/dev/nvidia0",), driver="580.65.06")
    assert one.stale == "the MIG instances were changed since it was made"


def test_the_toolkit_s_units_that_refresh_the_spec(tmp_path: Path) -> None:
    assert nvidia.refresh_units(tmp_path) == ""
    put(tmp_path / "lib/systemd/system/nvidia-cdi-refresh.path", "")
    assert nvidia.refresh_units(tmp_path) == "off"
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants/nvidia-cdi-refresh.path"
    wants.parent.mkdir(parents=True)
    wants.symlink_to("/lib/systemd/system/nvidia-cdi-refresh.path")
    assert nvidia.refresh_units(tmp_path) == "on"
    (tmp_path / "etc/systemd/system/nvidia-cdi-refresh.path").symlink_to("/dev/null")
    assert nvidia.refresh_units(tmp_path) == "", "masked"


def test_links_by_which_systemd_knows_devices(tmp_path: Path) -> None:
    put(tmp_path / "dev/char/195:0", "")
    assert nvidia.unlinked_nodes(tmp_path, ("/dev/nvidia0", "/dev/nvidia1")) == ("/dev/nvidia1",)
    rule = nvidia.render_link_rule()
    assert rule.splitlines()[1].endswith('RUN+="/usr/bin/nvidia-ctk system create-dev-char-symlinks --create-all"')


def test_cards_without_a_driver_are_counted(tmp_path: Path) -> None:
    for number, (vendor, kind) in enumerate([("0x10de", "0x030000"), ("0x10de", "0x040300"), ("0x8086", "0x030000")]):
        put(tmp_path / f"sys/bus/pci/devices/{number}/vendor", vendor)
        put(tmp_path / f"sys/bus/pci/devices/{number}/class", kind)
    assert nvidia.driverless_cards(tmp_path) == 1


@pytest.mark.parametrize(
    ("name", "text", "signed_by"),
    [
        (
            "sources.list.d/debian.sources",
            "# a remark\nTypes: deb\nURIs: http://security.example/debian\n"
            "Suites: bookworm-security\nComponents: main\n\n"
            "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\n\n"
            "Types: deb deb-src\nURIs: http://mirror.example/debian http://second.example/debian\n"
            "Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/k.gpg\n",
            "/usr/share/keyrings/k.gpg",
        ),
        (
            "sources.list",
            "# deb http://commented.example bookworm main\n"
            "deb [arch=amd64 signed-by=/k.asc] http://mirror.example/debian bookworm main\n",
            "/k.asc",
        ),
        ("sources.list", "deb http://mirror.example/debian bookworm main\n", ""),
    ],
)
def test_the_machines_own_mirror(tmp_path: Path, name: str, text: str, signed_by: str) -> None:
    put(tmp_path / "etc/apt" / name, text)
    mirror = apt.own_mirror("bookworm", tmp_path)
    assert mirror == apt.Mirror(uri="http://mirror.example/debian", signed_by=signed_by)
    rendered = apt.render_source(mirror, "unstable")
    assert "Suites: unstable\n" in rendered
    assert (f"Signed-By: {signed_by}\n" in rendered) is bool(signed_by)


def test_a_key_written_into_the_source_is_kept(tmp_path: Path) -> None:
    key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----"
    put(tmp_path / "etc/apt/sources.list.d/d.sources", f"Types: deb\nURIs: u\nSuites: bookworm\nSigned-By:{key}\n")
    mirror = apt.own_mirror("bookworm", tmp_path)
    assert mirror is not None
    assert " mQINBF\n" in apt.render_source(mirror, "unstable")
    assert apt.own_mirror("trixie", tmp_path) is None


def test_private_apt_reads_no_source_of_the_machine() -> None:
    options = apt.private_options(Path("/w"), Path("/w/s.sources"))
    assert "Dir::Etc::sourcelist=/w/s.sources" in options
    assert "Dir::Etc::sourceparts=/dev/null" in options
    assert "Dir::State::Lists=/w/lists" in options


def test_links_never_replace_what_the_machine_has(tmp_path: Path) -> None:
    prefix = tmp_path / "opt/rigstack/engine/28.5.2"
    program(tmp_path / "usr/bin/docker", "echo the machine's own")
    stale = tmp_path / "usr/local/bin/dockerd"
    stale.parent.mkdir(parents=True)
    stale.symlink_to(tmp_path / "opt/rigstack/engine/26.1.5/usr/sbin/dockerd")
    put(tmp_path / "usr/local/lib/docker/cli-plugins/docker-compose", "somebody's")
    linked = engine_prefix.link_prefix(prefix, root=tmp_path)
    assert str(tmp_path / "usr/local/bin/docker") not in linked
    assert stale.readlink() == prefix / "usr/sbin/dockerd"
    assert (tmp_path / "usr/local/lib/docker/cli-plugins/docker-compose").read_text() == "somebody's"
    assert (tmp_path / "usr/local/lib/docker/cli-plugins/docker-buildx").is_symlink()
    assert engine_prefix.link_prefix(prefix, root=tmp_path) == linked


def test_a_prefixs_dockerd_gets_its_own_helpers() -> None:
    prefix = "/opt/rigstack/engine/28.5.2"
    argv, env = direct_argv(f"{prefix}/usr/sbin/dockerd")
    assert argv[0] == f"{prefix}/usr/sbin/dockerd"
    assert f"{prefix}/usr/bin/docker-init" in argv
    assert env["PATH"].startswith(f"{prefix}/usr/bin:")
    unit = engine_prefix.render_unit(prefix)
    assert f"ExecStart={' '.join(argv)}\n" in unit
    assert "\nKillMode=process\n" in unit
    assert direct_argv("/usr/sbin/dockerd")[0] == ("/usr/sbin/dockerd",)


@pytest.mark.parametrize(
    ("stat", "alive"),
    [
        ("774 (dockerd) S 1 774 774 0", True),
        ("774 (dockerd) Z 1 774 774 0", False),
        ("774 (a (b) dockerd) S 1", False),
        ("774 (bash) S 1", False),
    ],
)
def test_a_pid_file_of_the_dead_counts_for_nothing(tmp_path: Path, stat: str, alive: bool) -> None:
    put(tmp_path / "docker.pid", "774")
    put(tmp_path / "proc/774/stat", stat)
    assert is_alive("dockerd", tmp_path / "docker.pid", tmp_path / "proc") is alive
    assert not is_alive("dockerd", tmp_path / "none.pid", tmp_path / "proc")


def test_settings_of_a_new_engine() -> None:
    settings = json.loads(render_daemon_settings())
    assert settings["live-restore"] is True
    assert settings["features"] == {"cdi": True}
    assert settings["log-opts"]["max-size"]
