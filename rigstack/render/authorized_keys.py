"""The authorized_keys files of the gateway and of workspaces; sshd reads them at each login, so changes act at once."""

from __future__ import annotations

from rigstack.config.model import Rig


def render_gateway_keys(rig: Rig, keys: tuple[str, ...]) -> str:
    """Each key may open connections to the workspaces' port 22 and to nothing else (sshd(8), AUTHORIZED_KEYS)."""
    targets = ",".join(f'permitopen="{project.name}:22"' for project in rig.projects) or 'permitopen="none:1"'
    return "".join(f"restrict,port-forwarding,{targets} {key}\n" for key in keys)


def render_workspace_keys(keys: tuple[str, ...]) -> str:
    """The same people, with nothing held back: a workspace is theirs."""
    return "".join(f"{key}\n" for key in keys)
