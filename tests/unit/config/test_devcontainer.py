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
        ('{"x": "a", "y": ["b", "c d"]}', "a\nb 'c d'"),
    ],
)
def test_post_create_command(command: str, script: str) -> None:
    assert parsed('{"postCreateCommand": %s}' % command).post_create == script  # noqa: UP031


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ('{"remoteUser": "vscode"}', "remoteUser: the person in every container is dev"),
        ('{"mounts": []}', "mounts: the rig mounts"),
        ('{"features": {}}', "features: write what they install into a Dockerfile"),
        ('{"newThing": 1}', "newThing: rigstack does not know it"),
        ('{"forwardPorts": ["db:5432"]}', "forwardPorts db:5432: only ports of the workspace itself"),
        ('{"containerEnv": {"A": "${localEnv:HOME}"}}', "containerEnv A: ${localEnv:HOME}: variables of the host"),
    ],
)
def test_what_is_not_honoured_is_said(text: str, report: str) -> None:
    assert parsed(text).reports[0].startswith(f".devcontainer.json: not honoured: {report}")


def test_what_is_for_the_editor_is_not_mentioned() -> None:
    assert parsed('{"name": "x", "customizations": {}, "image": "y", "postCreateCommand": ""}').reports == ()


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
