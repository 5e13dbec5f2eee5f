"""What holds across the folders under images/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

IMAGES = Path(__file__).resolve().parents[2] / "images"
DOCKERFILES = sorted(IMAGES.glob("*/Dockerfile"))


def name(path: Path) -> str:
    return path.parent.name


def test_the_journal_of_logins_is_one_script() -> None:
    assert (IMAGES / "gateway/record").read_text() == (IMAGES / "base/lib/record").read_text()


def test_both_sshds_speak_the_same_algorithms() -> None:
    wanted = re.compile(
        r"^(?:KexAlgorithms|MACs|Ciphers|HostKeyAlgorithms|CASignatureAlgorithms|RequiredRSASize) .*$", re.M
    )
    gateway = wanted.findall((IMAGES / "gateway/sshd_config").read_text())
    workspace = wanted.findall((IMAGES / "base/lib/sshd_config").read_text())
    assert len(gateway) == 6
    assert gateway == workspace


def test_curve25519_is_the_last_key_exchange() -> None:
    """PyCharm's client has nothing newer (sshj #1017)."""
    text = (IMAGES / "gateway/sshd_config").read_text()
    assert re.search(r"^KexAlgorithms .*,curve25519-sha256,curve25519-sha256@libssh.org$", text, re.M)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=name)
def test_no_frontend_is_pulled(dockerfile: Path) -> None:
    assert not re.search(r"^#\s*syntax\s*=", dockerfile.read_text(), re.M | re.I)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=name)
def test_what_must_leave_no_trace_is_never_an_argument(dockerfile: Path) -> None:
    arguments = set(re.findall(r"^ARG (\w+)", dockerfile.read_text(), re.M))
    assert arguments <= {
        "DEBIAN",
        "BASE",
        "CADDY",
        "CADDY_IMAGE",
        "DNS_MODULE",
        "CUDA",
        "WANTED_PYTHON",
        "UV_INDEX",
        "PROJECT",
        "STEPS",
    } | {
        "UID",
        "GID",
        "UV_VERSION",
    }


@pytest.mark.parametrize("dockerfile", [d for d in DOCKERFILES if name(d) != "base"], ids=name)
def test_the_last_user_is_not_root(dockerfile: Path) -> None:
    users = re.findall(r"^USER (\w+)", dockerfile.read_text(), re.M)
    assert users and users[-1] != "root"


def test_scripts_can_be_run() -> None:
    scripts = [path for path in IMAGES.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!")]
    assert scripts
    assert [path for path in scripts if not path.stat().st_mode & 0o100] == []


def test_jupyter_is_locked_by_hash() -> None:
    lock = (IMAGES / "base/jupyter.txt").read_text()
    pins = re.findall(r"^(\S+)==", lock, re.M)
    assert {"jupyterlab", "jupyter-server", "jupyter-collaboration", "jupyter-server-nbmodel"} <= set(pins)
    assert len(re.findall(r"^\S+==[^\n]*\\\n    --hash=", lock, re.M)) == len(pins)
