"""What is known on the host about the edge's certificates: the rig's own root, and when the served one ends."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from rigstack.config.model import Rig
from rigstack.plan.host import Host
from rigstack.render.edge import lan_names, tls_mode

CERTIFICATES = "secrets/edge/caddy/certificates"
LOG = "secrets/edge/tls.log"
ROOT_CERTIFICATE = "secrets/edge/caddy/pki/authorities/local/root.crt"


def observe_certificate(root: Path, rig: Rig, host: Host) -> str:
    """When the certificate of the rig's best name ends (ISO 8601, UTC), or "" when none is there or readable."""
    if tls_mode(rig) == "files":
        path: Path | None = root / rig.tls.certificate
    else:
        name = rig.hostname or (f"{host.machine}.local" if host.machine else lan_names(host)[0])
        path = _newest(root / CERTIFICATES, name)
    if path is None:
        return ""
    try:
        return not_after(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return ""


def acme_issued(root: Path, name: str) -> bool:
    """Whether an ACME authority has signed `name` before; Caddy keeps one folder an authority, "local" is the rig's."""
    try:
        return any(path.parts[-3] != "local" for path in (root / CERTIFICATES).glob(f"*/{name}/{name}.crt"))
    except OSError:
        return False


def observe_issuer(root: Path, rig: Rig) -> str:
    """Who signed what is served for the hostname: "acme", "internal" (also standing in for acme), "files" or ""."""
    mode = tls_mode(rig)
    if mode != "acme":
        return mode
    path = _newest(root / CERTIFICATES, rig.hostname)
    return "" if path is None else "internal" if path.parts[-3] == "local" else "acme"


def refusal(root: Path, rig: Rig) -> str:
    """Why the authority does not sign the hostname, in its own words; "" when it did since, or was never asked."""
    if tls_mode(rig) != "acme":
        return ""
    log = root / LOG
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        signed = [path for path in (root / CERTIFICATES).glob(f"*/{rig.hostname}/{rig.hostname}.crt")]
        after = max((path.stat().st_mtime for path in signed if path.parts[-3] != "local"), default=0.0)
    except OSError:
        return ""
    import json

    for line in reversed(lines):
        try:
            entry = json.loads(line)
            if entry.get("identifier") == rig.hostname and entry.get("error") and entry["ts"] > after:
                return str(entry["error"])[:300]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
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
