"""The image's check of uv.lock against pyproject.toml, on locks that the real uv made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rigstack import process

SCRIPT = Path(__file__).parents[3] / "images/base/lib/check-lock"
BEFORE = """[project]
name = "me"
version = "1"
requires-python = ">=3.11"
dependencies = ["Six.X[y]>=1,<2 ; python_version > '3'", "typing-extensions"]
[dependency-groups]
dev = ["pytest>=8"]
"""
# As uv 0.13 writes it: names made plain, specifiers in its own order.
LOCK = """version = 1
[[package]]
name = "me"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "six-x" }, { name = "typing-extensions" }]
[package.metadata]
requires-dist = [
    { name = "six-x", extras = ["y"], marker = "python_full_version >= '3.1'", specifier = ">=1,<2" },
    { name = "typing-extensions" },
]
[package.metadata.requires-dev]
dev = [{ name = "pytest", specifier = ">=8" }]
"""


def check(folder: Path, pyproject: str) -> process.Completed:
    (folder / "pyproject.toml").write_text(pyproject)
    (folder / "uv.lock").write_text(LOCK)
    return process.run((sys.executable, str(SCRIPT), str(folder)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", ""),
        (">=1,<2", "<2, >=1.0", ""),
        ('"typing-extensions"', '"typing_extensions"', ""),
        (">=1,<2", ">=1,<3", "was not made for Six.X[y]>=1,<3"),
        ('"typing-extensions"]', '"typing-extensions", "numpy"]', "does not know numpy"),
        ("pytest>=8", "pytest>=9", "was not made for pytest>=9"),
        ('"pytest>=8"', '"pytest>=8", "ruff"', "does not know ruff"),
    ],
)
def test_what_the_lock_was_made_for(tmp_path: Path, old: str, new: str, said: str) -> None:
    done = check(tmp_path, BEFORE.replace(old, new) if old else BEFORE)
    assert done.ok == (not said), done.stderr
    assert said in done.stderr
