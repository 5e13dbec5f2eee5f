"""A rig as a laptop knows it: read from the description that its gateway prints, and checked before anything uses it.

What is in here becomes lines of the person's ssh configuration, so each field must look like what it says it is: a
description with anything else in it is refused whole.
"""

from __future__ import annotations

import json
import re
from typing import Any

from rigstack.config import schema
from rigstack.errors import ConfigError
from rigstack.value import Value


class RemoteProject(Value):
    """One project. host: its name on the rig's networks. host_key: "type base64", "" before the rig's first `up`.

    ssh_port: a port of its own on the rig's address, or None. ports: what its programs listen on.
    """

    name: str
    host: str
    user: str
    folder: str
    python: str
    host_key: str
    ssh_port: int | None
    ports: tuple[int, ...]
    notebook: str


# One certificate and nothing else.
_PEM = r"|-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]{100,20000}-----END CERTIFICATE-----\n"


class RemoteRig(Value):
    """The rig as it describes itself. addresses: where it is on its own LAN. mac: for Wake-on-LAN, or "".

    plug: "KIND:ADDRESS" as [power] plug has it, or "". root: the certificate of the rig's own authority, PEM, or "".
    """

    name: str
    hostname: str
    machine: str
    addresses: tuple[str, ...]
    mac: str
    plug: str
    gateway_port: int
    gateway_user: str
    gateway_key: str
    https_port: int
    projects: tuple[RemoteProject, ...]
    root: str = ""

    def project(self, name: str) -> RemoteProject | None:
        """The project of that name, or None."""
        return next((project for project in self.projects if project.name == name), None)


class Connection(Value):
    """A rig that this laptop is connected to.

    name: what its ssh names begin with. host, port: where its gateway answers from anywhere. jump: an ssh alias to go
    through, or "". identity: the private key's file when it is not one that ssh tries by itself, or "".
    gone: projects that were there once. refreshed: when it was read, UTC, ISO 8601.
    """

    name: str
    host: str
    port: int
    jump: str
    identity: str
    rig: RemoteRig
    gone: tuple[str, ...]
    refreshed: str

    @property
    def gateway(self) -> str:
        """The gateway's ssh name. No project can be called "gateway"."""
        return f"{self.name}-gateway"

    def alias(self, project: str) -> str:
        """A project's ssh name."""
        return f"{self.name}-{project}"

    def direct_alias(self, project: str) -> str:
        """The ssh name of a connection of its own to the project, with no forwards. No project's name has a dot."""
        return f"{self.alias(project)}.direct"

    @property
    def edge_url(self) -> str:
        """Where the rig's edge answers, by its best name."""
        name = self.rig.hostname or self.host
        port = "" if self.rig.https_port == 443 else f":{self.rig.https_port}"
        return f"https://{'[' + name + ']' if ':' in name else name}{port}/"

    def notebook_url(self, project: RemoteProject) -> str:
        """Where a project's notebook answers."""
        return self.edge_url.rstrip("/") + project.notebook


def parse_description(text: str) -> RemoteRig:
    """The rig that a description (rig.json, schema 1) tells of.

    Raises ConfigError when it is not one, is of a schema this rigstack does not know, or holds a field that does not
    look like what it should.
    """
    try:
        document = json.loads(text)
        if document["schema"] != 1:
            raise ConfigError(
                f"the rig describes itself in schema {document['schema']!r}, and this rigstack knows schema 1",
                cause="the rig runs a newer rigstack",
                remedy="pip install --upgrade rigstack",
            )
        return _rig(document)
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise ConfigError(
            f"the gateway's answer is not the description of a rig: {wrong}",
            details=tuple(text.splitlines()[:3]),
            remedy="check that the address and port are those of a rig's gateway (`rigstack status` on the host)",
        ) from None


