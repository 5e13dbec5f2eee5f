"""Reads what the DDNS sidecar wrote about itself: one small file, so that `rigstack status` stays fast."""

from __future__ import annotations

import json
from pathlib import Path

from rigstack.errors import HostError
from rigstack.host.files import read_text
from rigstack.plan.ddns import DdnsReport, read_report

REPORT = "state/ddns-cache/state.json"


def observe_ddns(root: Path) -> DdnsReport:
    """The sidecar's last report; an empty one when there is none (yet) or it cannot be read."""
    try:
        document = json.loads(read_text(root / REPORT) or "{}")
    except (ValueError, HostError):
        return DdnsReport()
    return read_report(document) if isinstance(document, dict) else DdnsReport()
