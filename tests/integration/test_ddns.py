"""The ddns container tells a (fake) dyndns2 server the rig's address, and stops asking when it is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import MakeRig
from tests.fake_dyndns2 import ADDRESS, FakeDyndns2, fake_dyndns2
from tests.live_rig import LiveRig, docker, wait_for

NAME = "rig.example.net"
PASSWORD = 'p"w$HOME \\ #1'  # everything that inadyn's parser could take for its own


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeDyndns2]:
    with fake_dyndns2("ada", PASSWORD) as server:
        yield server
    assert server.updates, "the fake was never used"
    assert server.looks, "nobody asked the fake for an address"


@pytest.fixture(scope="module")
def ddns_rig(make_rig: MakeRig, fake: FakeDyndns2) -> LiveRig:
    rig = make_rig(projects=())
    here = docker("network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Gateway}}")
    rig.append(
        f'[ddns]\nprovider = "dyndns2"\nhostname = "{NAME}"\nusername = "ada"\n'
        f'server = "{here}:{fake.port}"\ncheckip = "{here}:{fake.port}"\ntls = false\ninterval = 10\n'
    )
    set_password(rig, PASSWORD)
    rig.up()
    return rig


def set_password(rig: LiveRig, password: str) -> None:
    file = rig.path / "secrets" / "ddns-password"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(password + "\n")
    file.chmod(0o600)


def restarts(rig: LiveRig) -> int:
    return int(docker("inspect", "--format={{.RestartCount}}", rig.containers()["ddns"]))


def look_again(rig: LiveRig, fake: FakeDyndns2) -> None:
    """The sidecar's loop goes round once more, as it does after its interval."""
    looks = fake.looks
    rig.run("ddns")
    assert fake.looks > looks


def logs(rig: LiveRig) -> str:
    return rig.run("logs", "ddns").stdout


def test_the_update_arrives_and_is_sent_once(ddns_rig: LiveRig, fake: FakeDyndns2) -> None:
    assert fake.updates == [{"hostname": NAME, "myip": ADDRESS}]
    assert fake.refused == []
    status = ddns_rig.status()
    assert status["rig"]["state"] == "running"
    assert {key: status["ddns"][key] for key in ("state", "hostname", "address", "public_address")} == {
        "state": "healthy",
        "hostname": NAME,
        "address": ADDRESS,
        "public_address": ADDRESS,
    }
    look_again(ddns_rig, fake)
    assert len(fake.updates) == 1, "an address that did not change was sent again"


def test_a_restart_does_not_send_the_same_address_again(ddns_rig: LiveRig, fake: FakeDyndns2) -> None:
    looks = fake.looks
    assert ddns_rig.run("compose", "--", "restart", "ddns").returncode == 0
    wait_for("it looks at the address again", lambda: fake.looks > looks, timeout=45)
    wait_for("it is healthy", lambda: ddns_rig.status()["ddns"]["state"] == "healthy")
    assert len(fake.updates) == 1


@pytest.mark.parametrize("http_status", [401, 200])
def test_a_refused_password_is_not_tried_again(ddns_rig: LiveRig, fake: FakeDyndns2, http_status: int) -> None:
    fake.refusal_status = http_status
    fake.refused.clear()
    set_password(ddns_rig, f"not the password {http_status}")
    # As a provider sees it at the first contact: nothing was told yet.
    assert ddns_rig.run("down").returncode == 0
    for cached in (ddns_rig.path / "state" / "ddns-cache").iterdir():
        cached.unlink()
    failed = ddns_rig.run("up")
    assert fake.refused == [{"hostname": NAME, "myip": ADDRESS}]
    assert failed.returncode == 5, failed.stderr
    assert 'ddns: dyndns2 refused (it said "badauth"); nothing more is sent' in failed.stderr
    assert "mend [ddns] in rig.toml or the password file" in failed.stderr
    assert ddns_rig.status()["edge"]["state"] == "healthy"
    assert ddns_rig.run("up").stderr.count("refused") == 1, "it says so again, and asks nobody"
    assert ddns_rig.status()["ddns"]["state"] in ("starting", "unhealthy")
    assert ddns_rig.status()["ddns"]["address"] == ""

    look_again(ddns_rig, fake)
    assert len(fake.refused) == 1
    assert restarts(ddns_rig) == 0
    assert logs(ddns_rig).count("refused the name or the password") == 1


def test_a_mended_password_is_taken_at_once(ddns_rig: LiveRig, fake: FakeDyndns2) -> None:
    before, updates = ddns_rig.containers(), len(fake.updates)
    set_password(ddns_rig, PASSWORD)
    ddns_rig.up()
    assert len(fake.updates) == updates + 1
    assert ddns_rig.containers() == before
    assert ddns_rig.status()["ddns"]["state"] == "healthy"


def test_the_password_shows_nowhere(ddns_rig: LiveRig) -> None:
    assert PASSWORD not in docker("inspect", ddns_rig.containers()["ddns"])
    assert PASSWORD not in logs(ddns_rig)
    assert PASSWORD not in (ddns_rig.path / "state" / "ddns" / "inadyn.conf").read_text()
    file = ddns_rig.path / "secrets" / "ddns" / "ddns.conf"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