def _rig(document: dict[str, Any]) -> RemoteRig:
    rig, gateway = document["rig"], document["gateway"]
    return RemoteRig(
        name=schema.name(rig["name"]),
        hostname=schema.hostname(rig["hostname"]),
        machine=_like(r"[A-Za-z0-9._-]{0,253}", rig["machine"]),
        addresses=tuple(schema.address(one) for one in rig["addresses"]),
        mac=_like(r"|([0-9a-f]{2}:){5}[0-9a-f]{2}", rig.get("mac", "")),
        plug=schema.plug(rig.get("plug", "")),
        gateway_port=schema.port(gateway["port"]),
        gateway_user=_like(r"[a-z][a-z0-9_-]{0,31}", gateway["user"]),
        gateway_key=_host_key(gateway["host_key"]),
        https_port=schema.port(document["edge"]["https_port"]),
        root=_like(_PEM, document["edge"].get("root", "")),
        projects=tuple(_project(one) for one in document["projects"]),
    )


def _project(given: dict[str, Any]) -> RemoteProject:
    return RemoteProject(
        name=schema.project_name(given["name"]),
        host=schema.name(given["host"]),
        user=_like(r"[a-z][a-z0-9_-]{0,31}", given["user"]),
        folder=_like(r"/[A-Za-z0-9._/-]+", given["folder"]),
        python=_like(r"/[A-Za-z0-9._/-]+", given["python"]),
        host_key=_host_key(given["host_key"]),
        ssh_port=None if given["ssh_port"] is None else schema.port(given["ssh_port"]),
        ports=tuple(schema.port(one) for one in given["ports"]),
        notebook=_like(r"/[A-Za-z0-9._/-]+", given["notebook"]),
    )


def _like(pattern: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ValueError(f"{schema.shown(value)} does not look right")
    return value


def _host_key(value: object) -> str:
    return _like(r"|ssh-ed25519 [A-Za-z0-9+/]{60,100}={0,2}", value)


def connection_document(connection: Connection) -> dict[str, Any]:
    """A connection as it is kept (NAME.json) and shown (`--json`); parse_connection reads it back."""
    rig = connection.rig
    return {
        "name": connection.name,
        "host": connection.host,
        "port": connection.port,
        "jump": connection.jump,
        "identity": connection.identity,
        "gone": list(connection.gone),
        "refreshed": connection.refreshed,
        "description": {
            "schema": 1,
            "rig": {
                "name": rig.name,
                "hostname": rig.hostname,
                "machine": rig.machine,
                "addresses": list(rig.addresses),
                "mac": rig.mac,
                "plug": rig.plug,
            },
            "gateway": {"port": rig.gateway_port, "user": rig.gateway_user, "host_key": rig.gateway_key},
            "edge": {"https_port": rig.https_port, "root": rig.root},
            "projects": [
                {
                    "name": project.name,
                    "host": project.host,
                    "user": project.user,
                    "folder": project.folder,
                    "python": project.python,
                    "host_key": project.host_key,
                    "ssh_port": project.ssh_port,
                    "ports": list(project.ports),
                    "notebook": project.notebook,
                }
                for project in rig.projects
            ],
        },
    }


def parse_connection(text: str) -> Connection:
    """What connection_document wrote. Raises ConfigError."""
    try:
        document = json.loads(text)
        return Connection(
            name=schema.name(document["name"]),
            host=host_name(document["host"]),
            port=schema.port(document["port"]),
            jump=jump_name(document["jump"]),
            identity=schema.path(document["identity"]),
            gone=tuple(schema.name(one) for one in document["gone"]),
            refreshed=_like(r"[0-9TZ:+-]{10,32}", document["refreshed"]),
            rig=parse_description(json.dumps(document["description"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise ConfigError(
            f"what was kept of a connected rig is not readable: {wrong}",
            remedy="connect again: rigstack connect HOST",
        ) from None


def host_name(value: object) -> str:
    """A host's name or address that may stand in an ssh configuration. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._:%-]{0,251}[A-Za-z0-9])?", value):
        raise ValueError('a host such as "rig.example.net" or "192.168.1.10"')
    return value


def jump_name(value: object) -> str:
    """An ssh alias, or [user@]host[:port], to go through; "" is none. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(r"|[A-Za-z0-9_][A-Za-z0-9._@:-]{0,252}", value):
        raise ValueError('an ssh name such as "office" or "me@office.example.net"')
    return value
