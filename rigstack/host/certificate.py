"""What is known on the host about the edge's certificates: the rig's own root, and when the served one ends."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from rigstack.config.model import Rig
from rigstack.plan.host import Host
from rigstack.render.edge import lan_names, tls_mode

ROOT_CERTIFICATE = "secrets/edge/caddy/pki/authorities/local/root.crt"


def observe_certificate(root: Path, rig: Rig, host: Host) -> str:
    """When the certificate of the rig's best name ends (ISO 8601, UTC), or "" when none is there or readable."""
    if tls_mode(rig) == "files":
        path: Path | None = root / rig.tls.certificate
    else:
        name = rig.hostname or (f"{host.machine}.local" if host.machine else lan_names(host)[0])
        path = _newest(root / "secrets/edge/caddy/certificates", name)
    if path is None:
        return ""
    try:
        return not_after(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return ""


def _newest(folder: Path, name: str) -> Path | None:
    try:
        found = list(folder.glob(f"*/{name}/{name}.crt"))
        return max(found, key=lambda path: path.stat().st_mtime, default=None)
    except OSError:
        return None


def not_after(pem: str) -> str:
    """The end of validity of the first certificate in `pem`, ISO 8601 in UTC.

    Reads the two times of the DER Validity (RFC 5280, 4.1.2.5: UTCTime or GeneralizedTime, both ending in Z)
    by their tags; loading a TLS library for this would double the time that status takes.
    Raises ValueError when there is no certificate in it.
    """
    body = re.search(r"-----BEGIN CERTIFICATE-----(.+?)-----END", pem, re.S)
    if body is None:
        raise ValueError("no certificate in this file")
    der = base64.b64decode(body.group(1))
    times = re.search(rb"(?:\x17\x0d(\d{12})Z|\x18\x0f(\d{14})Z)(?:\x17\x0d(\d{12})Z|\x18\x0f(\d{14})Z)", der)
    if times is None:
        raise ValueError("no validity in this certificate")
    short, long = times.group(3), times.group(4)
    digits = (long or (b"20" if short < b"50" else b"19") + short).decode()
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{digits[8:10]}:{digits[10:12]}:{digits[12:]}Z"
