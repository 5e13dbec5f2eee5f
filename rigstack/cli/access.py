"""`rigstack access log`: who logged in at gateway, workspaces and notebooks, and who tried in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rigstack.cli import console
from rigstack.cli.rig import rig_of
from rigstack.errors import ConfigError, EngineError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rigstack.config.model import Rig
    from rigstack.plan.access import Failure, Login


@click.group()
def access() -> None:
    """Who logged in, and who tried."""


@access.command()
@click.option("--since", metavar="AGE", help="Only what happened since then: 30m, 12h, 7d.")
@click.option("--project", metavar="NAME", help="Only this project's workspace and notebook.")
@click.option("--failed", is_flag=True, help="Only the failed tries, by address.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with logins and failed tries.")
@click.pass_context
def log(context: click.Context, since: str | None, project: str | None, failed: bool, as_json: bool) -> None:
    """Show who logged in: key, address, project, when and for how long; and who failed to, counted by address.

    Read from state/access. A workspace's part of it is written by the account that people log in to there, who could
    change it; the gateway's and the notebooks' part is out of their reach. "workspace only" is a login that the gateway
    did not see: by the workspace's own port, or made up.
    """
    import time

    from rigstack.cli.rig import known_projects
    from rigstack.host.access import observe_access
    from rigstack.plan.access import summarise, with_addresses

    place, rig = rig_of(context)
    if project:
        known_projects(rig, (project,))
    begin = time.time() - _seconds(since) if since else 0.0
    logins, failures = observe_access(place.path, rig)
    shown = [
        one
        for one in with_addresses(_with_open(rig, logins))
        if (one.open or one.began + (one.seconds or 0) >= begin) and project in (None, one.project)
    ]
    tries = summarise(failures, begin)
    if as_json:
        document: dict[str, object] = {} if failed else {"logins": [_login_json(one) for one in shown]}
        console.result_json({**document, "failed": [_failure_json(one) for one in tries]})
        return
    if not failed:
        console.result(_logins(shown) if shown else "nobody logged in")
        console.result()
    console.result(_failures(tries) if tries else "no failed tries")


def _seconds(age: str) -> int:
    from rigstack.plan.age import seconds_of

    try:
        return seconds_of(age)
    except ValueError as wrong:
        raise ConfigError(f"--since {age} is not right; expected {wrong}") from None


def _with_open(rig: Rig, logins: Iterable[Login]) -> list[Login]:
    """Marks those that are open now; without an engine nothing is."""
    from rigstack.engine.observe import observe_containers
    from rigstack.engine.sessions import open_peers

    try:
        there = observe_containers(rig.name, rig.dir).values()
        peers = {
            (one.role, one.project): open_peers(one)
            for one in there
            if one.role in ("gateway", "workspace") and one.state == "running"
        }
    except (HostError, EngineError):
        peers = {}
    return [
        one.replace(open=True)
        if one.seconds is None and (one.address, one.port) in peers.get((one.where, one.project), ())
        else one
        for one in logins
    ]


def _logins(logins: Iterable[Login]) -> str:
    rows = [
        [
            _clock(one.began),
            one.where if one.seen else f"{one.where} only",
            one.project,
            one.who or one.fingerprint,
            one.address,
            _lasted(one),
        ]
        for one in logins
    ]
    return console.table(["WHEN", "WHERE", "PROJECT", "WHO", "ADDRESS", "FOR"], rows)


def _failures(failures: Iterable[Failure]) -> str:
    rows = [[str(one.tries), one.address, one.where, _clock(one.first), _clock(one.last)] for one in failures]
    return console.table(["FAILED", "ADDRESS", "WHERE", "FIRST", "LAST"], rows)


def _clock(moment: float) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _lasted(login: Login) -> str:
    if login.open:
        return "open"
    if login.seconds is None:
        return ""
    minutes = int(login.seconds // 60)
    return f"{int(login.seconds)} s" if minutes < 1 else f"{minutes // 60}:{minutes % 60:02} h"


def _login_json(login: Login) -> dict[str, object]:
    from rigstack.plan.ddns import iso

    return {
        "when": iso(int(login.began)),
        "where": login.where,
        "project": login.project,
        "who": login.who,
        "fingerprint": login.fingerprint,
        "address": login.address,
        "seconds": login.seconds,
        "open": login.open,
        "seen": login.seen,
    }


def _failure_json(failure: Failure) -> dict[str, object]:
    from rigstack.plan.ddns import iso

    return {
        "where": failure.where,
        "address": failure.address,
        "tries": failure.tries,
        "first": iso(int(failure.first)),
        "last": iso(int(failure.last)),
    }
