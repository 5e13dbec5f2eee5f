"""The fingerprint of a public key, as ssh shows it."""

from __future__ import annotations

NOT_WHOLE = "(not a whole key)"


def fingerprint(public_line: str) -> str:
    """SHA256:... of a public key line (RFC 4253 blob, base64 without padding); "" for "", NOT_WHOLE for part of one."""
    import base64
    import hashlib

    fields = public_line.split()
    if len(fields) < 2:
        return ""
    try:
        blob = base64.b64decode(fields[1])
    except ValueError:
        return NOT_WHOLE
    # Strings, each with its length in front (RFC 4251, 5; RFC 4253, 6.6).
    end = 0
    while end < len(blob):
        end += 4 + int.from_bytes(blob[end : end + 4], "big")
    if end != len(blob):
        return NOT_WHOLE
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
