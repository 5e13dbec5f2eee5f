"""What the sidecar reports of itself, and for which settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rigstack.host.ddns import REPORT, observe_refusal


@pytest.mark.parametrize(
    ("report", "written", "refused"),
    [
        ('{"state": "refused"}', 1, True),
        ('{"state": "refused"}', 3, False),  # the settings are newer: it has not tried them yet
        ('{"state": "current"}', 1, False),
        ("{", 1, False),
    ],
)
def test_a_refusal_counts_for_the_settings_that_were_tried(
    tmp_path: Path, report: str, written: int, refused: bool
) -> None:
    for name, text, seconds in (
        ("state/ddns/ddns.conf", "", 1),
        ("secrets/ddns/password", "", written),
        (REPORT, report, 2),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (seconds, seconds))
    assert (observe_refusal(tmp_path) is not None) == refused


def test_no_report_is_no_refusal(tmp_path: Path) -> None:
    assert observe_refusal(tmp_path) is None
