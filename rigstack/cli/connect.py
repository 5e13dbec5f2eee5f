"""`rigstack connect`, `refresh` and `disconnect`: a rig's projects by name for every tool that speaks SSH."""

from __future__ import annotations

import getpass
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from rigstack.cli import console
from rigstack.config import schema
from rigstack.errors import AccessError, ConfigError, ConsentError
from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome, laptop_home
from rigstack.laptop.rigs import (
    ensure_connected,
    ensure_disconnected,
    files_of,
    find_connection,
    load_connections,
    undo_plan,
)
from rigstack.plan.fingerprint import fingerprint
from rigstack.plan.remote import Connection, RemoteRig, connection_document, host_name, jump_name
from rigstack.render.ssh_config import local_ports

GATEWAY_PORT = 22222


@click.command()
@click.argument("host", metavar="HOST[:PORT]")
@click.option("--fingerprint", "expected", metavar="SHA256:...", help="The gateway's, from `rigstack status` there.")
@click.option("--jump", default="", metavar="ALIAS", help="Go through this ssh host to reach the rig.")
@click.option("--as", "name", metavar="NAME", help="What the ssh names begin with. Default: the rig's own name.")
@click.option("--key", "identity", type=click.Path(dir_okay=False), help="Log in with this private key and no other.")
@click.option("--wait", is_flag=True, help="When the rig does not know this machine's key yet, wait until it does.")
@click.option("--timeout", default=600.0, show_default=True, help="Seconds to wait, with --wait.")
@click.option("-y", "--yes", is_flag=True, help="Make a key (without a passphrase) when there is none.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the files that would be written, and stop.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the connection and the files that changed.")
def connect(
    host: str,
    expected: str | None,
    jump: str,
    name: str | None,
    identity: str | None,
    wait: bool,
    timeout: float,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Connect this machine to the rig at HOST: afterwards `ssh NAME-PROJECT` works, and every tool that uses ssh.

    The gateway's fingerprint is compared first, with --fingerprint or by asking. Run it again at any time.
    """
    home = laptop_home()
    gateway = _gateway(host, jump, identity)
    if name is not None:
        name = _checked("--as", name)
    own = _own_key(home, gateway, yes=yes, dry_run=dry_run)
    if home.path != home.ssh_path and not gateway.identity and own:
        gateway = gateway.replace(identity=str(own))  # ssh would look for it in the other home
    host_key = ssh.observe_host_key(home, gateway)
    _trust(home, gateway, host_key, expected, name)
    rig = _read(home, gateway, host_key, own, wait=wait, timeout=timeout)
    if rig.gateway_key != host_key:
        raise ssh.untrusted(str(gateway), details=("the rig describes itself with another key than it shows",))
    connection = _connection(home, gateway, rig, name or rig.name)
    if dry_run:
        for path, text in files_of(home, connection).items():
            console.result(f"==> {path}\n{text}")
        console.result(f"==> {home.config}, at the top\nInclude {home.include}")
        return
    changed = ensure_connected(home, connection)
    _report(connection, changed, as_json=as_json)


@click.command()
@click.argument("name", required=False)
@click.option("-n", "--dry-run", is_flag=True, help="Say what is new, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the connection and the files that changed.")
def refresh(name: str | None, dry_run: bool, as_json: bool) -> None:
    """Read the rig's description again: new projects get their ssh names, and names of removed ones say so."""
    home = laptop_home()
    before = find_connection(home, name)
    done = ssh.run_ssh(ssh.client_argv(home, "-o", "BatchMode=yes", before.gateway))
    rig = ssh.described(done, before.gateway)
    if rig.gateway_key != before.rig.gateway_key:
        raise ssh.untrusted(before.gateway, details=("the rig describes itself with another key than the pinned one",))
    there = {project.name for project in rig.projects}
    gone = {*before.gone, *(project.name for project in before.rig.projects)} - there
    after = before.replace(rig=rig, gone=tuple(sorted(gone)), refreshed=_now())
    for line in _differences(before.rig, rig):
        console.note(line)
    changed = () if dry_run else ensure_connected(home, after)
    _report(after, changed, as_json=as_json)


@click.command()
@click.argument("name", required=False)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be taken away, and stop.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the name and the files that changed.")
def disconnect(name: str | None, dry_run: bool, as_json: bool) -> None:
    """Take away everything that `rigstack connect` wrote; ~/.ssh/config gets its own bytes back."""
    home = laptop_home()
    connection = find_connection(home, name)
    if not dry_run:
        from rigstack.laptop.mount import ensure_unmounted, list_mounts

        for mount in list_mounts(frozenset(connection.direct_alias(one.name) for one in connection.rig.projects)):
            ensure_unmounted(Path(mount.folder), force=True)
    changed = undo_plan(home, connection) if dry_run else ensure_disconnected(home, connection)
    if as_json:
        console.result_json({"name": connection.name, "files": [str(path) for path in changed]})
        return
    for path in changed:
        verb = "take our lines out of" if path == home.config else "delete"
        console.note(f"{'would ' if dry_run else ''}{verb} {path}")
    if not dry_run:
        console.result(f"disconnected from {connection.name}")


def _gateway(host: str, jump: str, identity: str | None) -> ssh.Gateway:
    name, port = host, GATEWAY_PORT
    bracketed = host.startswith("[") and "]" in host
    if bracketed:
        name, _, rest = host[1:].partition("]")
        text = rest.removeprefix(":")
    elif host.count(":") == 1:
        name, _, text = host.partition(":")
    else:
        text = ""
    try:
        port = schema.port(int(text) if text.isdecimal() else 0) if text else GATEWAY_PORT
        return ssh.Gateway(
            host=host_name(name.removeprefix("jump@")),
            port=port,
            jump=jump_name(jump),
            identity=str(Path(identity).expanduser().absolute()) if identity else "",
        )
    except ValueError as wrong:
        raise ConfigError(f"{host!r} is not right; expected HOST or HOST:PORT: {wrong}") from None


def _checked(option: str, name: str) -> str:
    try:
        return schema.name(name)
    except ValueError as wrong:
        raise ConfigError(f"{option} {name!r} is not right; expected {wrong}") from None


def _own_key(home: LaptopHome, gateway: ssh.Gateway, *, yes: bool, dry_run: bool) -> Path | None:
    """The key to log in with; made when there is none and the person agrees. None when an agent holds one."""
    if gateway.identity:
        if not Path(gateway.identity).is_file():
            raise ConfigError(f"there is no key {gateway.identity}", remedy="name the private half of a key pair")
        return Path(gateway.identity)
    found = ssh.find_key(home)
    if found or ssh.agent_key():
        return found
    path = home.ssh / "id_ed25519"
    if dry_run or not console.confirm(f"There is no SSH key on this machine. Make one ({path})?", yes=yes):
        raise ConsentError("this machine has no SSH key", remedy="ssh-keygen -t ed25519, or rigstack connect --yes")
    comment = f"{getpass.getuser()}@{socket.gethostname()}"
    ssh.ensure_key(path, comment, passphrase=sys.stdin.isatty() and not yes)
    console.note(f"made the key {path}")
    return path


def _trust(home: LaptopHome, gateway: ssh.Gateway, host_key: str, expected: str | None, name: str | None) -> None:
    """Returns when the host key is the expected one. Raises TrustError, or ConsentError when nobody says so."""
    shown = fingerprint(host_key)
    if expected is not None:
        wanted = expected if expected.startswith("SHA256:") else f"SHA256:{expected}"
        if wanted.rstrip("=") != shown:
            raise ssh.untrusted(str(gateway), details=(f"expected {wanted}", f"got      {shown}"))
        return
    for known in load_connections(home):
        if known.rig.gateway_key == host_key:
            return  # this rig's key is pinned here already
        if known.name == name or (known.host, known.port) == (gateway.host, gateway.port):
            pinned = fingerprint(known.rig.gateway_key)
            raise ssh.untrusted(str(gateway), details=(f"pinned {pinned}  ({known.name})", f"got    {shown}"))
    console.note(f"The gateway at {gateway} shows the fingerprint\n    {shown}")
    console.note("`rigstack status` on the host shows the rig's own, in the line of the gateway.")
    if not console.confirm("Are they the same?", yes=False):
        raise ConsentError(
            f"the fingerprint of {gateway} was not confirmed",
            remedy="compare it on the host, and give it: rigstack connect HOST --fingerprint SHA256:...",
        )


def _read(
    home: LaptopHome, gateway: ssh.Gateway, host_key: str, own: Path | None, *, wait: bool, timeout: float
) -> RemoteRig:
    try:
        return ssh.read_description(home, gateway, host_key)
    except AccessError as refused:
        command = f'rigstack key add "{_public_line(own)}"'
        if not wait:
            raise AccessError(
                refused.what,
                details=refused.details,
                remedy=f"on the host: {command}\n         then here: the same command again (or now, with --wait)",
            ) from None
        console.note(f"The rig does not know this machine's key yet. On the host:\n\n    {command}\n")
        console.note(f"Waiting for it (at most {timeout:.0f} s)...")
    return ssh.wait_for_access(lambda: ssh.read_description(home, gateway, host_key), timeout=timeout)


def _public_line(own: Path | None) -> str:
    if own is None:
        return ssh.agent_key()
    public = own.with_name(own.name + ".pub")
    return public.read_text(errors="replace").strip() if public.is_file() else f"(the public half of {own})"


def _connection(home: LaptopHome, gateway: ssh.Gateway, rig: RemoteRig, name: str) -> Connection:
    gone: set[str] = set()
    for known in load_connections(home):
        if known.name == name:
            if known.rig.gateway_key != rig.gateway_key:
                raise ConfigError(
                    f"another rig is connected as {name}",
                    remedy="give this one a name of its own: rigstack connect --as NAME",
                )
            gone = {*known.gone, *(project.name for project in known.rig.projects)}
    host, port = gateway.host, gateway.port
    local = {*rig.addresses, rig.machine, f"{rig.machine}.local"}
    if rig.hostname and host in local and not gateway.jump:
        host, port = rig.hostname, rig.gateway_port  # reached at home now; this name leads to it from anywhere
    return Connection(
        name=name,
        host=host,
        port=port,
        jump=gateway.jump,
        identity=gateway.identity,
        rig=rig,
        gone=tuple(sorted(gone - {project.name for project in rig.projects})),
        refreshed=_now(),
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _differences(before: RemoteRig, after: RemoteRig) -> list[str]:
    old = {project.name: project for project in before.projects}
    new = {project.name: project for project in after.projects}
    lines = [f"new project: {name}" for name in new if name not in old]
    lines += [f"no longer there: {name}" for name in old if name not in new]
    lines += [f"changed: {name}" for name in new if name in old and new[name] != old[name]]
    return lines or ["the same projects as before"]


def _report(connection: Connection, changed: tuple[Path, ...], *, as_json: bool) -> None:
    if as_json:
        document = connection_document(connection)
        document["aliases"] = {one.name: connection.alias(one.name) for one in connection.rig.projects}
        console.result_json({"connection": document, "files": [str(path) for path in changed]})
        return
    for path in changed:
        console.note(f"wrote {path}")
    rows = [
        [project.name, f"ssh {connection.alias(project.name)}", connection.notebook_url(project)]
        for project in connection.rig.projects
    ]
    console.result(f"connected to {connection.rig.name} at {connection.host}:{connection.port}")
    if rows:
        console.result(console.table(["PROJECT", "SHELL", "NOTEBOOK"], rows))
    else:
        console.result(f"it has no project yet; when it has: rigstack refresh {connection.name}")
    for (project, port), local in local_ports(connection).items():
        if local != port:
            console.note(f"port {port} of {project} is 127.0.0.1:{local} here")
