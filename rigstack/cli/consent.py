"""Nobody's job ends without a yes: says what a plan would end, and asks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rigstack.cli import console
from rigstack.engine.activity import observe_activity
from rigstack.errors import ConsentError
from rigstack.plan.activity import Activity, ending, services_of
from rigstack.plan.observed import Container, Observed
from rigstack.plan.steps import Plan

LOOK_AGAIN = 2.0


@dataclass(kw_only=True)
class Consent:
    """What one `up` may end. yes: everything; wait: nothing, but it waits until nothing runs.

    held: services that stay as they are, because of what runs in them; why: what that is.
    """

    yes: bool
    wait: bool
    held: frozenset[str] = frozenset()
    why: dict[str, list[str]] = field(default_factory=dict)
    agreed: set[str] = field(default_factory=set)

    def ask(self, plan: Plan, observed: Observed) -> bool:
        """Before a plan is done: asks about what it would end; True when that changed what is held."""
        if self.yes or self.wait:
            return False
        before = self.held
        for what, running in self._running(plan, observed).items():
            console.note(f"{what}: this would end")
            console.note("\n".join(f"    {one}" for one in running))
            if sys.stdin.isatty() and console.confirm(f"End them and go on with {what}?", yes=False):
                self.agreed.add(what)
            else:
                self._hold(what, running, observed)
        return self.held != before

    def guard(self, plan: Plan, observed: Observed, tell: Callable[[str], None]) -> frozenset[str]:
        """Just before containers go: the services to leave, for what began since the question; waits if told to."""
        if self.yes:
            return frozenset()
        while running := self._running(plan, observed):
            if not self.wait:
                for what, found in running.items():
                    self._hold(what, found, observed)
                break
            lines = [f"{what}: {one}" for what, found in running.items() for one in found]
            tell("waiting for " + "; ".join(lines))
            while self._running(plan, observed) == running:
                time.sleep(LOOK_AGAIN)
        return self.held

    def settle(self) -> None:
        """Raises ConsentError when something was left as it is."""
        if self.held:
            raise ConsentError(
                f"{', '.join(self.why)}: left as it is, because of what runs in it; everything else is done",
                details=tuple(f"{what}: {line}" for what, lines in self.why.items() for line in lines),
                remedy="`rigstack up --yes` ends them, `rigstack up --wait` goes on when they have ended",
            )

    def _running(self, plan: Plan, observed: Observed) -> dict[str, list[str]]:
        affected = {
            what: containers
            for what, containers in ending(plan, observed).items()
            if what not in self.agreed and not services_of(what, observed) & self.held
        }
        by_id = observe_activity(_each(affected.values()))
        found = {}
        for what, containers in affected.items():
            lines = [str(one) for container in containers for one in by_id[container.id] if _ends(what, one)]
            if lines:
                found[what] = lines
        return found

    def _hold(self, what: str, running: list[str], observed: Observed) -> None:
        self.held |= services_of(what, observed)
        self.why[what] = running


def _each(groups: Iterable[tuple[Container, ...]]) -> list[Container]:
    return list({one.service: one for group in groups for one in group}.values())


def _ends(what: str, one: Activity) -> bool:
    """The gateway only carries connections."""
    return what != "gateway" or one.kind in ("ssh session", "sftp session")
