"""The rigs that this laptop is connected to: their files under ~/.ssh/rigstack, written, read and taken away."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from rigstack.errors import ConfigError
from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome, read_bytes, write_bytes
from rigstack.laptop.kept import list_kept, stop_kept
from rigstack.plan.remote import Connection, RemoteProject, connection_document, parse_connection
from rigstack.render.ssh_config import add_include, remove_include, remove_pins, render_known_hosts, render_ssh_config
from rigstack.value import Value

# Run by ssh's `Match exec` each time a new connection to the gateway starts.
AT_HOME = """\
#!/bin/sh
# at-home PORT KEY ADDRESS: is the rig at this address of the network that we are in? Its host key says so.
# The answer holds for 20 seconds: editors open many connections in a row, and away from home a look takes a second.
kept=${0%/*}/.at-home-$3
now=$(date +%s)
if read -r until answer 2>/dev/null < "$kept" && [ "$until" -gt "$now" ] && [ "$until" -le $((now + 20)) ]; then
    exit "$answer"
fi
# Whatever is behind a router is not at home, and need not be waited for.
route=$(ip route get "$3" 2>/dev/null || route -n get "$3" 2>/dev/null)
answer=1
case $route in
    *" via "* | *gateway:*) ;;
    *) ssh-keyscan -T 1 -p "$1" -t ed25519 "$3" 2>/dev/null | grep -qF "$2" && answer=0 ;;
esac
echo "$((now + 20)) $answer" > "$kept"
exit "$answer"
"""

# Run by ssh's `Match exec` for each port that a project declares. Without bash the port counts as free.
PORT_FREE = """\
#!/bin/sh
# port-free PORT: does nobody answer at 127.0.0.1:PORT?
! bash -c ": < /dev/tcp/127.0.0.1/$1" 2> /dev/null
"""


class Target(Value):
    """A project on a connected rig, by the words of a command."""

    connection: Connection
    project: RemoteProject

    @property
    def alias(self) -> str:
        return self.connection.alias(self.project.name)

    @property
    def direct(self) -> str:
        return self.connection.direct_alias(self.project.name)


def load_connections(home: LaptopHome) -> tuple[Connection, ...]:
    """Every connected rig, by name. Raises ConfigError for a file that cannot be understood."""
    texts = [read_bytes(path) for path in sorted(home.folder.glob("*.json"))]
    return tuple(parse_connection(text.decode(errors="replace")) for text in texts if text is not None)


def find_connection(home: LaptopHome, name: str | None) -> Connection:
    """The connected rig of that name, or the only one. Raises ConfigError."""
    known = load_connections(home)
    if not known:
        raise ConfigError("this machine is not connected to any rig", remedy="rigstack connect HOST")
    names = ", ".join(one.name for one in known)
    if name is None:
        if len(known) > 1:
            raise ConfigError("this machine is connected to several rigs", remedy=f"say which: {names}")
        return known[0]
    for one in known:
        if one.name == name:
            return one
    raise ConfigError(f'this machine is not connected to a rig "{name}"', remedy=f"connected: {names}")


def find_project(home: LaptopHome, words: str) -> Target:
    """The project that PROJECT or RIG-PROJECT names. Raises ConfigError that says what there is."""
    known = load_connections(home)
    if not known:
        raise ConfigError("this machine is not connected to any rig", remedy="rigstack connect HOST")
    targets = [Target(connection=one, project=project) for one in known for project in one.rig.projects]
    found = [one for one in targets if one.alias == words] or [one for one in targets if one.project.name == words]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f'several rigs have a project "{words}"', remedy="say which: " + ", ".join(one.alias for one in found)
        )
    for one in known:
        if words in one.gone or words in {one.alias(name) for name in one.gone}:
            raise ConfigError(
                f"the rig {one.name} had no project {words} any more when it was last read ({one.refreshed})",
                remedy=f"rigstack refresh {one.name}",
            )
    there = ", ".join(sorted(one.project.name for one in targets)) or "none yet"
    raise ConfigError(
        f'no connected rig has a project "{words}"',
        remedy=f"projects: {there}; a new one is known after `rigstack refresh`",
    )


def files_of(home: LaptopHome, connection: Connection) -> dict[Path, str]:
    """Every file of a connection with its text."""
    places = home.places(connection.name)
    return {
        home.folder / "at-home": AT_HOME,
        home.folder / "port-free": PORT_FREE,
        home.folder / f"{connection.name}.known_hosts": render_known_hosts(connection),
        home.folder / f"{connection.name}.conf": render_ssh_config(connection, places),
        home.folder / f"{connection.name}.json": json.dumps({"schema": 1, **connection_document(connection)}, indent=2)
        + "\n",
    }


def ensure_connected(home: LaptopHome, connection: Connection) -> tuple[Path, ...]:
    """Writes the connection's files and the Include line; returns what changed. Raises HostError.

    ~/.ssh/config is copied to `home.backup` before its first change.
    """
    changed: list[Path] = []
    for path, text in files_of(home, connection).items():
        if read_bytes(path) != text.encode():
            write_bytes(path, text.encode())
            changed.append(path)
    before = read_bytes(home.config)
    after = add_include(before or b"", home.include)
    if after != before:
        if before is not None:
            write_bytes(home.backup, remove_include(before))
        else:
            with contextlib.suppress(FileNotFoundError):
                home.backup.unlink()
        write_bytes(home.config, after)
        changed.append(home.config)
    return tuple(changed)


def forget_pins(home: LaptopHome, aliases: frozenset[str]) -> None:
    """Takes our lines (for PyCharm) out of ~/.ssh/known_hosts again; a file with nothing else in it goes."""
    known = home.ssh / "known_hosts"
    before = read_bytes(known)
    if before is None:
        return
    after = remove_pins(before, aliases)
    if after == before:
        return
    if after:
        write_bytes(known, after)
    else:
        known.unlink()


def undo_plan(home: LaptopHome, connection: Connection) -> tuple[Path, ...]:
    """What ensure_disconnected would delete or change."""
    last = len(load_connections(home)) == 1
    paths = [home.folder / f"{connection.name}.{kind}" for kind in ("conf", "known_hosts", "json")]
    paths += sorted(home.folder.glob(".at-home-*"))
    if last:
        paths += [home.folder / "at-home", home.folder / "port-free", home.backup, home.config]
    return tuple(path for path in paths if path.exists())


def ensure_disconnected(home: LaptopHome, connection: Connection) -> tuple[Path, ...]:
    """Takes a connection's files away, and with the last one the Include line; returns what changed.

    Its tunnels and whatever else is kept up for it end first. ~/.ssh/config is left with exactly the bytes that are not
    ours, and deleted only when rigstack made it.
    """
    changed = undo_plan(home, connection)
    aliases = {connection.alias(project.name) for project in connection.rig.projects}
    for one in list_kept(home):
        if one.alias in aliases:
            stop_kept(home, one)
    forget_pins(home, frozenset(aliases))
    from rigstack.laptop.sync import sync_ssh_argv

    for project in connection.rig.projects:
        ssh.run_ssh(ssh.close_shared_argv(home, connection.alias(project.name)), timeout=10)
        target = Target(connection=connection, project=project)
        ssh.run_ssh((*sync_ssh_argv(home, target), "-O", "exit", target.direct), timeout=10)
    for path in changed:
        if path not in (home.config, home.backup):
            path.unlink()
    if home.config in changed:
        before = read_bytes(home.config) or b""
        after = remove_include(before)
        if not after and not home.backup.exists():
            home.config.unlink()
        elif after != before:
            write_bytes(home.config, after)
        home.backup.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            home.folder.rmdir()  # stays when something else is in it
    return changed
