"""Reads what the DDNS sidecar wrote about itself: one small file, so that `rigstack status` stays fast."""

from __future__ import annotations

import json
from pathlib import Path

from rigstack.errors import HostError
from rigstack.host.files import read_text
from rigstack.plan.ddns import DdnsReport, read_report

SETTINGS = ("state/ddns", "secrets/ddns")
REPORT = "state/ddns-cache/state.json"


def observe_ddns(root: Path) -> DdnsReport:
    """The sidecar's last report; an empty one when there is none (yet) or it cannot be read."""
    try:
        document = json.loads(read_text(root / REPORT) or "{}")
    except (ValueError, HostError):
        return DdnsReport()
    return read_report(document) if isinstance(document, dict) else DdnsReport()


def observe_refusal(root: Path) -> DdnsReport | None:
    """The report of a sidecar whose provider refused the settings as they are; None for any other, or an older one."""
    try:
        told = (root / REPORT).stat().st_mtime_ns
        settings = [file.stat().st_mtime_ns for folder in SETTINGS for file in (root / folder).iterdir()]
    except OSError:
        return None
    report = observe_ddns(root)
    return report if report.state == "refused" and told > max(settings, default=0) else None
