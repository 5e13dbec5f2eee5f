"""Makes tests/unit importable for its builders, and keeps the caller's environment out of every test."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_inherited_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RIGSTACK_RIG", "RIGSTACK_CDI_DIR", "DOCKER_HOST", "SUDO_UID", "SUDO_GID", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
