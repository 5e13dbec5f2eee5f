"""Compares a text with a file of tests/unit/golden; UPDATE_GOLDEN=1 writes the files anew, for a look at the diff."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    """Fails when `text` is not what the file `name` holds."""
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"there is no {path}: run with UPDATE_GOLDEN=1"
    assert text == path.read_text(encoding="utf-8")
