"""Changes what the edge serves: a candidate is validated by Caddy itself before it replaces what works."""

from __future__ import annotations

import shutil
from pathlib import Path

from rigstack.engine.containers import run_inside
from rigstack.errors import EngineError
from rigstack.host.files import give, write_file
from rigstack.plan.desired import File

CURRENT, NEXT = "state/edge/current", "state/edge/next"
CONFIG = "/etc/rigstack/edge/{}/Caddyfile"
ADMIN = "unix//run/caddy/admin.sock"


def publish(root: Path, files: tuple[File, ...], *, owner: tuple[int, int], container: str | None) -> None:
    """Puts `files` in place of state/edge/current and reloads the edge gracefully.

    container: the running edge's id; without one there is nobody to ask or to reload.
    Raises EngineError with Caddy's own words when it refuses the candidate; the present sites stay.
    """
    candidate = root / NEXT
    shutil.rmtree(candidate, ignore_errors=True)
    for file in files:
        path = root / file.path.replace(CURRENT, NEXT, 1)
        write_file(path, file.text, mode=file.mode, owner=owner)
    for folder in (candidate, *(one for one in candidate.rglob("*") if one.is_dir())):
        give(folder, owner)
    if container is not None:
        _validate(container)
    _swap(root / CURRENT, candidate)
    if container is not None:
        reload(container)


def ask_authority_again(container: str) -> str:
    """Has the running edge ask for its first certificate at once; "" or why it does not. Raises EngineError."""
    status, said = run_inside(container, ("/usr/local/lib/rigstack/run-edge", "ask"))
    return said.strip() if status else ""


def _validate(container: str) -> None:
    status, said = run_inside(
        container,
        ("caddy", "validate", "--config", CONFIG.format("next"), "--adapter", "caddyfile"),
        env={"RIGSTACK_SITES": "next"},
    )
    if status:
        raise EngineError(
            "Caddy refuses the new sites; the present ones stay",
            details=tuple(said.strip().splitlines()[-4:]),
            remedy="check hostname and [tls] in rig.toml",
        )


def _swap(current: Path, candidate: Path) -> None:
    old = current.with_name("previous")
    shutil.rmtree(old, ignore_errors=True)
    if current.exists():
        current.rename(old)
    candidate.rename(current)
    shutil.rmtree(old, ignore_errors=True)


def reload(container: str) -> None:
    """A graceful reload: open websockets stay (stream_close_delay in the site files)."""
    status, said = run_inside(
        container,
        (
            "caddy",
            "reload",
            "--config",
            CONFIG.format("current"),
            "--adapter",
            "caddyfile",
            "--address",
            ADMIN,
            "--force",
        ),
    )
    if status:
        raise EngineError("the edge could not reload", details=tuple(said.strip().splitlines()[-4:]))
