"""`rigstack key`: keys of files that changed come and go by a word, and never the last one unasked."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import command
import pytest

from rigstack.process import Completed


def a_key(comment: str) -> str:
    """A public key line like ssh-keygen's (RFC 8709, 4)."""
    parts = (b"ssh-ed25519", comment.encode().ljust(32, b"."))
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}"


ALICE, BOB = a_key("alice"), a_key("bob")


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    """A rig that was up once, with a file of keys."""
    (tmp_path / "rig.toml").write_text('[access]\nauthorized_keys = ["file:team.pub"]\n')
    (tmp_path / "team.pub").write_text(f"{ALICE}\n")
    for name in ("gateway", "workspace"):
        (tmp_path / "state/ssh" / name).mkdir(parents=True)
    assert key(tmp_path, "refresh").status == 0
    return tmp_path


def key(rig: Path, *words: str) -> Completed:
    return command.rigstack("--rig", str(rig), "key", *words, cwd=rig, env={"DOCKER_HOST": "unix:///nonexistent"})


def test_a_changed_file_is_read_again(rig: Path) -> None:
    there = rig / "state/ssh/workspace/authorized_keys"
    assert key(rig, "refresh").stdout == "the same keys as before\n"
    (rig / "team.pub").write_text(f"{BOB}\n")
    dry = key(rig, "refresh", "--dry-run").stdout
    assert "would let in: SHA256:" in dry and "would go: SHA256:" in dry and there.read_text() == f"{ALICE}\n"
    done = json.loads(key(rig, "refresh", "--json").stdout)
    assert (done["came"], done["went"], done["done"]) == ([BOB], [ALICE], True)
    assert there.read_text() == f"{BOB}\n"
    assert BOB in (rig / "state/ssh/gateway/authorized_keys").read_text()


def test_a_file_that_became_empty_locks_nobody_out(rig: Path) -> None:
    (rig / "team.pub").write_text("")
    done = key(rig, "refresh")
    assert done.status == 8 and "nobody could log in" in done.stderr
    assert ALICE in (rig / "state/ssh/workspace/authorized_keys").read_text()


def test_a_private_key_is_refused_and_not_shown(rig: Path) -> None:
    (rig / "id").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaSECRET\n")
    done = key(rig, "add", str(rig / "id"))
    assert done.status == 2 and "looks like a private key" in done.stderr
    assert "b3Bl" not in done.stderr


def test_a_key_that_was_pasted_in_part_is_refused(rig: Path) -> None:
    before = (rig / "rig.toml").read_text()
    for part in (ALICE.split()[1][:-1], ALICE.split()[1][:-4]):
        done = key(rig, "add", f"ssh-ed25519 {part} me")
        assert done.status == 2 and "that public key is not whole" in done.stderr
    assert (rig / "rig.toml").read_text() == before
