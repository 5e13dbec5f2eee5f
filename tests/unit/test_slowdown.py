"""How long failed notebook logins make one wait: the policy, with a clock of the test's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def load() -> ModuleType:
    path = Path(__file__).parents[2] / "images/base/lib/jupyter/rigstack_slowdown.py"
    spec = importlib.util.spec_from_file_location("rigstack_slowdown", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


policy = load()


def waits(times: int, *, every: float = 0.0) -> list[float]:
    """What each of so many failures in a row costs before it."""
    slow, found = policy.Slowdown(), []
    for turn in range(times):
        found.append(slow.wait("a", turn * every))
        slow.failed("a", turn * every)
    return found


def test_mistyping_costs_nothing_and_guessing_costs_ever_more() -> None:
    assert waits(10) == [0, 0, 0, 1, 2, 4, 8, 16, 30, 30]


def test_a_guesser_who_waits_each_time_gets_two_tries_a_minute() -> None:
    slow, now, tries = policy.Slowdown(), 0.0, 0
    while now < 86400:
        now += slow.wait("a", now) + 0.05
        slow.failed("a", now)
        tries += 1
    assert 2000 < tries < 3200


def test_another_address_does_not_wait() -> None:
    slow = policy.Slowdown()
    for _ in range(50):
        slow.failed("192.0.2.1", 0.0)
    assert slow.wait("192.0.2.1", 1.0) == policy.LONGEST
    assert slow.wait("192.0.2.2", 1.0) == 0


def test_failures_fade_and_the_right_password_ends_them() -> None:
    slow = policy.Slowdown()
    for _ in range(6):
        slow.failed("a", 0.0)
    assert slow.wait("a", 0.0) == 8
    assert slow.wait("a", policy.HALF_LIFE) == 1
    assert slow.wait("a", 3 * policy.HALF_LIFE) == 0
    slow.succeeded("a")
    assert slow.wait("a", 0.0) == 0


def test_few_tries_of_one_client_may_wait_and_others_have_places_of_their_own() -> None:
    slow = policy.Slowdown()
    assert [slow.enter("a") for _ in range(policy.WAITING + 1)] == [True] * policy.WAITING + [False]
    assert slow.enter("b")
    slow.leave("a")
    assert slow.enter("a") and not slow.enter("a")


def test_what_is_remembered_is_bounded_and_the_worst_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "CLIENTS", 100)
    slow = policy.Slowdown()
    for _ in range(9):
        slow.failed("worst", 0.0)
    for number in range(1000):
        slow.failed(str(number), 1.0)
    assert len(slow._failures) == 100
    assert slow.wait("worst", 1.0) == policy.LONGEST


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", "unknown"),
    ],
)
def test_who_is_one_client(address: str, client: str) -> None:
    assert policy.client_of(address) == client
