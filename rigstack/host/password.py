"""The notebook password: its argon2id hash, where every notebook reads it; the edge asks a notebook."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from rigstack.host.files import write_file
from rigstack.plan.desired import PASSWORD_FILE
from rigstack.secret import Secret


def new_password() -> Secret:
    """A random password of 120 bits in five groups that a person can type."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return Secret("-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(5)))


def set_password(root: Path, password: Secret, *, owner: tuple[int, int]) -> None:
    """Writes the password's hash where running notebooks look every second; the password itself is kept nowhere.

    owner: the containers' user, who must be able to read them. Raises HostError when it cannot write.
    """
    from argon2 import PasswordHasher

    hashed = PasswordHasher().hash(password.reveal())  # argon2-cffi's default is RFC 9106's low-memory profile
    document = {"PasswordIdentityProvider": {"hashed_password": f"argon2:{hashed}"}}
    write_file(root / PASSWORD_FILE, json.dumps(document) + "\n", mode=0o600, owner=owner)
