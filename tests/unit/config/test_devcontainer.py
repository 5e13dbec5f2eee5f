"""devcontainer.json: what is honoured of it, and the words for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigstack.config.devcontainer import Devcontainer, load_devcontainer, parse_devcontainer
from rigstack.config.load import parse_rig
from rigstack.errors import ConfigError


def parsed(text: str) -> Devcontainer:
    return parse_devcontainer(text, name=".devcontainer.json", where="/p/.devcontainer.json", project="demo")


def test_comments_trailing_commas_and_what_looks_like_them() -> None:
    given = parsed(
        """{ // one
        /* two
           lines */ "image": "http://x/*y*/,}", "containerEnv": {"A": "1", "B": "\\"//\\"",},
        "forwardPorts": [1, 2,],
        }"""
    )
    assert given.image == "http://x/*y*/,}"
    assert given.env == (("A", "1"), ("B", '"//"'))
    assert given.ports == (1, 2)


def test_build() -> None:
    given = parsed('{"build": {"dockerfile": "D", "context": "..", "args": {"A": 1}, "target": "dev"}}')
    assert (given.dockerfile, given.context, given.args, given.target) == ("D", "..", (("A", "1"),), "dev")
    assert parsed('{"dockerFile": "D", "context": ".."}').dockerfile == "D"


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ('"a && b"', "a && b"),
        ('["a", "b c"]', "a 'b c'"),
        ('{"x": "a", "y": ["b", "c d"]}', "(\na\n) || exit\n(\nb 'c d'\n) || exit"),
    ],
)
def test_post_create_command(command: str, script: str) -> None:
    assert parsed('{"postCreateCommand": %s}' % command).post_create == script  # noqa: UP031


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ('{"remoteUser": "vscode"}', "remoteUser vscode: the person in every container is dev"),
        ('{"remoteUser": "root"}', "remoteUser root: nobody is root in a container"),
        ('{"features": {"x/y:1": {}}}', "features x/y:1: write what it installs into apt.txt"),
        ('{"features": {"x/node:1": {}}}', "features x/node:1: write nodejs npm into apt.txt"),
        (
            '{"features": {"x/apt-packages:1": {"packages": "a,b"}}}',
            "features x/apt-packages:1: write a b into apt.txt",
        ),
        ('{"build": {"dockerfile": "D"}, "features": {"x/node": {}}}', "features x/node: write RUN apt-get install -y"),
        ('{"features": {"x/python:1": {"version": "3.11"}}}', 'features x/python:1: write python = "3.11" into'),
        ('{"features": {"x/docker-in-docker:2": {}}}', "features x/docker-in-docker:2: no container of the rig may"),
        ('{"newThing": 1}', "newThing: rigstack does not know it"),
        ('{"forwardPorts": ["db:5432"]}', "forwardPorts db:5432: only ports of the workspace itself"),
        ('{"containerEnv": {"A": "${localEnv:HOME}"}}', "containerEnv A: ${localEnv:HOME}: variables of the host"),
    ],
)
def test_what_is_not_honoured_is_said(text: str, report: str) -> None:
    assert parsed(text).reports[0].startswith(f".devcontainer.json: not honoured: {report}")


def test_what_is_for_the_editor_is_not_mentioned() -> None:
    assert parsed('{"name": "x", "customizations": {}, "image": "y", "postCreateCommand": ""}').reports == ()
    assert parsed('{"remoteUser": "dev", "features": {"x/git:1": {}}, "workspaceFolder": "/code/demo"}').reports == ()


VOLUME, LINK, KEPT = "volume", "link", "kept"


@pytest.mark.parametrize(
    ("mount", "kind", "becomes"),
    [
        ('"source=h,target=/history,type=volume"', VOLUME, ("h", "/history")),
        ('"src=${localWorkspaceFolderBasename}-h,dst=/history"', VOLUME, ("demo-h", "/history")),
        ('{"source": "h", "target": "/history/", "type": "volume"}', VOLUME, ("h", "/history")),
        ('"source=m,target=${containerWorkspaceFolder}/node_modules,type=volume"', KEPT, None),
        ('"source=c,target=/home/dev/.cache,type=volume"', KEPT, None),
        ('"source=${localWorkspaceFolder}/a,target=/a,type=bind,consistency=cached"', LINK, ("/a", "/code/demo/a")),
        ('{"source": "/data/sets", "target": "/sets", "type": "bind"}', LINK, ("/sets", "/data/sets")),
    ],
)
def test_mounts_inside_the_rig(mount: str, kind: str, becomes: tuple[str, str] | None) -> None:
    given = parsed('{"mounts": [%s]}' % mount)  # noqa: UP031
    assert given.reports == ()
    assert given.volumes == ((becomes,) if kind == VOLUME else ())
    assert given.links == ((becomes,) if kind == LINK else ())


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ("source=/var/run/docker.sock,target=/x,type=bind", "use the engine"),
        ("source=/etc,target=/x,type=bind", "nothing of the host but its own folders"),
        ("source=${localWorkspaceFolder}/../other,target=/x,type=bind", "nothing of the host but its own folders"),
        ("source=${localEnv:HOME}/.ssh,target=/x,type=bind", "nothing of the host but its own folders"),
        ("source=${localWorkspaceFolder},target=/x,type=bind,readonly", "cannot be read-only"),
        ("source=h,target=/opt/env,type=volume", "the rig's own"),
        ("source=h,target=/opt,type=volume", "the rig's own"),
        ("source=h,target=/etc/rigstack/keys,type=volume", "the rig's own"),
        ("source=h,target=/home/dev/../x,type=volume", "not a plain absolute path"),
        ("source=h,target=/a:ro,type=volume", "not a plain absolute path"),
        ("source=../../etc,target=/x,type=volume", "a volume needs a name"),
        ("target=/x,type=volume", "a volume needs a name"),
        ("target=/x,type=tmpfs", "none of volume and bind"),
    ],
)
def test_mounts_that_would_leave_it(mount: str, why: str) -> None:
    given = parsed('{"mounts": ["%s"]}' % mount)  # noqa: UP031
    assert (given.volumes, given.links) == ((), ())
    assert given.reports[0].startswith(f".devcontainer.json: not honoured: mounts {mount}: ")
    assert why in given.reports[0]


def test_where_else_the_project_is_said_to_be() -> None:
    assert parsed('{"workspaceFolder": "/workspaces/x"}').links == (("/workspaces/x", "/code/demo"),)
    text = '{"workspaceMount": "source=${localWorkspaceFolder},target=/w,type=bind", "workspaceFolder": "/w"}'
    assert set(parsed(text).links) == {("/w", "/code/demo")}


def test_variables_of_the_container() -> None:
    text = '{"remoteEnv": {"A": "${containerWorkspaceFolder}/x", "B": "${containerWorkspaceFolderBasename}"}}'
    assert parsed(text).env == (("A", "/code/demo/x"), ("B", "demo"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "not valid JSON"), ("[]", "not an object"), ('{"dockerComposeFile": "x"}', "dockerComposeFile")],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parsed(text)


def test_its_environment_and_ports_are_settings_that_rig_toml_overrules(tmp_path: Path) -> None:
    folder = tmp_path / "code/demo/.devcontainer"
    folder.mkdir(parents=True)
    (folder / "devcontainer.json").write_text('{"containerEnv": {"A": "1"}, "forwardPorts": [6006]}')
    project = parse_rig("[projects.demo]", rig_dir=tmp_path).projects[0]
    assert (project.env, project.ports) == ((("A", "1"),), (6006,))
    project = parse_rig("[projects.demo]\nports = [1]\nenv = {B = '2'}", rig_dir=tmp_path).projects[0]
    assert (project.env, project.ports) == ((("B", "2"),), (1,))
    project = parse_rig("[projects.demo]\nbuild = 'files'", rig_dir=tmp_path).projects[0]
    assert (project.env, project.ports) == ((), ())
    assert load_devcontainer(tmp_path / "code/other") is None
