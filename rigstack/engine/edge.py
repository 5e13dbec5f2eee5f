"""Changes what the edge serves: a candidate is validated by Caddy itself before it replaces what works."""

from __future__ import annotations

import shutil
from pathlib import Path

from rigstack import process
from rigstack.engine.containers import run_inside
from rigstack.errors import EngineError
from rigstack.host.files import give, write_file
from rigstack.plan.desired import File
from rigstack.render.edge import TLS_TARGET

CURRENT, NEXT = "state/edge/current", "state/edge/next"
CONFIG = "/etc/rigstack/edge/{}/Caddyfile"
ADMIN = "unix//run/caddy/admin.sock"
VALIDATE = ("caddy", "validate", "--config", CONFIG.format("next"), "--adapter", "caddyfile")
CANDIDATE = {"RIGSTACK_SITES": "next"}


def publish(root: Path, files: tuple[File, ...], *, owner: tuple[int, int], container: str | None, image: str) -> None:
    """Puts `files` in place of state/edge/current and reloads the edge gracefully.

    container: the running edge's id; without one there is nobody to reload.
    image: the edge's next one, with which the container is about to be made anew; or "".
    Raises EngineError with Caddy's own words when it refuses the candidate; the present sites stay.
    """
    candidate = root / NEXT
    shutil.rmtree(candidate, ignore_errors=True)
    for file in files:
        path = root / file.path.replace(CURRENT, NEXT, 1)
        write_file(path, file.text, mode=file.mode, owner=owner)
    for folder in (candidate, *(one for one in candidate.rglob("*") if one.is_dir())):
        give(folder, owner)
    if image:
        _judge(*_validated_by(image, root, owner))
    elif container is not None:
        _judge(*run_inside(container, VALIDATE, env=CANDIDATE))
    _swap(root / CURRENT, candidate)
    if container is not None and not image:
        reload(container)


def ask_authority_again(container: str) -> str:
    """Has the running edge ask for its first certificate at once; "" or why it does not. Raises EngineError."""
    status, said = run_inside(container, ("/usr/local/lib/rigstack/run-edge", "ask"))
    return said.strip() if status else ""


def _validated_by(image: str, root: Path, owner: tuple[int, int]) -> tuple[int, str]:
    """What the Caddy of an image that does not run yet says, in a container that has of the rig only what it reads."""
    uid, gid = owner
    folders = ("/run/caddy", "/config", "/data", "/var/log/rigstack")
    argv = (
        *("docker", "run", "--rm", "--pull", "never", "--network", "none", "--user", f"{uid}:{gid}", "--read-only"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--no-healthcheck"),
        *(word for folder in folders for word in ("--tmpfs", f"{folder}:uid={uid},gid={gid},mode=0700")),
        *("--mount", f"type=bind,source={root}/state/edge,target=/etc/rigstack/edge,readonly"),
        *("--mount", f"type=bind,source={root}/secrets/edge-tls,target={TLS_TARGET},readonly"),
        *(word for name, value in CANDIDATE.items() for word in ("--env", f"{name}={value}")),
        *(image, *VALIDATE),
    )
    done = process.run(argv, timeout=60)
    return (0, "") if done.ok else (1, done.stderr)


def _judge(status: int, said: str) -> None:
    if status:
        words = [line for line in said.strip().splitlines() if not line.startswith('{"level":"info"')]
        raise EngineError(
            "Caddy refuses the new sites; the present ones stay",
            details=tuple(words[-4:]),
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
