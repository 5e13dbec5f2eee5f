"""Short hashes: of what goes into an image, of what would change a container."""

from __future__ import annotations

import hashlib


def digest(*parts: str | bytes, length: int = 12) -> str:
    """A short hash of parts, each delimited by its length so that no two lists of parts collide."""
    total = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        total.update(f"{len(raw)}:".encode())
        total.update(raw)
    return total.hexdigest()[:length]
