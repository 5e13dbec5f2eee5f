"""A text that never shows itself: not in repr, not in logs, not in an error."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Secret:
    """Holds a password or token; `reveal()` is the one way to see it."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        return self._text

    def __str__(self) -> str:
        return "(secret)"
