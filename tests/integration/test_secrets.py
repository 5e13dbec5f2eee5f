"""Where secrets must not be: looked for in every place that somebody else could read, after and during a bring-up."""

from __future__ import annotations

import gzip
import json
import os
import secrets
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from rigstack.host.facts import SYSTEM_BUNDLE
from tests.conftest import MakeRig
from tests.fake_dyndns2 import fake_dyndns2
from tests.fake_index import MODULE, PACKAGE, FakeIndex, fake_index
from tests.live_rig import LiveRig, docker


class ProcessList:
    """Reads every command line of the machine again and again for the length of a block; `seen` are all of them."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(0.01):
            for process in Path("/proc").iterdir():
                if process.name.isdigit():
                    try:
                        self.seen.add((process / "cmdline").read_bytes())
                    except OSError:
                        continue

    def __enter__(self) -> ProcessList:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class SecretRig:
    """A rig that was given every kind of secret, and all that was printed while it was brought up twice."""

    def __init__(self, rig: LiveRig, index: FakeIndex, ddns_password: str, ca_mark: str) -> None:
        self.rig = rig
        self.index = index
        self.printed: list[str] = []
        self.processes = ProcessList()
        self.secrets = {"index password": index.password, "ddns password": ddns_password, "CA bundle": ca_mark}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = self.rig.run(*words)
        self.printed += [done.stdout, done.stderr]
        return done

    def found_in(self, text: str | bytes) -> list[str]:
        """Which secrets are in there, by name."""
        raw = text.encode() if isinstance(text, str) else text
        return [name for name, secret in self.secrets.items() if secret.encode() in raw]


@pytest.fixture(scope="module")
def kept(make_rig: MakeRig) -> Iterator[SecretRig]:
    here = docker("network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Gateway}}")
    ddns_password = f"ddns-{secrets.token_hex(12)}"
    with (
        fake_index("ada", f"index-{secrets.token_hex(12)}") as index,
        fake_dyndns2("ada", ddns_password) as dyndns2,
    ):
        rig = make_rig()
        given = SecretRig(rig, index, ddns_password, f"ca-{secrets.token_hex(12)}")
        folder = rig.path / "secrets"
        folder.mkdir(mode=0o700)
        put(folder / "ddns-password", ddns_password + "\n")
        put(folder / "pip-index", index.url(here) + "\n")
        put(folder / "ca.pem", f"# {given.secrets['CA bundle']}\n" + Path(SYSTEM_BUNDLE).read_text())
        rig.set("ca_bundle", '"secrets/ca.pem"')
        rig.append(
            '[ddns]\nprovider = "dyndns2"\nhostname = "rig.example.net"\nusername = "ada"\ntls = false\n'
            f'server = "{here}:{dyndns2.port}"\ncheckip = "{here}:{dyndns2.port}"\n'
        )
        # What every image needs comes from where this machine has it; the fake has one package.
        first = given.run("up")
        assert first.returncode == 0, first.stderr
        assert dyndns2.updates
        given.secrets["notebook password"] = first.stderr.partition("shown once): ")[2].split()[0]

        rig.set("pip_index_file", '"secrets/pip-index"')
        (rig.code() / "requirements.txt").write_text(f"{PACKAGE}=={index.version}\n")
        with given.processes:
            second = given.run("up")
        assert second.returncode == 0, second.stderr
        given.secrets |= made_by_the_rig(rig)
        yield given


def made_by_the_rig(rig: LiveRig) -> dict[str, str]:
    """What nobody gave it: the hash, private keys (a line from their middle) and what signs cookies, by file."""
    config = json.loads((rig.path / "secrets/notebook/jupyter_server_config.json").read_text())
    made = {"notebook hash": config["PasswordIdentityProvider"]["hashed_password"]}
    keys = [*(rig.path / "secrets").rglob("*.key"), *(rig.path / "state/keys").glob("*/ssh_host_*_key")]
    assert len(keys) >= 5, keys  # the authority's two, two hosts', and a certificate's for each name of the machine
    made |= {str(key.relative_to(rig.path)): key.read_text().splitlines()[2] for key in keys}
    cookies = rig.path / "homes/demo/.local/share/rigstack/jupyter/cookie-secret"
    assert stat.S_IMODE(cookies.stat().st_mode) == 0o600
    return {**made, "cookie secret": cookies.read_text().strip()}


def put(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def test_the_package_came_from_the_index_with_the_password(kept: SecretRig) -> None:
    assert f"/simple/{PACKAGE}/" in kept.index.served
    kept.rig.pin_host_keys()
    assert kept.rig.ssh("demo", f"python -c 'import {MODULE} as m; print(m.ORIGIN)'").stdout == "the fake index\n"


def test_not_on_any_command_line(kept: SecretRig) -> None:
    seen = kept.processes.seen
    assert any(b"buildx" in line for line in seen), "the build itself was not seen: nothing was tried"
    assert [line for line in seen if kept.found_in(line)] == []


def test_not_in_what_the_engine_tells_of_containers_and_images(kept: SecretRig) -> None:
    containers = kept.rig.containers().values()
    images = {docker("inspect", "--format={{.Image}}", one) for one in containers}
    assert len(images) == 4
    assert kept.found_in(docker("inspect", *containers)) == []
    for image in images:
        assert kept.found_in(docker("image", "inspect", image)) == []
        assert kept.found_in(docker("history", "--no-trunc", "--format=json", image)) == []


def test_not_in_any_layer_of_the_image(kept: SecretRig) -> None:
    image = docker("inspect", "--format={{.Config.Image}}", kept.rig.containers()["demo-workspace"])
    process = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    assert process.stdout is not None
    read = 0
    with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
        for member in archive:
            held = archive.extractfile(member)
            if held is None:
                continue
            found, size = search(held, [*kept.secrets.values(), MODULE])
            assert found <= {MODULE}, f"{member.name} of {image}"
            read += size if MODULE in found else 0
    assert process.wait() == 0
    assert read > 10_000, "the layer with the package was not seen: nothing was tried"


def search(held: IO[bytes], texts: list[str]) -> tuple[set[str], int]:
    """Which texts are in a (perhaps compressed) stream, and how long it is."""
    found: set[str] = set()
    before, size = held.read(2), 0
    stream: IO[bytes] = gzip.GzipFile(fileobj=_Rest(before, held)) if before == b"\x1f\x8b" else held  # type: ignore
    tail = before
    while piece := stream.read(1 << 20):
        size += len(piece)
        piece = tail + piece
        found |= {text for text in texts if text.encode() in piece}
        tail = piece[-200:]
    return found, size


class _Rest:
    """A stream with the bytes put back that were read from it to know its kind."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self.first, self.rest = first, rest

    def read(self, count: int = -1) -> bytes:
        first, self.first = self.first, b""
        return first + self.rest.read(max(count - len(first), 0) if count >= 0 else -1)


