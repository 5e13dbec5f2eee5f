"""`rigstack key`: who may log in, changed on the host and in force at the next login, with nothing restarted."""

from __future__ import annotations

from pathlib import Path

import click

from rigstack.cli import console
from rigstack.cli.rig import rig_of
from rigstack.config.edit import with_key, without_key
from rigstack.config.load import load_rig, parse_rig
from rigstack.config.model import Rig
from rigstack.config.rigdir import RigDir
from rigstack.config.schema import key_source, shown
from rigstack.errors import ConfigError, ConsentError
from rigstack.host.files import read_text, write_file
from rigstack.host.lock import rig_lock
from rigstack.host.ssh_keys import forget_github_keys, resolve_authorized_keys
from rigstack.plan.fingerprint import NOT_WHOLE, fingerprint
from rigstack.render.authorized_keys import render_gateway_keys, render_workspace_keys


@click.group()
def key() -> None:
    """Say who may log in over SSH: add, list, refresh or remove public keys; in force at once, nothing is restarted."""


@key.command("add")
@click.argument("words", nargs=-1, required=True, metavar="KEY")
@click.option("-n", "--dry-run", is_flag=True, help="Check the key, say what it is, and change nothing.")
@click.pass_context
def add(context: click.Context, words: tuple[str, ...], dry_run: bool) -> None:
    """Let KEY log in: a public key line, a .pub file, or github:NAME. `rigstack connect` prints the line."""
    place, _ = rig_of(context)
    entry = _entry(" ".join(words).strip())
    if dry_run:
        known = with_key(_source(place), entry) == _source(place)
        console.result(f"{'may log in already' if known else 'would let in'}: {_shown(entry)}")
        return
    with rig_lock(place.path, "key add", on_wait=console.note):
        keys = resolve_authorized_keys(place.path, (entry,), fresh=True)
        source = _source(place)
        changed = with_key(source, entry)
        if changed != source:
            _write(place, changed)
        _apply(place)
    console.result(f"{'may log in now' if changed != source else 'may log in already'}: {_shown(entry)}")
    for one in keys if keys != (entry,) else ():
        console.result(f"  {_shown(one)}")


@key.command("refresh")
@click.option("-n", "--dry-run", is_flag=True, help="Say who would come and go, and change nothing.")
@click.option("--disconnect", is_flag=True, help="End the open connections of the keys that went.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the keys that came and went.")
@click.pass_context
def refresh(context: click.Context, dry_run: bool, disconnect: bool, as_json: bool) -> None:
    """Ask GitHub again for the keys of each github:NAME, and read each file:PATH again."""
    place, rig = rig_of(context)
    with rig_lock(place.path, "key refresh", on_wait=console.note):
        before = tuple((read_text(place.state / "ssh/workspace/authorized_keys") or "").splitlines())
        after = resolve_authorized_keys(place.path, rig.access.authorized_keys, fresh=True, keep=not dry_run)
        if before and not after:
            raise ConsentError("nobody could log in over SSH any more", remedy="add a key first: rigstack key add KEY")
        came, went = ([one for one in these if one not in those] for these, those in ((after, before), (before, after)))
        if not dry_run:
            _apply(place)
    if as_json:
        console.result_json({"came": came, "went": went, "done": not dry_run})
    else:
        for one in came:
            console.result(f"{'would let in' if dry_run else 'may log in now'}: {_shown(one)}")
        for one in went:
            console.result(f"{'would go' if dry_run else 'may not log in any more'}: {_shown(one)}")
        if not came and not went:
            console.result("the same keys as before")
    if disconnect and went and not dry_run:
        _disconnect(place, tuple(went))


@key.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the entries and the keys they come to.")
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """Show who may log in: each entry of [access] authorized_keys and the keys it comes to."""
    place, rig = rig_of(context)
    found = {entry: resolve_authorized_keys(place.path, (entry,)) for entry in rig.access.authorized_keys}
    if as_json:
        entries = [
            {"entry": entry, "keys": [{"key": one, "fingerprint": fingerprint(one)} for one in keys]}
            for entry, keys in found.items()
        ]
        console.result_json({"keys": entries})
        return
    rows = [
        [fingerprint(one), " ".join(one.split()[2:]), "" if one == entry else entry]
        for entry, keys in found.items()
        for one in keys
    ]
    console.result(console.table(["FINGERPRINT", "COMMENT", "FROM"], rows) if rows else "nobody may log in")


