"""What compose says when containers cannot start becomes one message with its cause and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigstack.engine.containers import _start_failure, compose_argv
from rigstack.errors import EngineError, HostError
from rigstack.process import Completed

FRONT = "Error response from daemon: failed to set up container networking: driver failed programming external "
FRONT += "connectivity on endpoint rigstack-box-edge-1 (5e0f): "


def said(text: str) -> Completed:
    return Completed(argv=("docker", "compose", "up"), status=1, stdout="", stderr=text)


@pytest.fixture
def fake_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fakes of docker and ss, which note their arguments in `asked` and print what `docker.out` and `ss.out` hold."""
    for program in ("docker", "ss"):
        script = tmp_path / program
        (tmp_path / f"{program}.out").write_text("")
        script.write_text(
            f'#!/bin/sh\necho {program} "$@" >> {tmp_path}/asked\nexec /bin/cat {tmp_path}/{program}.out\n'
        )
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "port"),
    [
        # docker 26 and 27
        ("Bind for 0.0.0.0:8443 failed: port is already allocated", 8443),
        ("Bind for :::8443 failed: port is already allocated", 8443),
        ("Bind for 127.0.0.1:22222 failed: port is already allocated", 22222),
        ("failed to listen on TCP socket: listen tcp4 0.0.0.0:443: bind: address already in use", 443),
        ("Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use", 80),
        ("Error starting userland proxy: listen tcp6 [::]:80: bind: address already in use", 80),
        ("Error starting userland proxy: listen udp4 0.0.0.0:443: bind: address already in use", 443),
        # docker 28
        ("failed to bind host port for 0.0.0.0:80:172.18.0.2:80/tcp: address already in use", 80),
        ("failed to bind host port for 192.168.1.10:80:172.18.0.2:8080/tcp: address already in use", 80),
        ("failed to bind host port for [::]:80:[fd00::2]:80/tcp: address already in use", 80),
        ("failed to bind host port 0.0.0.0:8443/tcp: address already in use", 8443),
        ("failed to bind host port [::]:8443/tcp: address already in use", 8443),
        ("failed to bind host port [::1]:8443/tcp: address already in use", 8443),
        ("Bind for [fe80::12]:8443 failed: port is already allocated", 8443),
        ("failed to bind host port 0.0.0.0:443/udp: address already in use", 443),
    ],
)
def test_a_taken_port_is_named_with_its_holder(text: str, port: int, fake_programs: Path) -> None:
    (fake_programs / "ss.out").write_text(
        'LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=123,fd=6),("nginx",pid=124,fd=6))\n'
    )
    error = _start_failure(said(FRONT + text + "\n"))
    assert isinstance(error, HostError)
    assert error.what == f"port {port} is taken by another program"
    assert error.cause == "nginx (process 123) listens there"
    assert "rig.toml" in error.remedy
    asked = (fake_programs / "asked").read_text()
    assert f"publish={port}" in asked
    assert f"sport = :{port}" in asked


def test_a_port_taken_by_a_container(fake_programs: Path) -> None:
    (fake_programs / "docker.out").write_text("web-1\n")
    error = _start_failure(said(FRONT + "Bind for 0.0.0.0:80 failed: port is already allocated"))
    assert error.cause == "the container web-1 publishes it"


@pytest.mark.parametrize("missing", ["ss", "docker"])
def test_a_port_taken_where_nobody_can_tell(fake_programs: Path, missing: str) -> None:
    (fake_programs / missing).unlink()
    error = _start_failure(said(FRONT + "Bind for 0.0.0.0:80 failed: port is already allocated"))
    assert isinstance(error, HostError)
    assert error.cause == ""
    assert (fake_programs / "asked").exists() == (missing == "ss")


def test_other_reasons() -> None:
    full = _start_failure(said("mkdir /var/lib/docker/overlay2/x: no space left on device"))
    assert isinstance(full, HostError)
    assert full.what == "the disk is full"
    for words in (
        "could not select device driver: failed to inject: unresolvable CDI devices nvidia.com/gpu=7",
        "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=7",
    ):
        gpu = _start_failure(said("Error response from daemon: " + words))
        assert isinstance(gpu, HostError)
        assert "GPUs" in gpu.what
        assert "nvidia.com/gpu=7" in gpu.details[0]
    other = _start_failure(said("\n".join(f"line {n}" for n in range(20))))
    assert isinstance(other, EngineError)
    assert other.details == tuple(f"line {n}" for n in range(12, 20))


def test_an_engine_that_may_not_raise_a_limit() -> None:
    """As docker 28.5 says it where runc runs without CAP_SYS_RESOURCE."""
    text = "Error response from daemon: failed to create task for container: failed to create shim task: OCI runtime"
    text += " create failed: runc create failed: unable to start container process: error during container init: error"
    text += " setting rlimits for ready process: error setting rlimit type 8: operation not permitted"
    failure = _start_failure(said(text))
    assert isinstance(failure, HostError)
    assert failure.what == "the engine may not lock as much memory as a project asks for"
    assert "memlock" in failure.remedy


def test_an_engine_without_an_address_range_left() -> None:
    text = "failed to create network rigstack-box_p-demo: Error response from daemon: all predefined address pools have"
    failure = _start_failure(said(text + " been fully subnetted"))
    assert isinstance(failure, HostError)
    assert "default-address-pools" in failure.remedy


def test_a_name_in_use_is_not_a_port() -> None:
    words = 'Conflict. The container name "/x" is already in use by container "5e0f:8443"'
    assert isinstance(_start_failure(said(words)), EngineError)


def test_compose_runs_on_exactly_the_rig_s_files() -> None:
    assert compose_argv(Path("/rig"), "/assets", "ps", "--all") == (
        *("docker", "compose", "--env-file", "/rig/state/compose.env", "--project-directory", "/rig"),
        *("-f", "/assets/compose.yaml", "-f", "/rig/state/compose.json", "ps", "--all"),
    )
