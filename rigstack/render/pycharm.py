"""PyCharm's project files for a project on a rig, merged into what is there.

JetBrains documents none of these files; their shapes were read from public repositories. Only our own entries are
touched, found again by stable ids; everything else in a file stays, comments included.
"""

from __future__ import annotations

import uuid
from xml.etree import ElementTree as ET

from rigstack.errors import ConfigError
from rigstack.value import Value

# What is never worth uploading: history, environments, caches.
EXCLUDED = (
    ".git",
    ".venv",
    "venv",
    ".idea",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "node_modules",
)


class Workspace(Value):
    """A workspace as PyCharm's own SSH library reaches it: an address and a port, with no jump.

    name: as it is called in PyCharm. key: the private key's file ($USER_HOME$ stands for the home), or "" for the
    agent. excluded: more folders not to upload, relative to the project.
    """

    name: str
    host: str
    port: int
    user: str
    folder: str
    python: str
    key: str
    excluded: tuple[str, ...] = ()

    @property
    def ssh_id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"rigstack:ssh:{self.name}"))

    @property
    def server_id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"rigstack:server:{self.name}"))


def render_ssh_configs(present: str | None, workspace: Workspace) -> str:
    """.idea/sshConfigs.xml with the workspace in it."""
    project = _project(present, "sshConfigs.xml")
    configs = _child(_component(project, "SshConfigs"), "configs")
    entry = _own(configs, "sshConfig", "id", workspace.ssh_id)
    entry.set("authType", "KEY_PAIR" if workspace.key else "OPEN_SSH")
    entry.set("host", workspace.host)
    if workspace.key:
        entry.set("keyPath", workspace.key)
    else:
        entry.attrib.pop("keyPath", None)
    entry.set("port", str(workspace.port))
    entry.set("customName", workspace.name)
    entry.set("nameFormat", "CUSTOM")
    entry.set("username", workspace.user)
    entry.set("useOpenSSHConfig", "true")
    option = _own(entry, "option", "name", "customName")
    option.set("value", workspace.name)
    return _text(project)


def render_web_servers(present: str | None, workspace: Workspace) -> str:
    """.idea/webServers.xml with the workspace as an SFTP server."""
    project = _project(present, "webServers.xml")
    servers = _own(_component(project, "WebServers"), "option", "name", "servers")
    server = _own(servers, "webServer", "id", workspace.server_id)
    server.set("name", workspace.name)
    transfer = _child(server, "fileTransfer")
    how = "key" if workspace.key else "agent"
    transfer.set("rootFolder", "/")
    transfer.set("accessType", "SFTP")
    transfer.set("host", workspace.host)
    transfer.set("port", str(workspace.port))
    transfer.set("sshConfigId", workspace.ssh_id)
    transfer.set("sshConfig", f"{workspace.user}@{workspace.host}:{workspace.port} {how}")
    transfer.attrib.pop("authAgent" if workspace.key else "keyPair", None)
    transfer.set("keyPair" if workspace.key else "authAgent", "true")
    return _text(project)


def render_deployment(present: str | None, workspace: Workspace) -> str:
    """.idea/deployment.xml: upload on every save, the project's folder to the workspace's, without what is excluded."""
    project = _project(present, "deployment.xml")
    component = _component(project, "PublishConfigData")
    component.set("autoUpload", "Always")
    component.set("serverName", workspace.name)
    component.set("remoteFilesAllowedToDisappearOnAutoupload", "false")
    paths = _own(_child(component, "serverData"), "paths", "name", workspace.name)
    data = _child(paths, "serverdata")
    mapping = _own(_child(data, "mappings"), "mapping", "local", "$PROJECT_DIR$")
    mapping.set("deploy", workspace.folder)
    mapping.set("web", "/")
    excluded = _child(data, "excludedPaths")
    for folder in (*EXCLUDED, *workspace.excluded):
        _own(excluded, "excludedPath", "path", f"$PROJECT_DIR$/{folder}").set("local", "true")
    _own(component, "option", "name", "myAutoUpload").set("value", "ALWAYS")
    return _text(project)


def gateway_link(workspace: Workspace) -> str:
    """What opens the project in JetBrains Gateway (remote-development links of its help pages)."""
    path = workspace.folder.replace("/", "%2F")
    where = f"host={workspace.host}&port={workspace.port}&user={workspace.user}"
    return f"jetbrains-gateway://connect#projectPath={path}&{where}&type=ssh&deploy=false"


def _project(present: str | None, name: str) -> ET.Element:
    """The file's root, comments kept; a new one when there is no file. Raises ConfigError when it is not PyCharm's."""
    if present is None or not present.strip():
        return ET.Element("project", version="4")
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    try:
        root = ET.fromstring(present.removeprefix("\ufeff"), parser=parser)
    except ET.ParseError as broken:
        raise ConfigError(
            f".idea/{name} cannot be read: {broken}", remedy="let PyCharm write it anew, or move it away"
        ) from None
    if not isinstance(root.tag, str) or root.tag != "project":
        raise ConfigError(f".idea/{name} is not a project file of PyCharm", remedy="move it away")
    return root


def _component(project: ET.Element, name: str) -> ET.Element:
    return _own(project, "component", "name", name)


def _child(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(tag)
    return found if found is not None else ET.SubElement(parent, tag)


def _own(parent: ET.Element, tag: str, key: str, value: str) -> ET.Element:
    """The child with that attribute, made when it is not there."""
    for child in parent.findall(tag):
        if child.get(key) == value:
            return child
    return ET.SubElement(parent, tag, {key: value})


def _text(project: ET.Element) -> str:
    """As PyCharm writes it: two spaces, a space before "/>", no line end after the last tag."""
    ET.indent(project, "  ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(project, encoding="unicode")