@key.command("remove")
@click.argument("words", nargs=-1, required=True, metavar="KEY")
@click.option("-y", "--yes", is_flag=True, help="Also when it is the last one: then nobody can log in over SSH.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be removed, and change nothing.")
@click.option("--disconnect", is_flag=True, help="End its open connections too; those of other keys stay.")
@click.pass_context
def remove(context: click.Context, words: tuple[str, ...], yes: bool, dry_run: bool, disconnect: bool) -> None:
    """Let KEY log in no more: its fingerprint, its comment, its line, or the entry as `rigstack key list` shows it.

    Without --disconnect its open connections stay until they end. What it left running in a workspace goes on.
    """
    place, rig = rig_of(context)
    entry = _find(rig, " ".join(words).strip())
    if len(rig.access.authorized_keys) == 1 and not yes:
        raise ConsentError(
            "that is the last key: nobody could log in over SSH any more",
            remedy="add another one first, or say --yes",
        )
    if dry_run:
        console.result(f"would remove {_shown(entry)}")
        return
    removed = resolve_authorized_keys(place.path, (entry,)) if disconnect else ()
    with rig_lock(place.path, "key remove", on_wait=console.note):
        _write(place, without_key(_source(place), entry))
        forget_github_keys(place.path, entry)
        _apply(place)
    console.result(f"may not log in any more: {_shown(entry)}")
    if disconnect:
        _disconnect(place, removed)


def _disconnect(place: RigDir, removed: tuple[str, ...]) -> None:
    """Ends what is open with the removed keys, except those that another entry still lets in."""
    from rigstack.engine.observe import observe_containers
    from rigstack.engine.sessions import end_sessions
    from rigstack.host.access import observe_access

    rig = load_rig(place.path)
    keys = frozenset(map(fingerprint, removed))
    keys -= frozenset(map(fingerprint, resolve_authorized_keys(place.path, rig.access.authorized_keys)))
    logins, _ = observe_access(place.path, rig)
    ended = unknown = 0
    there = observe_containers(rig.name, rig.dir).values()
    # The gateway first: through it nothing new can come while the workspaces are looked at.
    for one in sorted(there, key=lambda one: one.role):
        if one.role in ("gateway", "workspace") and one.state == "running":
            here = [login for login in logins if (login.where, login.project) == (one.role, one.project)]
            closed, strange = end_sessions(one, here, keys)
            ended, unknown = ended + closed, unknown + strange
    console.result(f"ended {ended} open connections")
    if unknown:
        console.note(
            f"{unknown} connections stay open whose key is not known: they are just logging in, or older than the"
            " journal; `rigstack compose -- restart gateway` ends all"
        )


def _source(place: RigDir) -> str:
    return place.toml.read_text(encoding="utf-8")


def _entry(text: str) -> str:
    path = Path(text).expanduser()
    if not text.startswith(("github:", "file:")) and " " not in text and path.is_file():
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    try:
        entry: str = key_source(text)
    except ValueError as wrong:
        raise ConfigError(f"{shown(text)} is not right; expected {wrong}") from None
    if _fingerprint(entry) == NOT_WHOLE:
        raise ConfigError("that public key is not whole", remedy="paste the one line of the .pub file, all of it")
    return entry


def _find(rig: Rig, words: str) -> str:
    found = [
        entry
        for entry in rig.access.authorized_keys
        if words in (entry, " ".join(entry.split()[2:]), " ".join(entry.split()[:2]), _fingerprint(entry))
        or (len(words.split()) > 2 and words.split()[:2] == entry.split()[:2])
    ]
    if len(found) != 1:
        several = "several entries fit" if found else "no entry fits"
        raise ConfigError(f"{several} {words[:60]!r}", remedy="name it by its fingerprint: rigstack key list")
    return found[0]


def _fingerprint(entry: str) -> str:
    return "" if entry.startswith(("github:", "file:")) else fingerprint(entry)


def _shown(entry: str) -> str:
    return entry if not _fingerprint(entry) else f"{_fingerprint(entry)} {' '.join(entry.split()[2:])}".rstrip()


def _write(place: RigDir, source: str) -> None:
    """Writes rig.toml when what it says now is right; its mode and owner stay."""
    parse_rig(source, rig_dir=place.path, file=str(place.toml))
    stat = place.toml.stat()
    write_file(place.toml, source, mode=stat.st_mode & 0o777, owner=(stat.st_uid, stat.st_gid))


def _apply(place: RigDir) -> None:
    """Writes the files that sshd reads at each login, where the rig was up before."""
    rig = load_rig(place.path)
    keys = resolve_authorized_keys(place.path, rig.access.authorized_keys)
    for folder, text in (("gateway", render_gateway_keys(rig, keys)), ("workspace", render_workspace_keys(keys))):
        path = place.state / "ssh" / folder
        if path.is_dir():
            write_file(path / "authorized_keys", text, mode=0o644, owner=None)
