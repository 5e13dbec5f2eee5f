"""Host keys are made once; people's keys are found; passwords are kept as hashes; certificates are read."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from builders import ALICE, BOB, DEMO, a_host, a_rig

from rigstack import process
from rigstack.errors import ConfigError, HostError
from rigstack.host import ssh_keys
from rigstack.host.certificate import not_after, observe_certificate
from rigstack.host.password import new_password, set_password
from rigstack.host.ssh_keys import (
    ensure_host_key,
    forget_github_keys,
    keygen_argv,
    public_half,
    resolve_authorized_keys,
)
from rigstack.plan.desired import PASSWORD_FILE
from rigstack.plan.fingerprint import fingerprint
from rigstack.secret import Secret

NAME = "ssh_host_ed25519_key"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    ensure_host_key(path, "box-demo", owner=None)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_a_key_pair_is_made(key: Path) -> None:
    assert names_in(key.parent) == [NAME, f"{NAME}.pub"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    public = key.with_name(f"{NAME}.pub").read_text()
    assert public.startswith("ssh-ed25519 ")
    assert public.endswith(" box-demo\n")
    assert public_half(key) == " ".join(public.split()[:2])


def test_a_key_pair_is_kept(key: Path) -> None:
    before = key.read_bytes(), key.stat().st_mtime_ns, public_half(key)
    ensure_host_key(key, "another-comment", owner=None)
    assert (key.read_bytes(), key.stat().st_mtime_ns, public_half(key)) == before


def test_a_lost_public_half_is_made_again_from_the_private_one(key: Path) -> None:
    before = key.read_bytes(), public_half(key)
    key.with_name(f"{NAME}.pub").unlink()
    assert public_half(key) == ""
    ensure_host_key(key, "box-demo", owner=None)
    assert (key.read_bytes(), public_half(key)) == before


@pytest.mark.parametrize("left", [(f"{NAME}.pub",), (f"{NAME}.new", f"{NAME}.new.pub"), (f"{NAME}.new",)])
def test_what_a_killed_run_left_is_replaced_by_a_whole_pair(tmp_path: Path, left: tuple[str, ...]) -> None:
    for name in left:
        (tmp_path / name).write_text("torn")
    ensure_host_key(tmp_path / NAME, "box", owner=None)
    assert names_in(tmp_path) == [NAME, f"{NAME}.pub"]
    derived = process.run(("ssh-keygen", "-y", "-f", str(tmp_path / NAME))).stdout
    assert derived.split()[:2] == public_half(tmp_path / NAME).split()


def test_the_fingerprint_is_that_of_ssh_keygen(key: Path) -> None:
    said = process.run(("ssh-keygen", "-l", "-f", str(key))).stdout.split()
    assert fingerprint(public_half(key)) == said[1]
    assert said[1].startswith("SHA256:")
    assert fingerprint("") == ""


def test_a_machine_without_ssh_keygen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="ssh-keygen is not installed"):
        ensure_host_key(tmp_path / NAME, "box", owner=None)


def test_a_key_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"ssh-keygen .* failed"):
        ensure_host_key(tmp_path / "no" / "folder" / NAME, "box", owner=None)
    assert keygen_argv(Path("/k"), "box")[:4] == ("ssh-keygen", "-q", "-t", "ed25519")


def test_who_may_log_in_comes_from_lines_files_and_accounts_each_once(tmp_path: Path) -> None:
    (tmp_path / "state/keys").mkdir(parents=True)
    (tmp_path / "state/keys/github-bob").write_text(f"{BOB}\n{ALICE}\n")
    (tmp_path / "team.pub").write_text(f"# the team\n\n  {ALICE}  \n")
    entries = (ALICE, "file:team.pub", f"file:{tmp_path}/team.pub", "github:bob")
    assert resolve_authorized_keys(tmp_path, entries) == (ALICE, BOB)
    assert resolve_authorized_keys(tmp_path, ()) == ()


def test_an_account_is_asked_again_when_that_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub's page is a fake."""
    page = {"text": f"{ALICE}\n"}
    monkeypatch.setattr(ssh_keys, "fetch_github_keys", lambda account: page["text"])
    kept = tmp_path / "state/keys/github-ada"
    kept.parent.mkdir(parents=True)
    assert resolve_authorized_keys(tmp_path, ("github:ada",)) == (ALICE,)
    page["text"] = f"{BOB}\n"
    assert resolve_authorized_keys(tmp_path, ("github:ada",)) == (ALICE,), "an `up` asks nobody"
    assert resolve_authorized_keys(tmp_path, ("github:ada",), fresh=True, keep=False) == (BOB,)
    assert resolve_authorized_keys(tmp_path, ("github:ada",)) == (ALICE,)
    assert resolve_authorized_keys(tmp_path, ("github:ada",), fresh=True) == (BOB,)
    assert resolve_authorized_keys(tmp_path, ("github:ada",)) == (BOB,)
    page["text"] = "<html>sorry</html>"
    with pytest.raises(ConfigError, match="github:ada"):
        resolve_authorized_keys(tmp_path, ("github:ada",), fresh=True)
    assert kept.read_text() == f"{BOB}\n", "nonsense takes nobody's place"
    forget_github_keys(tmp_path, "github:ada")
    assert not kept.exists()


