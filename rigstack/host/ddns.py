"""What the DDNS client told the provider last, from the files that it keeps."""

from __future__ import annotations

from pathlib import Path

CACHE = "state/ddns-cache"


def told_address(root: Path, hostname: str) -> str:
    """The address that the provider was told last for `hostname`, or "" when none was.

    inadyn keeps one file PROVIDER-HOSTNAME.cache a name, with the address in it (inadyn(8), FILES).
    """
    try:
        files = sorted((root / CACHE).glob(f"*{hostname}.cache"), key=lambda file: file.stat().st_mtime)
        return files[-1].read_text(encoding="ascii").strip() if files else ""
    except (OSError, UnicodeDecodeError):
        return ""
