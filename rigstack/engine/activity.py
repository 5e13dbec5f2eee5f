"""Asks containers what runs in them that somebody would miss."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from rigstack.engine.containers import run_inside
from rigstack.errors import EngineError
from rigstack.plan.activity import Activity, activities, parse_processes
from rigstack.plan.observed import Container

# A kernel's environment says which notebook it belongs to (jupyter_server: JPY_SESSION_NAME).
SCRIPT = """
ps -ww -eo pid=,ppid=,etimes=,args=
echo --
for file in /proc/[0-9]*/environ; do
    name=$(tr '\\0' '\\n' < "$file" 2> /dev/null | sed -n 's/^JPY_SESSION_NAME=//p')
    [ -z "$name" ] || echo "$file $name"
done 2> /dev/null
"""


def observe_activity(containers: Iterable[Container]) -> dict[str, tuple[Activity, ...]]:
    """Container id -> what runs there; a container that cannot be asked has gone or hangs, and counts as idle."""
    asked = list(containers)
    if not asked:
        return {}
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip((one.id for one in asked), pool.map(_activity, asked), strict=True))


def _activity(container: Container) -> tuple[Activity, ...]:
    try:
        _, text = run_inside(container.id, ("/bin/sh", "-c", SCRIPT))
    except EngineError:
        return ()
    return activities(parse_processes(text))
