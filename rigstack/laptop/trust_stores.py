"""The places on a machine that say which authorities it trusts: the system's store, and those of browsers (NSS)."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from rigstack import process
from rigstack.errors import HostError
from rigstack.laptop.home import read_bytes
from rigstack.value import Value

Argv = tuple[str, ...]

# Where distributions take local authorities from, and what makes them count: update-ca-certificates(8),
# update-ca-trust(8); on Arch trust(1) of p11-kit.
_SYSTEMS = (
    ("update-ca-certificates", "usr/local/share/ca-certificates", "crt", ("update-ca-certificates",)),
    ("update-ca-trust", "etc/pki/ca-trust/source/anchors", "pem", ("update-ca-trust",)),
    ("trust", "etc/ca-certificates/trust-source/anchors", "crt", ("trust", "extract-compat")),
)
# Chrome and Chromium on Linux; since version 134 in the second place where the first does not exist.
_CHROME = (".pki/nssdb", ".local/share/pki/nssdb")
_CHROMES = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "brave-browser", "microsoft-edge")
_FIREFOX = (
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
    "Library/Application Support/Firefox/Profiles",
)


class Store(Value):
    """One store. name: in words; place: its file or folder.

    add, remove: commands in their order; CERTIFICATE stands for the path of the certificate, DIGEST for its SHA-1.
    show: prints the PEM that is there under our name, or all there are; () when `place` itself is that file.
    missing: what is needed to change it and is not here (a program and its package), or "".
    """

    name: str
    place: str
    add: tuple[Argv, ...]
    remove: tuple[Argv, ...]
    show: Argv = ()
    missing: str = ""


KEYCHAIN = "keychain"  # what else is in it is not ours
CERTIFICATE, DIGEST = "CERTIFICATE", "DIGEST"
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)


def fingerprint_of(pem: str) -> str:
    """SHA-256 of the certificate as browsers show it: AA:BB:..."""
    import ssl

    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, 64, 2))


def _sha1(pem: str) -> str:
    """The name of a certificate in a keychain (security(1), delete-certificate -Z); nothing rests on its strength."""
    import ssl

    return hashlib.sha1(ssl.PEM_cert_to_DER_cert(pem), usedforsecurity=False).hexdigest().upper()


def observe_stores(name: str, home: Path, root: Path = Path("/")) -> tuple[Store, ...]:
    """The stores of this machine and of the person whose home it is. name: what ours is called in them."""
    stores = [*_system(name, root), *_keychain(root)]
    chromes = [home / folder for folder in _CHROME if (home / folder / "cert9.db").exists()]
    if not chromes and any(shutil.which(one) for one in _CHROMES):
        chromes = [home / _CHROME[0]]
    stores += [_nss("Chrome", place, name) for place in chromes]
    for folder in _FIREFOX:
        stores += [_nss("Firefox", place.parent, name) for place in sorted((home / folder).glob("*/cert9.db"))]
    return tuple(stores)


def _system(name: str, root: Path) -> list[Store]:
    root_here = os.geteuid() == 0
    sudo = () if root_here else ("sudo",)
    for program, folder, kind, update in _SYSTEMS:
        if shutil.which(program) and (root / folder).is_dir():
            place = str(root / folder / f"{name}.{kind}")
            return [
                Store(
                    name="system",
                    place=place,
                    add=((*sudo, "install", "-m", "0644", CERTIFICATE, place), (*sudo, *update)),
                    remove=((*sudo, "rm", "-f", place), (*sudo, *update)),
                    missing="" if root_here or shutil.which("sudo") else "root, or sudo",
                )
            ]
    return []


def _keychain(root: Path) -> list[Store]:
    """macOS: the login keychain of this person (security(1)); no root is needed."""
    if not shutil.which("security") or not (root / "System/Library/Keychains").is_dir():
        return []
    keychain = str(Path.home() / "Library/Keychains/login.keychain-db")
    return [
        Store(
            name=KEYCHAIN,
            place=keychain,
            add=(("security", "add-trusted-cert", "-r", "trustRoot", "-k", keychain, CERTIFICATE),),
            # By its digest: it has the name that the rig's authority gave itself. -t: and the trust in it.
            remove=(("security", "delete-certificate", "-Z", DIGEST, "-t", keychain),),
            show=("security", "find-certificate", "-a", "-p", keychain),
        )
    ]


def _nss(browser: str, folder: Path, name: str) -> Store:
    """certutil(1) of NSS; it is given where the browser does not run or runs, both are fine."""
    base = ("certutil", "-d", f"sql:{folder}")
    fresh: tuple[Argv, ...] = ()
    if not (folder / "cert9.db").exists():
        fresh = (("mkdir", "-p", "-m", "0700", str(folder)), (*base, "-N", "--empty-password"))
    return Store(
        name=browser,
        place=str(folder),
        add=(*fresh, (*base, "-A", "-t", "C,,", "-n", name, "-i", CERTIFICATE)),
        remove=((*base, "-D", "-n", name),),
        show=(*base, "-L", "-n", name, "-a"),
        missing="" if shutil.which("certutil") else "certutil (Debian: libnss3-tools, Fedora: nss-tools)",
    )


def held(store: Store, wanted: str) -> str:
    """The fingerprint of what the store has: `wanted` if that is in it, else the one under our name, else ""."""
    if not store.show:
        text = (read_bytes(Path(store.place)) or b"").decode(errors="replace")
    else:
        try:
            done = process.run(store.show, timeout=20)
        except FileNotFoundError:
            return ""
        text = done.stdout if done.ok else ""
    try:
        found = [fingerprint_of(one) for one in PEM.findall(text.replace("\r", ""))]
    except ValueError:
        return ""
    if wanted in found:
        return wanted
    return found[0] if found and store.name != KEYCHAIN else ""


def change(store: Store, commands: tuple[Argv, ...], pem: str) -> None:
    """Runs the store's commands. Raises HostError with the words of the one that failed."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder) / "root.crt"
        certificate.write_text(pem, encoding="ascii")
        words = {CERTIFICATE: str(certificate), DIGEST: _sha1(pem)}
        for command in commands:
            argv = tuple(words.get(word, word) for word in command)
            done = process.run(argv, timeout=120)
            if not done.ok:
                raise HostError(
                    f"{process.quote(argv)} failed", details=done.tail(3), remedy="run it by hand, or --export the file"
                )