def test_not_in_what_containers_print(kept: SecretRig) -> None:
    for service, container in kept.rig.containers().items():
        done = subprocess.run(["docker", "logs", container], capture_output=True, check=True)
        assert kept.found_in(done.stdout + done.stderr) == [], service


def test_not_in_state(kept: SecretRig) -> None:
    files = [file for file in (kept.rig.path / "state").rglob("*") if file.is_file()]
    assert len(files) > 10
    found = {str(file.relative_to(kept.rig.path)): kept.found_in(file.read_bytes()) for file in files}
    # A host key is in its own file, and nothing else is anywhere.
    assert {file: names for file, names in found.items() if names not in ([], [file])} == {}
    assert kept.found_in(kept.rig.toml) == []


def test_not_in_what_rigstack_prints(kept: SecretRig) -> None:
    (kept.rig.code() / "requirements.txt").write_text(f"{PACKAGE}=={kept.index.version}\nno-such-package-of-rigstack\n")
    try:
        planned = kept.run("up", "--dry-run")
        assert "build" in planned.stdout
        failed = kept.run("up")
        assert failed.returncode == 7, failed.stderr
    finally:
        (kept.rig.code() / "requirements.txt").write_text(f"{PACKAGE}=={kept.index.version}\n")
    for words in (("up",), ("status",), ("status", "--json"), ("up", "--dry-run", "--json"), ("logs",)):
        kept.run(*words)
    kept.run("compose", "--", "config")
    everything = "".join(kept.printed)
    assert set(kept.found_in(everything)) == {"notebook password"}
    assert everything.count(kept.secrets["notebook password"]) == 1, "it is shown once"
    for log in (kept.rig.path / "state" / "logs").iterdir():
        assert kept.found_in(log.read_bytes()) == [], log


def test_files_of_secrets_are_for_their_owner_alone(kept: SecretRig) -> None:
    wrong = {}
    for parent, _, files in os.walk(kept.rig.path / "secrets"):
        for path, wanted in [(Path(parent), 0o700), *((Path(parent) / file, 0o600) for file in files)]:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode != wanted:
                wrong[str(path)] = oct(mode)
    assert wrong == {}
    keys = list((kept.rig.path / "state" / "keys").rglob("ssh_host_*_key"))
    assert len(keys) == 2
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
