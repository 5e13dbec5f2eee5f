"""Who signed the hostname, and why somebody did not, from what Caddy keeps."""

from __future__ import annotations

import json
import os
from pathlib import Path

from builders import a_rig

from rigstack.host.certificate import CERTIFICATES, LOG, acme_issued, observe_issuer, refusal

NAME = "rig.example.net"
RIG = a_rig(f"[rig]\nhostname = '{NAME}'")


def signed(root: Path, by: str, at: float) -> None:
    file = root / CERTIFICATES / by / NAME / f"{NAME}.crt"
    file.parent.mkdir(parents=True)
    file.touch()
    os.utime(file, (at, at))


def refused(root: Path, at: float, **changed: object) -> None:
    entry = {"ts": at, "identifier": NAME, "error": "no valid A records found", **changed}
    log = root / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out:
        out.write(json.dumps(entry) + "\nnonsense\n")


def test_nobody_was_asked_yet(tmp_path: Path) -> None:
    assert (acme_issued(tmp_path, NAME), observe_issuer(tmp_path, RIG), refusal(tmp_path, RIG)) == (False, "", "")


def test_a_refusal_and_the_stand_in(tmp_path: Path) -> None:
    refused(tmp_path, 100)
    refused(tmp_path, 200, identifier="another.example.net")
    signed(tmp_path, "local", 150)
    assert not acme_issued(tmp_path, NAME)
    assert observe_issuer(tmp_path, RIG) == "internal"
    assert refusal(tmp_path, RIG) == "no valid A records found"


def test_a_signature_ends_the_complaint_and_a_later_refusal_is_told(tmp_path: Path) -> None:
    refused(tmp_path, 100)
    signed(tmp_path, "ca.example.net-dir", 150)
    assert acme_issued(tmp_path, NAME)
    assert (observe_issuer(tmp_path, RIG), refusal(tmp_path, RIG)) == ("acme", "")
    refused(tmp_path, 300, error="rate limited")
    assert refusal(tmp_path, RIG) == "rate limited"


def test_other_modes_ask_nobody(tmp_path: Path) -> None:
    refused(tmp_path, 100)
    rig = a_rig(f"[rig]\nhostname = '{NAME}'\n[tls]\nmode = 'internal'")
    assert (observe_issuer(tmp_path, rig), refusal(tmp_path, rig)) == ("internal", "")
