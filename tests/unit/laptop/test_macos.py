"""What rigstack would run on macOS, from its manuals: no test runs there, so commands are held to the letter."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from test_rigs import a_connection

from rigstack import process
from rigstack.cli.open import opener_argv
from rigstack.errors import HostError
from rigstack.laptop import mount
from rigstack.laptop.home import CONTROL_HASH, LONGEST_CONTROL_PATH, LaptopHome
from rigstack.laptop.rigs import ensure_connected, find_project
from rigstack.laptop.sync import Sync, check
from rigstack.laptop.trust_stores import change, fingerprint_of, held, observe_stores

HOME = LaptopHome(path=Path("/Users/me"), ssh_path=Path("/Users/me"))
MOUNTED = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
box-demo.direct:/code/demo on /Users/me/rigs/box demo (macfuse, nodev, nosuid, synchronous, mounted by me)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
"""


@pytest.fixture(autouse=True)
def macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")


def answers(monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], stdout: str) -> None:
    """Programs of macOS, which is not here; it fails when something else is run."""

    def run(given: tuple[str, ...], **_: object) -> process.Completed:
        assert given == argv
        return process.Completed(argv=given, status=0, stdout=stdout, stderr="")

    monkeypatch.setattr(process, "run", run)


def test_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_connected(LaptopHome(path=tmp_path, ssh_path=tmp_path), a_connection())
    target = find_project(LaptopHome(path=tmp_path, ssh_path=tmp_path), "demo")
    argv = mount.sshfs_argv(HOME, target, "/code/demo", Path("/Users/me/x"))
    assert {"defer_permissions", "cache=yes", "cache_timeout=5"} <= set(argv[2].split(","))
    assert "max_conns" not in argv[2] and "dir_cache" not in argv[2]
    assert mount.unmount_argv(Path("/x"), force=False) == ("diskutil", "unmount", "/x")
    assert mount.unmount_argv(Path("/x"), force=True) == ("diskutil", "unmount", "force", "/x")
    assert "macFUSE" in mount.advice()
    answers(monkeypatch, ("mount",), MOUNTED)
    (one,) = mount.list_mounts()
    assert (one.source, one.folder) == ("box-demo.direct:/code/demo", "/Users/me/rigs/box demo")


def test_a_mount_point_is_named_as_the_system_does(tmp_path: Path) -> None:
    """/tmp is a link to /private/tmp, and the list of mounts has the latter."""
    (tmp_path / "private").mkdir()
    (tmp_path / "tmp").symlink_to("private")
    assert mount.place_of(tmp_path / "tmp/point") == (tmp_path / "private/point").resolve()


@pytest.mark.parametrize("said", ["openrsync: protocol version 29\n", "rsync  version 2.6.9  protocol version 29\n"])
def test_its_own_rsync_will_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    home = LaptopHome(path=tmp_path, ssh_path=tmp_path)
    ensure_connected(home, a_connection())
    job = Sync(target=find_project(home, "demo"), folder=tmp_path)
    answers(monkeypatch, ("rsync", "--version"), said)
    with pytest.raises(HostError, match="macOS") as caught:
        check(job)
    assert caught.value.remedy == "brew install rsync"
    answers(monkeypatch, ("rsync", "--version"), "rsync  version 3.4.1  protocol version 32\n")
    check(job)


# security(1) as far as rigstack uses it, on a keychain that is a file of certificates; what it deletes has that SHA-1.
FAKE_SECURITY = """\
#!/bin/bash
case "$1 $2" in
    "find-certificate -a") cat "$4" ;;
    "add-trusted-cert -r") cat "$6" >> "$5" ;;
    "delete-certificate -Z")
        [ "$4" = -t ] && csplit -sz -f "$5." "$5" '/BEGIN/' '{*}' && : > "$5"
        for one in "$5".??; do
            [[ $(openssl x509 -noout -fingerprint -sha1 -in "$one" | tr -d :) = *"=$3" ]] || cat "$one" >> "$5"
            rm "$one"
        done ;;
    *) exit 9 ;;
esac
"""


def test_a_keychain_gets_the_rig_s_authority_and_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "security").write_text(FAKE_SECURITY)
    (tmp_path / "security").chmod(0o755)
    (tmp_path / "System/Library/Keychains").mkdir(parents=True)
    (tmp_path / "Library/Keychains").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    made = []
    for name in ("other", "rig"):
        words = f"req -x509 -newkey ed25519 -nodes -keyout /dev/null -subj /CN={name} -out {tmp_path}/{name}"
        done = process.run(("openssl", *words.split()))
        assert done.ok, done.stderr
        made.append((tmp_path / name).read_text())
    other, ours = made
    keychain = tmp_path / "Library/Keychains/login.keychain-db"
    keychain.write_text(other)
    store = next(one for one in observe_stores("rigstack-box", tmp_path, tmp_path) if one.name == "keychain")
    digest = fingerprint_of(ours)
    assert held(store, digest) == "", "another authority is taken for the rig's"
    change(store, store.add, ours)
    assert held(store, digest) == digest
    change(store, store.remove, ours)
    assert keychain.read_text() == other


def test_the_browser() -> None:
    assert opener_argv() == ("open",)


def test_shared_connections_fit_into_its_shorter_socket_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    path = HOME.places("box").control_path
    assert path == "~/.ssh/rigstack/%C"
    assert len(path.replace("~", "/Users/me").replace("%C", "s" + "0" * 40)) <= LONGEST_CONTROL_PATH == 104 - 1 - 17
    assert CONTROL_HASH == 41
