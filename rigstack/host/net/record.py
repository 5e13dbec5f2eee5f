"""What `rigstack net open` opened and its last renewal found: state/net.json."""

from __future__ import annotations

import json
from pathlib import Path

from rigstack.host.files import read_text, write_file
from rigstack.plan.net import Opened, Record

RECORD = "state/net.json"


def load_record(root: Path) -> Record | None:
    """What stands open by our doing; None when nobody ever said `net open`, or said `net close` since."""
    try:
        document = json.loads(read_text(root / RECORD) or "null")
        if document is None:
            return None
        opened = tuple(Opened(**one) for one in document["opened"])
        last = document.get("last", {})
        return Record(opened=opened, **{**last, "failures": tuple(last.get("failures", ()))})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def save_record(root: Path, record: Record | None) -> None:
    """Writes it down, or takes the file away for None. Raises HostError."""
    path = root / RECORD
    if record is None:
        path.unlink(missing_ok=True)
        return
    there = root.stat()
    last = {name: value for name, value in record.__dict__.items() if name != "opened"}
    document = {"schema": 1, "opened": [one.__dict__ for one in record.opened], "last": last}
    write_file(path, json.dumps(document, indent=2) + "\n", mode=0o600, owner=(there.st_uid, there.st_gid))
