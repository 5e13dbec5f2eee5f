"""What `rigstack connect` writes: a rig's ssh configuration and its pinned host keys, and the one Include line."""

from __future__ import annotations

import re

from rigstack.plan.remote import Connection, RemoteProject
from rigstack.value import Value

# The lines at the top of ~/.ssh/config. ssh takes the first value it finds, so ours come before any `Host *`.
MARK = "# rigstack: the ssh names of connected rigs; `rigstack disconnect` takes these two lines away."


class Places(Value):
    """Paths as they stand in ssh_config: known_hosts, our two scripts, and the ControlPath ("" leaves it out)."""

    known_hosts: str
    at_home: str
    port_free: str
    control_path: str


def local_ports(connection: Connection) -> dict[tuple[str, int], int]:
    """(project, its port) -> the port on this laptop: the same number, or the next free one when two projects share it.

    The first project that declares a port gets its very number.
    """
    taken: set[int] = set()
    ports: dict[tuple[str, int], int] = {}
    for project in connection.rig.projects:
        for port in project.ports:
            local = port
            while local in taken or local < 1024:
                local = 10000 + local if local < 1024 else local % 65535 + 1
            taken.add(local)
            ports[project.name, port] = local
    return ports


def render_ssh_config(connection: Connection, places: Places) -> str:
    """NAME.conf: one Host for the gateway, one for each project, and one that tells about each project that is gone."""
    rig = connection.rig
    lines = [
        f"# The rig {rig.name}, written by `rigstack connect`; `rigstack refresh {connection.name}` writes it again.",
    ]
    for address in rig.addresses:
        if address != connection.host and not connection.jump:
            # At home the rig's LAN address is used: when a machine there shows the rig's own host key.
            command = f"/bin/sh '{places.at_home}' {rig.gateway_port} {rig.gateway_key.split()[1]} {address}"
            lines += [
                "",
                f'Match originalhost {connection.gateway} exec "{command}"',
                f"    HostName {address}",
                f"    Port {rig.gateway_port}",
            ]
    lines += [
        "",
        f"Host {connection.gateway}",
        f"    HostName {connection.host}",
        f"    Port {connection.port}",
        f"    User {rig.gateway_user}",
        *([f"    ProxyJump {connection.jump}"] if connection.jump else []),
        f"    HostKeyAlias {connection.gateway}",
        # Projects share connections of their own; one shared here would hold up all of them after a cut.
        "    ControlMaster no",
        "    ControlPath none",
        "    RequestTTY no",
        "    ServerAliveInterval 15",
        *_common(connection, places),
    ]
    ports = local_ports(connection)
    for project in rig.projects:
        lines += ["", *_project(connection, places, project, ports)]
    for name in connection.gone:
        lines += [
            "",
            f"Host {connection.alias(name)}",
            # `echo` in a shell of its own: ssh, which adds `exec`, hangs up when the outer command closes its output.
            f"    ProxyCommand sh -c \"echo 'rigstack: {rig.name} had no project {name} any more when it was last read "
            f"({connection.refreshed}). Is it back? rigstack refresh {connection.name}' >&2; exit 1\"",
        ]
    return "\n".join(lines) + "\n"


def _project(
    connection: Connection, places: Places, project: RemoteProject, ports: dict[tuple[str, int], int]
) -> list[str]:
    alias, direct = connection.alias(project.name), connection.direct_alias(project.name)
    shared = [
        "    ControlMaster auto",
        f"    ControlPath {quoted(places.control_path)}",
        "    ControlPersist 10m",
    ]
    forwards = []
    for port in project.ports:
        # Only when the port is free here: whoever has it, be it the shared connection, ssh would say that it cannot.
        local = ports[project.name, port]
        forwards += [
            f"Match originalhost {alias} exec \"/bin/sh '{places.port_free}' {local}\"",
            f"    LocalForward 127.0.0.1:{local} 127.0.0.1:{port}",
        ]
    return [
        f"Host {alias} {direct}",
        f"    HostName {project.host}",
        "    Port 22",
        f"    User {project.user}",
        f"    ProxyJump {connection.gateway}",
        f"    HostKeyAlias {alias}",
        *_common(connection, places),
        f"Host {alias}",
        "    ServerAliveInterval 15",
        *(shared if places.control_path else []),
        *forwards,
        # What rigstack keeps up for long has a connection of its own, and notices sooner when that is dead.
        f"Host {direct}",
        "    ServerAliveInterval 5",
        "    ControlMaster no",
        "    ControlPath none",
    ]


def _common(connection: Connection, places: Places) -> list[str]:
    return [
        f"    UserKnownHostsFile {quoted(places.known_hosts)}",
        "    GlobalKnownHostsFile /dev/null",
        "    StrictHostKeyChecking yes",
        "    HostKeyAlgorithms ssh-ed25519",
        # Pinned keys change by `rigstack refresh` only.
        "    UpdateHostKeys no",
        "    CheckHostIP no",
        # Hardware AES: about twice the client's default, chacha20-poly1305.
        "    Ciphers ^aes256-gcm@openssh.com",
        "    ServerAliveCountMax 3",
        "    ConnectTimeout 15",
        *([f"    IdentityFile {quoted(connection.identity)}", "    IdentitiesOnly yes"] if connection.identity else []),
    ]


def quoted(path: str) -> str:
    """A path as ssh_config takes it: in double quotes when it has spaces (ssh_config(5))."""
    return f'"{path}"' if " " in path else path


def render_known_hosts(connection: Connection) -> str:
    """NAME.known_hosts: the host keys by the names that HostKeyAlias gives, whatever the address."""
    rig = connection.rig
    named = [(connection.gateway, rig.gateway_key)]
    named += [(connection.alias(project.name), project.host_key) for project in rig.projects if project.host_key]
    return "".join(f"{alias} {key}\n" for alias, key in named)


def add_pin(known_hosts: bytes, address: str, key: str, alias: str) -> bytes:
    """The person's ~/.ssh/known_hosts with one line of ours at the top: for clients that know no HostKeyAlias."""
    own = remove_pins(known_hosts, frozenset({alias}))
    end = b"\r\n" if own.split(b"\n", 1)[0].endswith(b"\r") else b"\n"
    return f"{address} {key} rigstack:{alias}".encode() + end + own


def remove_pins(known_hosts: bytes, aliases: frozenset[str]) -> bytes:
    """The person's ~/.ssh/known_hosts without our lines for these aliases; every other byte as it is."""
    ours = {f"rigstack:{alias}".encode() for alias in aliases}
    return b"".join(line for line in _lines(known_hosts) if not ours & set(line.split()[-1:]))


def _lines(text: bytes) -> list[bytes]:
    return re.split(rb"(?<=\n)", text)


def add_include(config: bytes, include: str) -> bytes:
    """The person's ~/.ssh/config with our two lines at the top, once.

    Line ends are the file's own, and not another byte changes. include: the path as it stands after "Include".
    """
    own = remove_include(config)
    return _block(own, include) + own


def remove_include(config: bytes) -> bytes:
    """The person's ~/.ssh/config without our two lines, wherever they are; every other byte as it is."""
    kept: list[bytes] = []
    skip = False
    for line in _lines(config):
        if line.strip() == MARK.encode():
            skip = True
            continue
        if skip and line.strip().startswith(b"Include "):
            skip = False
            continue
        skip = False
        kept.append(line)
    return b"".join(kept)


def _block(config: bytes, include: str) -> bytes:
    first = config.split(b"\n", 1)[0]
    end = b"\r\n" if first.endswith(b"\r") else b"\n"
    return MARK.encode() + end + b"Include " + quoted(include).encode() + end
