"""`up` and `down` against the real engine: converge, change only what changed, keep what people own."""

from __future__ import annotations

import os

from pytest_docker.plugin import get_docker_services

from rigstack.assets import assets_dir
from tests.conftest import MakeRig
from tests.live_rig import LiveRig, docker


def test_everything_is_healthy_and_a_second_up_has_nothing_to_do(rig: LiveRig) -> None:
    status = rig.status()
    assert status["rig"]["state"] == "running"
    assert [project["state"] for project in status["projects"]] == ["running"]
    before = rig.containers()
    again = rig.up()
    assert "nothing to do" in again.stdout
    assert rig.containers() == before
    assert rig.run("up", "--dry-run").stdout.strip() == "nothing to do"


def test_compose_sees_the_same_rig(rig: LiveRig) -> None:
    assert rig.run("compose", "--", "config", "--quiet").returncode == 0
    listed = rig.run("compose", "--", "ps", "--services").stdout.split()
    assert sorted(listed) == ["demo-notebook", "demo-workspace", "edge", "gateway"]


def test_plain_docker_compose_brings_the_same_rig_up(rig: LiveRig) -> None:
    """Without rigstack between: what it wrote down is enough for the tools that people know."""
    assert rig.run("down").returncode == 0
    assert rig.containers() == {}
    state = rig.path / "state"
    files = [str(assets_dir() / "compose.yaml"), str(state / "compose.json")]
    environment = " ".join(f'--env-file "{file}"' for file in sorted(state.glob("*.env")))
    command = f'docker compose {environment} --project-directory "{rig.path}"'
    setup = ["up --detach --no-build --pull never --wait"]
    with get_docker_services(command, files, f"rigstack-{rig.name}", setup, []) as services:
        assert services.port_for("edge", 443) == rig.https_port
        services.wait_until_responsive(lambda: rig.curl("/p/demo/api", "--fail").returncode == 0, 30, 0.2)
    assert rig.ssh("demo", "echo in").stdout == "in\n"
    assert rig.run("up", "--dry-run").stdout.strip() == "nothing to do"


def test_a_stopped_container_comes_back(rig: LiveRig) -> None:
    docker("stop", "--time", "1", rig.containers()["demo-workspace"])
    assert rig.run("status").returncode == 5
    dry = rig.run("up", "--dry-run").stdout
    assert "start demo-workspace - demo-workspace: it is exited" in dry
    rig.up()
    assert rig.status()["rig"]["state"] == "running"


def test_deleted_state_is_written_again_and_nothing_restarts(rig: LiveRig) -> None:
    before = rig.containers()
    for name in ("compose.json", "compose.env"):
        (rig.path / "state" / name).unlink()
    rig.up()
    assert rig.containers() == before


def test_changed_requirements_rebuild_one_image_and_name_the_cause(rig: LiveRig) -> None:
    before = rig.containers()
    (rig.code() / "requirements.txt").write_text("numpy\nsix==1.17.0\n")
    dry = rig.run("up", "--dry-run").stdout
    assert "image changed: requirements.txt" in dry
    assert "rigstack/base" not in dry
    rig.up()
    after = rig.containers()
    assert {name for name in after if after[name] != before[name]} == {"demo-workspace", "demo-notebook"}
    assert rig.ssh("demo", "python -c 'import six; print(six.__version__)'").stdout.strip() == "1.17.0"


def test_a_change_that_keeps_a_files_size_reaches_the_image(rig: LiveRig) -> None:
    """BuildKit takes a file of the same path, size and time for the one it got before; the text must win."""
    for release in ("1.17.0", "1.16.0"):
        (rig.code() / "requirements.txt").write_text(f"numpy\nsix=={release}\n")
        rig.up()
        assert rig.ssh("demo", "python -c 'import six; print(six.__version__)'").stdout.strip() == release


def test_editing_code_changes_nothing(rig: LiveRig) -> None:
    (rig.code() / "train.py").write_text("print('hello')\n")
    assert "nothing to do" in rig.up().stdout


def test_a_requirement_that_cannot_be_had_leaves_everything_running(rig: LiveRig) -> None:
    before = rig.containers()
    good = (rig.code() / "requirements.txt").read_text()
    (rig.code() / "requirements.txt").write_text("numpy\nno-such-package-of-rigstack==9.9\n")
    failed = rig.run("up")
    (rig.code() / "requirements.txt").write_text(good)
    assert failed.returncode == 7, failed.stderr
    assert "the image of demo could not be built: requirements.txt" in failed.stderr
    assert "no-such-package-of-rigstack" in failed.stderr
    assert rig.containers() == before
    assert "nothing to do" in rig.up().stdout


def test_a_new_project_joins_without_restarting_the_edge_or_the_gateway(rig: LiveRig) -> None:
    before = rig.containers()
    rig.append("[projects.second]")
    rig.up()
    after = rig.containers()
    assert {name: after[name] for name in before} == before
    assert rig.curl("/p/second/api").stdout.startswith('{"version"')
    assert rig.run("up", "--dry-run").stdout.strip() == "nothing to do"

    (rig.path / "rig.toml").write_text(rig.toml.replace("[projects.second]", ""))
    rig.up()
    assert rig.containers() == before
    assert not [name for name in rig.networks() if name.endswith("p-second")]
    assert rig.curl("/p/second/api", "-o", "/dev/null", "-w", "%{http_code}").stdout == "404"
    assert (rig.path / "code" / "second").is_dir()


def test_projects_cannot_reach_one_another(make_rig: MakeRig) -> None:
    rig = make_rig(projects=("one", "two"))
    rig.up()
    rig.pin_host_keys()
    probe = "timeout 3 bash -c 'exec 3<>/dev/tcp/{}/{}' && echo reached"
    address = docker(
        "inspect",
        "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        rig.containers()["two-notebook"],
    )
    assert "reached" in rig.ssh("two", probe.format("two-notebook", 8888)).stdout
    assert "reached" not in rig.ssh("one", probe.format("two-notebook", 8888)).stdout
    assert "reached" not in rig.ssh("one", probe.format(address, 8888)).stdout


def test_a_taken_port_is_named(make_rig: MakeRig) -> None:
    import socket

    rig = make_rig()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", rig.ssh_port))
        squatter.listen()
        failed = rig.run("up")
    assert failed.returncode == 3
    assert f"port {rig.ssh_port} is taken" in failed.stderr
    assert f"process {os.getpid()}" in failed.stderr
    rig.up()


def test_two_rigs_of_one_name_are_kept_apart(rig: LiveRig, make_rig: MakeRig) -> None:
    other = make_rig()
    (other.path / "rig.toml").write_text(other.toml.replace(f'name = "{other.name}"', f'name = "{rig.name}"'))
    failed = other.run("up")
    assert failed.returncode == 4
    assert str(rig.path) in failed.stderr


def test_down_takes_containers_and_networks_and_nothing_else(rig: LiveRig) -> None:
    keys = {path: path.read_bytes() for path in (rig.path / "state/keys").rglob("*") if path.is_file()}
    (rig.code() / "kept.txt").write_text("kept")
    done = rig.run("down")
    assert done.returncode == 0, done.stderr
    assert rig.containers() == {}
    assert rig.networks() == []
    assert (rig.code() / "kept.txt").read_text() == "kept"
    rig.up()
    assert {path: path.read_bytes() for path in keys} == keys
    assert rig.ssh("demo", "cat kept.txt 2>/dev/null || cat /code/demo/kept.txt").stdout == "kept"
