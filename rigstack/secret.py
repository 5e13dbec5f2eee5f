"""A text that never shows itself: not in repr, not in logs, not in an error."""

from __future__ import annotations


class Secret:
    """Holds a password or token; `reveal()` is the one way to see it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(...)"
