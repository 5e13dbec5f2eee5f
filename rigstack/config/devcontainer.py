"""Reads .devcontainer/devcontainer.json: what rigstack honours of it, and what it does not, in words.

The format: https://containers.dev/implementors/json_reference/ (JSON with comments and trailing commas).
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from rigstack.errors import ConfigError
from rigstack.value import Value

FILES = (".devcontainer/devcontainer.json", ".devcontainer.json")
_HONOURED = {
    "image",
    "build",
    "dockerFile",
    "context",
    "postCreateCommand",
    "forwardPorts",
    "containerEnv",
    "remoteEnv",
    "mounts",
    "workspaceMount",
    "workspaceFolder",
    "features",
    "overrideFeatureInstallOrder",
    "remoteUser",
    "containerUser",
}
# For the editor, or of no consequence here.
_SILENT = {"name", "customizations", "settings", "extensions", "portsAttributes", "otherPortsAttributes", "$schema"}
_SILENT |= {
    "shutdownAction",
    "waitFor",
    "updateRemoteUserUID",
    "overrideCommand",
    "init",
    "userEnvProbe",
    "hostRequirements",
}
_REASONS = {
    "runArgs": "the rig's own limits and networks hold; see [projects.NAME] in rig.toml",
    "privileged": "no container of the rig is",
    "capAdd": "no container of the rig has any capability",
    "securityOpt": "the rig's own hold",
    "appPort": "use forwardPorts, or the setting ssh_port",
    "initializeCommand": "nothing of a project runs on the host",
    "onCreateCommand": "use postCreateCommand",
    "updateContentCommand": "use postCreateCommand",
    "postStartCommand": "use postCreateCommand",
    "postAttachCommand": "use postCreateCommand",
}


class Devcontainer(Value):
    """file: relative to the project. dockerfile, context: relative to the file's folder; image: instead of those.

    post_create: a shell command, or "". reports: what is not honoured, in words.
    volumes: (name, path in the container). links: (path in the container, the folder there that it leads to).
    """

    file: str
    image: str = ""
    dockerfile: str = ""
    context: str = "."
    args: tuple[tuple[str, str], ...] = ()
    target: str = ""
    env: tuple[tuple[str, str], ...] = ()
    ports: tuple[int, ...] = ()
    post_create: str = ""
    volumes: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    reports: tuple[str, ...] = ()


def load_devcontainer(folder: Path) -> Devcontainer | None:
    """The project's devcontainer.json, or None. Raises ConfigError for one that is not valid."""
    for name in FILES:
        try:
            text = (folder / name).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as failed:
            raise ConfigError(f"cannot read {folder / name}: {failed}", remedy="it must be text in UTF-8") from None
        return parse_devcontainer(text, name=name, where=str(folder / name), project=folder.name)
    return None


def parse_devcontainer(text: str, *, name: str, where: str, project: str) -> Devcontainer:
    """Like load_devcontainer, from text; name: the file relative to the project, where: for messages."""
    from rigstack.config.devcontainer_features import report_features
    from rigstack.config.devcontainer_mounts import parse_mounts

    try:
        document = json.loads(_plain(text))
    except ValueError as broken:
        raise ConfigError(f"{where} is not valid JSON with comments: {broken}", remedy="mend that line") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{where} is not an object: {{...}}", remedy="see containers.dev for its format")
    if "dockerComposeFile" in document:
        raise ConfigError(
            f"{where}: dockerComposeFile: rigstack runs one image a project, not a compose file of its own",
            remedy='name that service\'s Dockerfile with "build", or set build = "files" for the project in rig.toml',
        )
    build = document.get("build", {})
    build = build if isinstance(build, dict) else {}
    ports, odd = _ports(document.get("forwardPorts", ()))
    env, odd_env = _env(document, project)
    mounts = parse_mounts(_all_mounts(document), project)
    reports = [f"{key}: {_REASONS.get(key, 'rigstack does not know it')}" for key in document if _reported(key)]
    reports += _users(document)
    reports += report_features(document.get("features"), by_dockerfile=bool(build or "dockerFile" in document))
    reports += [*mounts.reports, *odd, *odd_env]
    return Devcontainer(
        file=name,
        image=str(document.get("image", "")),
        dockerfile=str(build.get("dockerfile", document.get("dockerFile", ""))),
        context=str(build.get("context", document.get("context", "."))),
        args=tuple(sorted((str(key), str(value)) for key, value in (build.get("args") or {}).items())),
        target=str(build.get("target", "")),
        env=env,
        ports=ports,
        post_create=_command(document.get("postCreateCommand")),
        volumes=mounts.volumes,
        links=mounts.links,
        reports=tuple(f"{name}: not honoured: {one}" for one in reports),
    )


def _reported(key: str) -> bool:
    return key not in _HONOURED and key not in _SILENT


def _all_mounts(document: dict[str, Any]) -> list[Any]:
    """`mounts`, and where else the file says that the project is."""
    mounts = document.get("mounts", [])
    found = [*mounts] if isinstance(mounts, list) else [mounts]
    found += [document["workspaceMount"]] if document.get("workspaceMount") else []
    if folder := document.get("workspaceFolder"):
        found.append({"type": "bind", "source": "${localWorkspaceFolder}", "target": str(folder)})
    return found


def _users(document: dict[str, Any]) -> list[str]:
    said = []
    for key in ("remoteUser", "containerUser"):
        user = document.get(key, "dev")
        if user == "root":
            said.append(f"{key} root: nobody is root in a container; packages go into apt.txt or a Dockerfile")
        elif user != "dev":
            said.append(f"{key} {user}: the person in every container is dev, with the uid of the owner of code/")
    return said


def _plain(text: str) -> str:
    """JSON without its comments and trailing commas; strings stay as they are, and so do line numbers."""
    joined = ""
    for piece in re.findall(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/|[^"/]+|/|"', text, re.S):
        if piece.startswith(("//", "/*")):
            joined += "\n" * piece.count("\n")
        else:
            joined += piece
    return re.sub(r'("(?:\\.|[^"\\\n])*")|,(?=\s*[}\]])', lambda found: found.group(1) or "", joined)


def _ports(given: Any) -> tuple[tuple[int, ...], list[str]]:
    ports, odd = [], []
    for one in given if isinstance(given, list) else ():
        if isinstance(one, int) and 0 < one < 65536:
            ports.append(one)
        else:
            odd.append(f"forwardPorts {one}: only ports of the workspace itself")
    return tuple(ports), odd


def _env(document: dict[str, Any], project: str) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    folder = f"/code/{project}"
    known = {"${containerWorkspaceFolder}": folder, "${containerWorkspaceFolderBasename}": project}
    env, odd = {}, []
    for table in ("containerEnv", "remoteEnv"):
        for name, value in (document.get(table) or {}).items():
            text = str(value)
            for variable, meaning in known.items():
                text = text.replace(variable, meaning)
            if "${" in text or "\n" in text:
                odd.append(f"{table} {name}: {value}: variables of the host and the editor")
            else:
                env[str(name)] = text
    return tuple(sorted(env.items())), odd


def _command(given: Any) -> str:
    """postCreateCommand as one shell command: a string, an argv, or an object of those, done one after the other."""
    if isinstance(given, str):
        return given
    if isinstance(given, list):
        return shlex.join(str(word) for word in given)
    if isinstance(given, dict):
        each = (command for one in given.values() if (command := _command(one)))
        return "\n".join(f"(\n{command}\n) || exit" for command in each)
    return ""
