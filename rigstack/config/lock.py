"""rig.lock: which base system the rig's images start from, and which projects were rolled back; fit to be committed."""

from __future__ import annotations

import json
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
        base, pins = document.get("base", {}), document.get("pins", {})
        return Lock(
            serial=str(base.get("serial", "")),
            digest=str(base.get("digest", "")),
            pins=tuple(sorted((str(name), str(tag)) for name, tag in pins.items())),
        )
    except (tomllib.TOMLDecodeError, AttributeError) as broken:
        raise ConfigError(
            f"{path} is not a lock of rigstack: {broken}", remedy="mend it, or delete it: the next `up` does without"
        ) from None


def render_lock(lock: Lock) -> str:
    """The text of rig.lock."""
    lines = ["# Written by rigstack (image update, project rollback); fit to be committed."]
    if lock.serial or lock.digest:
        lines += ["", "[base]", f"serial = {json.dumps(lock.serial)}", f"digest = {json.dumps(lock.digest)}"]
    if lock.pins:
        lines += ["", "[pins]", *(f"{json.dumps(name)} = {json.dumps(tag)}" for name, tag in lock.pins)]
    return "\n".join(lines) + "\n"
