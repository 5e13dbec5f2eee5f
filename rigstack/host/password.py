"""The notebook password: argon2id for JupyterLab, and the same password for the edge's project list."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from rigstack.host.files import write_file
from rigstack.plan.desired import PASSWORD_FILES
from rigstack.secret import Secret

EDGE_USER = "rig"


def new_password() -> Secret:
    """A random password of 120 bits in five groups that a person can type."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return Secret("-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(5)))


def set_password(root: Path, password: Secret, *, owner: tuple[int, int]) -> None:
    """Writes the password's hashes where JupyterLab and the edge read them; the password itself is kept nowhere.

    owner: the containers' user, who must be able to read them. Raises HostError when it cannot write.
    """
    from argon2 import PasswordHasher

    hashed = PasswordHasher().hash(password.reveal())  # argon2-cffi's default is RFC 9106's low-memory profile
    notebook, edge = PASSWORD_FILES
    document = {"PasswordIdentityProvider": {"hashed_password": f"argon2:{hashed}"}}
    write_file(root / notebook, json.dumps(document) + "\n", mode=0o600, owner=owner)
    site_login = f'basic_auth argon2id "rig" {{\n\t{EDGE_USER} {hashed}\n}}\n'
    write_file(root / edge, site_login, mode=0o600, owner=owner)
