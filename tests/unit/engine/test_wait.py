"""Waiting for health ends when all are well, and with the first that is not, its log and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_engine import FakeEngine, fake_engine

from rigstack.engine.containers import wait_healthy
from rigstack.errors import UnhealthyError


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    """A fake engine, and a fake docker that prints a log."""
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho "$@" >> "${0%/*}/asked"\necho one\necho two >&2\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with fake_engine(tmp_path, {}) as made:
        monkeypatch.setenv("DOCKER_HOST", made.url)
        yield made


def entry(service: str, state: str, status: str) -> dict[str, object]:
    return {
        "Id": f"id-{service}",
        "Image": "x",
        "State": state,
        "Status": status,
        "Labels": {"com.docker.compose.service": service, "rigstack.directory": "/rig"},
    }


def wait(*services: str, timeout: float = 30) -> list[str]:
    told: list[str] = []
    wait_healthy("box", "/rig", services, timeout=timeout, tell=told.append)
    return told


def test_it_ends_when_all_are_healthy(engine: FakeEngine) -> None:
    starting = [entry("edge", "running", "Up (health: starting)"), entry("plain", "running", "Up")]
    healthy = [entry("edge", "running", "Up (healthy)"), entry("plain", "running", "Up")]
    engine.answers["/containers/json"] = starting
    told: list[str] = []

    def tell(words: str) -> None:
        told.append(words)
        engine.answers["/containers/json"] = healthy

    wait_healthy("box", "/rig", ["edge", "plain"], timeout=30, tell=tell)
    assert told == ["plain is healthy", "edge is healthy"]
    assert len(engine.asked) == 2


@pytest.mark.parametrize(
    ("state", "status"),
    [("running", "Up 1 minute (unhealthy)"), ("exited", "Exited (1) 3 seconds ago"), ("dead", "Dead")],
)
def test_the_first_that_is_not_well_is_named_with_its_log(engine: FakeEngine, state: str, status: str) -> None:
    engine.answers["/containers/json"] = [
        entry("edge", "running", "Up (healthy)"),
        entry("demo-notebook", state, status),
    ]
    with pytest.raises(UnhealthyError) as raised:
        wait("edge", "demo-notebook")
    error = raised.value
    assert error.exit_code == 5
    assert error.what == f"demo-notebook did not become healthy ({status})"
    assert error.details == ("one", "two")
    assert error.remedy == "rigstack logs demo-notebook"
    assert "logs --tail 8 id-demo-notebook" in (engine.path.parent / "asked").read_text()


def test_what_waiting_does_not_heal_is_said_when_the_others_are_well(engine: FakeEngine) -> None:
    starting = entry("ddns", "running", "Up (health: starting)")
    engine.answers["/containers/json"] = [starting, entry("edge", "running", "Up (health: starting)")]
    asked: list[str] = []

    def hopeless(service: str) -> tuple[str, str] | None:
        asked.append(service)
        engine.answers["/containers/json"] = [starting, entry("edge", "running", "Up (healthy)")]
        return ("it is refused", "mend it") if service == "ddns" else None

    with pytest.raises(UnhealthyError, match="it is refused") as raised:
        wait_healthy("box", "/rig", ["ddns", "edge"], timeout=30, tell=asked.append, hopeless=hopeless)
    assert raised.value.remedy == "mend it"
    assert asked == ["ddns", "edge", "edge is healthy"]


def test_one_that_is_gone(engine: FakeEngine) -> None:
    engine.answers["/containers/json"] = []
    with pytest.raises(UnhealthyError, match="edge did not become healthy"):
        wait("edge")


def test_time_runs_out(engine: FakeEngine) -> None:
    engine.answers["/containers/json"] = [entry("edge", "running", "Up 1 second (health: starting)")]
    with pytest.raises(UnhealthyError, match=r"health: starting"):
        wait("edge", timeout=0.1)
    with pytest.raises(UnhealthyError):
        engine.answers["/containers/json"] = [entry("edge", "restarting", "Restarting (1) 1 second ago")]
        wait("edge", timeout=0.1)
