"""Ages as people write them."""

from __future__ import annotations

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str, *, most: str = "366d") -> int:
    """ "90s", "30m", "1h", "1d" in seconds, `most` at most. Raises ValueError whose text is what was expected."""
    seconds = _seconds(text)
    if not 0 < seconds <= _seconds(most):
        raise ValueError(f'an age such as "30m" or "1h", at most "{most}"')
    return seconds


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,9})\s*([smhd])", text.strip())
    return int(found.group(1)) * _UNITS[found.group(2)] if found else 0
