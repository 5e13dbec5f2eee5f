"""GET on the engine's socket: answers, and one message for each way in which it can fail."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_engine import FakeEngine, fake_engine

from rigstack import process
from rigstack.engine import api
from rigstack.engine.observe import observe_containers, observe_images, observe_inputs
from rigstack.errors import EngineError, HostError


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    with fake_engine(tmp_path, {}) as made:
        monkeypatch.setenv("DOCKER_HOST", made.url)
        yield made


def test_an_answer(engine: FakeEngine) -> None:
    engine.answers["/info"] = {"ID": "x" * 300_000}
    assert api.get("/info") == {"ID": "x" * 300_000}
    assert engine.asked == ["/info"]


def test_a_refusal_says_what_the_engine_said(engine: FakeEngine) -> None:
    with pytest.raises(EngineError, match="refused GET /nothing: page not found: /nothing") as raised:
        api.get("/nothing")
    assert raised.value.exit_code == 4


def test_a_refusal_without_json(engine: FakeEngine) -> None:
    engine.answers["/x"] = b"HTTP/1.1 503 Busy\r\n\r\nupstream is \xff down"
    with pytest.raises(EngineError, match="upstream is \N{REPLACEMENT CHARACTER} down"):
        api.get("/x")


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_10.0\r\n",
        b"",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 twohundred OK\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe",
    ],
)
def test_something_else_listens_there(engine: FakeEngine, garbage: bytes) -> None:
    engine.answers["/x"] = garbage
    with pytest.raises(EngineError, match="is not a Docker engine") as raised:
        api.get("/x")
    assert str(engine.path) in raised.value.what
    assert raised.value.remedy


def test_an_engine_that_hangs(engine: FakeEngine) -> None:
    engine.hold.clear()
    with pytest.raises(HostError, match="did not answer within 0 s") as raised:
        api.get("/x", timeout=0.1)
    assert raised.value.exit_code == 3
    assert raised.value.cause


@pytest.mark.parametrize("there", ["nothing", "a stale socket", "a file on the way"])
def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str) -> None:
    path = tmp_path / "engine.sock"
    if there == "a stale socket":
        with fake_engine(tmp_path, {"/x": 1}) as made:
            api.ask(str(made.path), "/x")
    if there == "a file on the way":
        path.write_text("")
        path = path / "below"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with pytest.raises(HostError, match=f"no engine answers at {path}") as raised:
        api.get("/info")
    assert "host setup" in raised.value.remedy


def test_a_socket_closed_to_this_user(engine: FakeEngine) -> None:
    engine.path.chmod(0)
    code = (
        "import os\nfrom rigstack.engine import api\nfrom rigstack.errors import HostError\n"
        "os.geteuid() or os.setuid(65534)\n"
        "try: api.get('/info')\nexcept HostError as error: print('\\n'.join(error.lines()))\n"
    )
    done = process.run((sys.executable, "-c", code))
    assert f"this user may not use the engine's socket {engine.path}" in done.stdout, done.stderr
    assert "usermod -aG docker" in done.stdout
    engine.path.chmod(0o700)
    engine.answers["/info"] = {}
    assert api.get("/info") == {}


def test_which_socket(tmp_path: Path) -> None:
    assert api.engine_socket({"HOME": str(tmp_path)}) == "/var/run/docker.sock"
    assert api.engine_socket({"DOCKER_HOST": "unix:///run/user/1000/docker.sock"}) == "/run/user/1000/docker.sock"
    for elsewhere in ("tcp://192.0.2.1:2376", "ssh://me@box"):
        with pytest.raises(HostError, match=elsewhere) as raised:
            api.engine_socket({"DOCKER_HOST": elsewhere})
        assert raised.value.remedy


def test_the_docker_client_s_context(tmp_path: Path) -> None:
    folder = tmp_path / ".docker" / "contexts" / "meta"
    name = hashlib.sha256(b"rootless").hexdigest()
    (folder / name).mkdir(parents=True)
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"currentContext": "rootless"}))
    home = {"HOME": str(tmp_path)}
    assert api.engine_socket(home) == "/var/run/docker.sock"  # a context that was removed
    meta = {"Endpoints": {"docker": {"Host": "unix:///run/user/1000/docker.sock"}}}
    (folder / name / "meta.json").write_text(json.dumps(meta))
    assert api.engine_socket(home) == "/run/user/1000/docker.sock"
    assert api.engine_socket({**home, "DOCKER_CONTEXT": "default"}) == "/var/run/docker.sock"
    assert api.engine_socket({**home, "DOCKER_HOST": "unix:///x"}) == "/x"
    (tmp_path / ".docker" / "config.json").write_text("not json")
    assert api.engine_socket(home) == "/var/run/docker.sock"


def an_entry(service: str, status: str, **labels: str) -> dict[str, object]:
    """A container as GET /containers/json lists it."""
    return {
        "Id": f"id-{service}",
        "Image": "rigstack/edge:1234",
        "State": "running",
        "Status": status,
        "Labels": {
            "com.docker.compose.service": service,
            "rigstack.rig": "box",
            "rigstack.directory": "/rig",
            "rigstack.role": "edge",
            "rigstack.hash": "abcd",
            **labels,
        },
        "NetworkSettings": {"Networks": {"rigstack-box_front": {}, "rigstack-box_p-demo": {}}},
    }


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("Up 3 minutes (healthy)", "healthy"),
        ("Up 3 seconds (health: starting)", "starting"),
        ("Up 2 hours (unhealthy)", "unhealthy"),
        ("Up 2 hours", ""),
        ("Exited (0) 3 minutes ago", ""),
        ("Restarting (1) 3 seconds ago", ""),
    ],
)
def test_containers_are_read_from_labels(engine: FakeEngine, status: str, health: str) -> None:
    engine.answers["/containers/json"] = [an_entry("edge", status)]
    found = observe_containers("box", "/rig")["edge"]
    assert (found.id, found.role, found.project, found.hash, found.image) == (
        *("id-edge", "edge", "", "abcd"),
        "rigstack/edge:1234",
    )
    assert (found.health, found.status) == (health, status)
    assert found.networks == {"rigstack-box_front", "rigstack-box_p-demo"}
    assert "rigstack.rig%3Dbox" in engine.asked[0]


@pytest.mark.parametrize(
    ("log", "ailment"),
    [
        ([{"Output": "fine"}, {"Output": "\nlost its GPUs: x\n"}], "lost its GPUs: x"),
        ([{"Output": ""}], ""),
        ([], ""),
        (None, ""),
    ],
)
def test_an_unhealthy_container_is_asked_why(engine: FakeEngine, log: object, ailment: str) -> None:
    engine.answers["/containers/json"] = [an_entry("edge", "Up 2 hours (unhealthy)")]
    assert observe_containers("box", "/rig")["edge"].ailment == "", "it went away meanwhile"
    engine.answers["/containers/id-edge/json"] = {"State": {"Health": {"Log": log}}}
    found = observe_containers("box", "/rig")["edge"]
    assert (found.ailment, found.lost_gpus) == (ailment, ailment != "")


def test_a_rig_of_the_same_name_elsewhere_is_not_touched(engine: FakeEngine) -> None:
    engine.answers["/containers/json"] = [an_entry("edge", "Up", **{"rigstack.directory": "/other"})]
    with pytest.raises(EngineError, match='another rig named "box" runs on this machine, from /other'):
        observe_containers("box", "/rig")


def test_images_and_their_inputs(engine: FakeEngine) -> None:
    engine.answers["/images/json"] = [{"RepoTags": ["a:1", "a:2"]}, {"RepoTags": None}, {"RepoTags": []}]
    assert observe_images() == {"a:1", "a:2"}
    engine.answers["/containers/json"] = [an_entry("edge", "Up"), an_entry("gateway", "Up")]
    containers = observe_containers("box", "/rig").values()
    place = "/images/rigstack%2Fedge%3A1234/json"
    assert observe_inputs(containers)[0] == {"edge": {}, "gateway": {}}  # the image is gone
    for labels, inputs in (
        (None, {}),
        ({}, {}),
        ({"rigstack.inputs": "[]"}, {}),
        ({"rigstack.inputs": "{"}, {}),
        ({"rigstack.inputs": '{"cuda": "none"}'}, {"cuda": "none"}),
    ):
        engine.answers[place] = {"Config": {"Labels": labels}}
        engine.asked.clear()
        assert observe_inputs(containers)[0] == {"edge": inputs, "gateway": inputs}
        assert engine.asked == [place]  # once for both