def test_a_key_file_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "id.pub").write_text(BOB)
    assert resolve_authorized_keys(Path("/nowhere"), ("file:~/id.pub",)) == (BOB,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello\n", "an OpenSSH public key line"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaSECRET\n", "looks like a private key"),
        ("github:alice\n", "a public key line"),
    ],
)
def test_a_file_that_holds_no_public_keys(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError) as raised:
        resolve_authorized_keys(tmp_path, ("file:keys",))
    message = "\n".join(raised.value.lines())
    assert f"access.authorized_keys: {tmp_path}/keys" in message
    assert expected in message
    assert "SECRET" not in message


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"authorized_keys: cannot read .*/none\.pub") as raised:
        resolve_authorized_keys(tmp_path, ("file:none.pub",))
    assert raised.value.remedy


def test_the_password_is_kept_as_a_hash_that_verifies(tmp_path: Path) -> None:
    password = new_password()
    set_password(tmp_path, password, owner=(os.getuid(), os.getgid()))
    file = tmp_path / PASSWORD_FILE
    hashed = json.loads(file.read_text())["PasswordIdentityProvider"]["hashed_password"]
    kind, _, argon2 = hashed.partition(":")
    assert kind == "argon2"
    assert PasswordHasher().verify(argon2, password.reveal())
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(argon2, "another")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert password.reveal() not in file.read_text()


def test_passwords_differ_and_can_be_typed() -> None:
    made = {new_password().reveal() for _ in range(50)}
    assert len(made) == 50
    assert all(len(one) == 29 and set(one) <= set("abcdefghjkmnpqrstuvwxyz23456789-") for one in made)
    assert new_password().reveal() not in str(Secret(new_password().reveal()))


def a_certificate(folder: Path, days: int) -> tuple[str, str]:
    """A self-signed certificate's PEM, and its end as openssl tells it."""
    key, crt = str(folder / "key.pem"), str(folder / "crt.pem")
    request = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    made = process.run((*request, "-days", str(days), "-subj", "/CN=box", "-keyout", key, "-out", crt))
    assert made.ok, made.stderr
    said = process.run(("openssl", "x509", "-in", crt, "-noout", "-enddate", "-dateopt", "iso_8601"))
    return Path(crt).read_text(), said.stdout.strip().removeprefix("notAfter=").replace(" ", "T")


@pytest.mark.parametrize("days", [1, 365, 36500])  # 36500: past 2050, where the encoding is another one
def test_the_end_of_a_certificate(tmp_path: Path, days: int) -> None:
    pem, end = a_certificate(tmp_path, days)
    assert not_after(pem) == end
    assert not_after("some text before\n" + pem + pem) == end


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----"]
)
def test_no_certificate(text: str) -> None:
    with pytest.raises(ValueError, match="certificate"):
        not_after(text)


def test_which_certificate_the_edge_serves(tmp_path: Path) -> None:
    pem, end = a_certificate(tmp_path, 30)
    rig = a_rig("[tls]\nmode = 'files'\ncertificate = 'crt.pem'\nkey = 'key.pem'\n" + DEMO)
    assert observe_certificate(tmp_path, rig, a_host(rig)) == end
    lan, named = a_rig(DEMO), a_rig("[rig]\nhostname = 'rig.example.net'\n" + DEMO)
    assert observe_certificate(tmp_path, lan, a_host(lan)) == ""
    for authority, name in (("local", "box.local"), ("acme-v02", "rig.example.net")):
        folder = tmp_path / "secrets/edge/caddy/certificates" / authority / name
        folder.mkdir(parents=True)
        (folder / f"{name}.crt").write_text(pem)
    assert observe_certificate(tmp_path, lan, a_host(lan)) == end
    assert observe_certificate(tmp_path, named, a_host(named)) == end
    (folder / f"{name}.crt").write_text("torn")
    assert observe_certificate(tmp_path, named, a_host(named)) == ""
