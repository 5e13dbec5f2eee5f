"""The laptop that the files of these tests share the making of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.laptop import Laptop


@pytest.fixture(scope="module")
def laptop() -> Iterator[Laptop]:
    """A laptop of the file's own, taken away at its end."""
    made = Laptop()
    yield made
    made.destroy()
