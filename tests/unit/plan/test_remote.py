"""What a rig says of itself is believed only when it looks like it: the text becomes ssh configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
from builders import a_host, a_rig

from rigstack.errors import ConfigError
from rigstack.plan.remote import Connection, connection_document, parse_connection, parse_description
from rigstack.render.description import render_description

TOML = "[rig]\nname='box'\nhostname='rig.example.net'\n[projects.demo]\nports=[6006]\nssh_port=2201\n[projects.cifar]\n"


def description() -> dict[str, Any]:
    rig = a_rig(TOML)
    document: dict[str, Any] = json.loads(render_description(rig, a_host(rig)))
    return document


def test_what_the_rig_renders_the_laptop_reads() -> None:
    rig = parse_description(json.dumps(description()))
    assert (rig.name, rig.hostname, rig.gateway_port, rig.gateway_user) == ("box", "rig.example.net", 22222, "jump")
    demo = rig.project("demo")
    assert demo is not None
    assert (demo.folder, demo.python, demo.ports, demo.ssh_port) == (
        "/code/demo",
        "/home/dev/.env/bin/python",
        (6006,),
        2201,
    )
    assert rig.project("nope") is None


HOSTILE = [
    (("rig", "name"), "box\nProxyCommand evil"),
    (("rig", "machine"), "box evil"),
    (("rig", "hostname"), "-oProxyCommand=evil"),
    (("rig", "addresses"), ["10.0.0.1; evil"]),
    (("gateway", "user"), "jump\n    ProxyCommand evil"),
    (("gateway", "host_key"), "ssh-ed25519 AAAA\n* ssh-ed25519 BBBB"),
    (("gateway", "port"), "22"),
    (("gateway", "port"), True),
    (("edge", "https_port"), 0),
    (("projects", 0, "name"), "*"),
    (("projects", 0, "name"), "gateway"),
    (("projects", 0, "host"), "demo evil"),
    (("projects", 0, "user"), "-x"),
    (("projects", 0, "folder"), "/code/$(evil)"),
    (("projects", 0, "python"), "python; evil"),
    (("projects", 0, "host_key"), "ssh-rsa AAAA"),
    (("projects", 0, "ports"), ["6006 evil"]),
    (("projects", 0, "notebook"), "javascript:evil"),
    (("rig", "mac"), "00:11"),
]


@pytest.mark.parametrize(("path", "value"), HOSTILE)
def test_a_field_that_looks_wrong_is_refused(path: tuple[Any, ...], value: object) -> None:
    document = description()
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ConfigError, match="is not the description of a rig"):
        parse_description(json.dumps(document))


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", "null", '{"schema": 1}', '{"schema": 1, "rig": 3}'])
def test_what_is_no_description(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_description(text)


def test_a_newer_schema_says_upgrade() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_description(json.dumps({**description(), "schema": 2}))
    assert "upgrade" in caught.value.remedy


def a_connection(**changes: Any) -> Connection:
    connection = Connection(
        name="box",
        host="rig.example.net",
        port=22222,
        jump="",
        identity="",
        rig=parse_description(json.dumps(description())),
        gone=("old",),
        refreshed="2026-11-20T12:00:00Z",
    )
    return connection.replace(**changes)


def test_a_connection_is_kept_and_read_back() -> None:
    connection = a_connection(jump="me@office:2222", identity="/home/me/.ssh/my key")
    assert parse_connection(json.dumps(connection_document(connection))) == connection
    assert connection.alias("demo") == "box-demo"
    demo = connection.rig.projects[0]
    assert connection.notebook_url(demo) == "https://rig.example.net/p/demo/"
    here = a_connection(host="fd00::1", rig=connection.rig.replace(hostname="", https_port=8443))
    assert here.notebook_url(demo) == "https://[fd00::1]:8443/p/demo/"


@pytest.mark.parametrize("change", [{"host": "a b"}, {"jump": "-oX"}, {"port": 0}, {"name": "A"}, {"gone": ["a b"]}])
def test_a_kept_connection_that_looks_wrong_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="not readable"):
        parse_connection(json.dumps({**connection_document(a_connection()), **change}))
