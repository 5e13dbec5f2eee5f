"""Files of the rig directory: written whole or not at all, and every failure is a message."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest
from builders import DEMO, a_host, a_rig

from rigstack import process
from rigstack.errors import HostError
from rigstack.host import files
from rigstack.host.files import ensure_folder, observe_files, read_text, write_file
from rigstack.plan.desired import PASSWORD_FILE, Desired, desire
from rigstack.plan.reconcile import reconcile
from rigstack.plan.steps import WriteFile


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
@pytest.mark.parametrize("mask", [0o022, 0o077, 0])
def test_the_mode_is_exact_whatever_the_umask(tmp_path: Path, mode: int, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_file(tmp_path / "deep" / "file", "text\n", mode=mode, owner=None)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "deep" / "file") == mode
    assert (tmp_path / "deep" / "file").read_text() == "text\n"
    assert [one.name for one in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_secret_is_never_readable_by_others_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = os.fdopen

    def watching_fdopen(handle: int, *rest: object, **named: object) -> object:
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return real(handle, *rest, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(files.os, "fdopen", watching_fdopen)
    write_file(tmp_path / "secret", "x", mode=0o600, owner=None)
    assert seen == [0o600]


def test_a_file_is_replaced_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, "old", mode=0o644, owner=None)
    with path.open() as reader:
        write_file(path, "new", mode=0o644, owner=None)
        assert reader.read() == "old"
    assert path.read_text() == "new"


class FullDisk:
    """A fake of a file on a full disk."""

    def __init__(self) -> None:
        self.written = False

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, _: str) -> None:
        self.written = True
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_file(path, "old", mode=0o644, owner=None)
    fake = FullDisk()

    def full_fdopen(handle: int, *_: object, **__: object) -> FullDisk:
        os.close(handle)
        return fake

    monkeypatch.setattr(files.os, "fdopen", full_fdopen)
    with pytest.raises(HostError, match=r"cannot write .*/file: No space left on device") as raised:
        write_file(path, "new", mode=0o644, owner=None)
    assert fake.written
    assert raised.value.remedy == "free some room on that disk"
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_file_where_a_folder_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(HostError, match="cannot write"):
        write_file(tmp_path / "state" / "x", "", mode=0o644, owner=None)
    with pytest.raises(HostError, match="cannot make the folder"):
        ensure_folder(tmp_path / "state" / "keys", mode=0o700, owner=None)


def test_a_folder_keeps_the_mode_that_somebody_gave_it(tmp_path: Path) -> None:
    ensure_folder(tmp_path / "a" / "b", mode=0o700, owner=None)
    assert mode_of(tmp_path / "a" / "b") == 0o700
    (tmp_path / "a" / "b").chmod(0o750)
    ensure_folder(tmp_path / "a" / "b", mode=0o700, owner=None)
    assert mode_of(tmp_path / "a" / "b") == 0o750


def a_rig_directory(root: Path) -> Desired:
    """Everything that `up` writes to disk, written."""
    rig = a_rig(DEMO, directory=str(root))
    desired = desire(rig, a_host(rig))
    for folder in desired.folders:
        ensure_folder(root / folder.path, mode=folder.mode, owner=None)
    for file in (*desired.files, *desired.edge_files):
        write_file(root / file.path, file.text, mode=file.mode, owner=None)
    for key in desired.keys:
        (root / key.path).write_text("")
        (root / f"{key.path}.pub").write_text("")
    (root / PASSWORD_FILE).write_text("")
    return desired


def test_what_was_written_is_what_is_observed(tmp_path: Path) -> None:
    desired = a_rig_directory(tmp_path)
    observed = observe_files(tmp_path, desired)
    assert observed.files == {file.path: file.text for file in (*desired.files, *desired.edge_files)}
    assert observed.folders == {folder.path: (tmp_path / folder.path).stat().st_ino for folder in desired.folders}
    assert observed.keys == {key.path for key in desired.keys}
    assert observed.password
    assert observed.stale == ()


def test_what_differs_is_observed(tmp_path: Path) -> None:
    desired = a_rig_directory(tmp_path)
    (tmp_path / "state/edge/current/projects/old.caddy").write_text("")
    (tmp_path / "state/keys/demo/ssh_host_ed25519_key.pub").unlink()
    (tmp_path / PASSWORD_FILE).unlink()
    (tmp_path / "homes/demo").rmdir()
    (tmp_path / "state/compose.env").unlink()
    observed = observe_files(tmp_path, desired)
    assert observed.stale == ("state/edge/current/projects/old.caddy",)
    assert observed.keys == {"state/keys/gateway/ssh_host_ed25519_key"}
    assert not observed.password
    assert "homes/demo" not in observed.folders
    assert observed.files["state/compose.env"] is None


def test_a_generated_file_of_garbage_is_written_anew(tmp_path: Path) -> None:
    desired = a_rig_directory(tmp_path)
    (tmp_path / "state/compose.env").write_bytes(b"\xff\xfe\x00")
    steps = reconcile(desired, observe_files(tmp_path, desired)).steps
    assert [step.file.path for step in steps if isinstance(step, WriteFile)] == ["state/compose.env"]


def test_no_file_is_no_text(tmp_path: Path) -> None:
    assert read_text(tmp_path / "none") is None
    (tmp_path / "file").write_text("x")
    assert read_text(tmp_path / "file" / "below") is None
    with pytest.raises(HostError, match="cannot read"):
        read_text(tmp_path)


def test_another_user_s_rig_is_said_not_a_traceback(tmp_path: Path) -> None:
    a_rig_directory(tmp_path)
    (tmp_path / "secrets").chmod(0)
    code = (
        "import os, sys\nfrom pathlib import Path\nsys.path.insert(0, sys.argv[2])\n"
        "from builders import DEMO, a_host, a_rig\nfrom rigstack.plan.desired import desire\n"
        "from rigstack.host.files import observe_files\nfrom rigstack.errors import HostError\n"
        "rig = a_rig(DEMO, directory=sys.argv[1])\nwanted = desire(rig, a_host(rig))\n"
        "os.chdir(sys.argv[1])\nos.geteuid() or os.setuid(65534)\n"
        "try: observe_files(Path('.'), wanted)\nexcept HostError as error: print('\\n'.join(error.lines()))\n"
    )
    done = process.run((sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent.parent)))
    (tmp_path / "secrets").chmod(0o700)
    assert "error: cannot read" in done.stdout, done.stderr
    assert "or with sudo" in done.stdout
