"""The fingerprint of a public key, as ssh shows it."""

from __future__ import annotations


def fingerprint(public_line: str) -> str:
    """SHA256:... of a public key line (RFC 4253 blob, base64 without padding); "" for ""."""
    import base64
    import hashlib

    fields = public_line.split()
    if len(fields) < 2:
        return ""
    blob = base64.b64decode(fields[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
