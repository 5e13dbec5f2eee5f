"""Who may let a set-up happen: root, after a yes."""

from __future__ import annotations

from collections.abc import Callable

from rigstack.errors import ConsentError, HostError
from rigstack.host.machine import Machine
from rigstack.host.setup_steps import SetupPlan


def ensure_allowed(plan: SetupPlan, machine: Machine, ask: Callable[[SetupPlan], bool]) -> None:
    """Returns when the plan may be carried out. ask: shows the plan to the person and brings the answer.

    Raises HostError for a user who is not root (with the plan, and without asking), ConsentError without a yes.
    """
    if not machine.root:
        raise HostError(
            "this machine is not set up for rigstack, and setting it up needs root",
            remedy="sudo rigstack host setup",
            details=plan.lines(),
        )
    if not ask(plan):
        raise ConsentError(
            "nobody said yes to the set-up, so nothing was done",
            remedy="rigstack host setup --yes",
        )
