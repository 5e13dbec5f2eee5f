"""rig.lock: which images the rig's own start from, and which projects were rolled back; fit to be committed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rigstack.config.model import Lock
from rigstack.errors import ConfigError

FILE = "rig.lock"


def load_lock(rig_dir: Path) -> Lock:
    """The lock of the rig, empty when there is none. Raises ConfigError for a file that is no lock."""
    path = rig_dir / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Lock()
    except (OSError, UnicodeDecodeError) as failed:
        raise ConfigError(f"cannot read {path}: {failed}", remedy="mend the file or its mode") from None
    import tomllib

    try:
        document = tomllib.loads(text)
        base, state = _base(document.get("base", {}))
        return Lock(
            base=base, state=state, images=_pairs(document.get("images", {})), pins=_pairs(document.get("pins", {}))
        )
    except (tomllib.TOMLDecodeError, AttributeError) as broken:
        raise ConfigError(
            f"{path} is not a lock of rigstack: {broken}", remedy="mend it, or delete it: the next `up` does without"
        ) from None


def _base(table: Mapping[str, object]) -> tuple[str, str]:
    """The base system and what is meant by it. Before images had locks too, [base] held a serial and a digest."""
    if {"serial", "digest"} & table.keys():
        return "", str(table.get("digest", "")) or f"packages {table.get('serial', '')}".strip()
    return next(iter(_pairs(table)), ("", ""))


def _pairs(table: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(name), str(value)) for name, value in table.items()))


def render_lock(lock: Lock) -> str:
    """The text of rig.lock."""
    lines = ["# Which images the rig's own start from. Written by rigstack: `up` adds, `image update` moves on."]
    base = ((lock.base, lock.state),) if lock.state else ()
    for name, pairs in (("base", base), ("images", lock.images), ("pins", lock.pins)):
        if pairs:
            lines += ["", f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in pairs)]
    return "\n".join(lines) + "\n"
