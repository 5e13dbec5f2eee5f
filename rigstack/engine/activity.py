"""Asks containers what runs in them that somebody would miss."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from rigstack.assets import assets_dir
from rigstack.engine.containers import run_inside
from rigstack.errors import EngineError
from rigstack.plan.activity import Activity, activities, parse_processes
from rigstack.plan.observed import Container


def observe_activity(containers: Iterable[Container]) -> dict[str, tuple[Activity, ...]]:
    """Container id -> what runs there; a container that cannot be asked has gone or hangs, and counts as idle."""
    asked = list(containers)
    if not asked:
        return {}
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip((one.id for one in asked), pool.map(_activity, asked), strict=True))


def _activity(container: Container) -> tuple[Activity, ...]:
    # The program's text, since an image may be older than this rigstack, or be somebody else's.
    script = (assets_dir() / "images/base/lib/list-processes").read_text(encoding="utf-8")
    try:
        _, text = run_inside(container.id, ("/bin/sh", "-c", script))
    except EngineError:
        return ()
    return activities(parse_processes(text))
