"""Has the edge ask its authority again where none has signed yet: what was missing may be there since."""

from __future__ import annotations

from rigstack.cli import console
from rigstack.config.model import Rig


def ask_for_certificate(rig: Rig) -> None:
    """Tells on the terminal what came of it. An edge that does not run asks by itself when it starts."""
    from rigstack.engine.edge import ask_authority_again
    from rigstack.engine.observe import observe_containers
    from rigstack.errors import EngineError, HostError

    try:
        edge = observe_containers(rig.name, rig.dir).get("edge")
        if edge is None or edge.state != "running":
            return
        refused = ask_authority_again(edge.id)
    except (EngineError, HostError) as failed:
        refused = failed.what
    if refused:
        console.warn(f"no authority has signed {rig.hostname} yet: {refused}")
    else:
        console.note(f"no authority has signed {rig.hostname} yet: the edge asks again")
