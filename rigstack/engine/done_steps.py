"""Remembers by which steps the last builds installed Python packages; without it a build does all in one."""

from __future__ import annotations

import json
from pathlib import Path

from rigstack.host.files import write_file
from rigstack.plan.growth import Chain

FILE = "state/build/steps.json"
MOST_CHAINS = 40


def load_steps(root: Path) -> dict[str, tuple[Chain, ...]]:
    """What was built on each ground (growth.ground); empty when the file is not there or not ours."""
    try:
        document = json.loads((root / FILE).read_text(encoding="utf-8"))
        return {
            ground: tuple(tuple(tuple(sorted(step.items())) for step in chain) for chain in chains)
            for ground, chains in document.items()
        }
    except (OSError, ValueError, AttributeError):
        return {}


def keep_steps(root: Path, built: list[tuple[str, Chain]]) -> None:
    """Adds (ground, chain) of images that were built. A requirement may carry a password, so nobody else reads it."""
    kept = [(ground, chain) for ground, chains in load_steps(root).items() for chain in chains]
    kept = [pair for pair in kept if pair not in built] + [pair for pair in built if pair[1]]
    document: dict[str, list[list[dict[str, str]]]] = {}
    for ground, chain in kept[-MOST_CHAINS:]:
        document.setdefault(ground, []).append([dict(step) for step in chain])
    write_file(root / FILE, json.dumps(document), mode=0o600, owner=None)
