"""What can be seen of a rig from a laptop: whether its gateway, its workspaces and its notebooks answer."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rigstack.errors import ConfigError, ReachError, RigstackError
from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.mount import list_mounts, mount_answers
from rigstack.laptop.rigs import Target
from rigstack.plan.fingerprint import fingerprint
from rigstack.plan.remote import Connection, RemoteProject, RemoteRig
from rigstack.plan.status import Problem, Status

PATIENCE = 15.0  # seconds


def read_again(home: LaptopHome, connection: Connection) -> RemoteRig:
    """The rig as it describes itself now. Raises AccessError, TrustError or ReachError."""
    done = ssh.run_ssh(ssh.client_argv(home, "-o", "BatchMode=yes", connection.gateway))
    return ssh.described(done, connection.gateway)


def explain(home: LaptopHome, target: Target) -> RigstackError | None:
    """Why a login at the project failed, or None when nothing is wrong on the way there."""
    try:
        rig = read_again(home, target.connection)
    except RigstackError as error:
        return error
    name = target.project.name
    if rig.project(name) is None:
        return ConfigError(
            f"the rig {rig.name} has no project {name} any more",
            remedy=f"rigstack refresh {target.connection.name}",
        )
    if rig.project(name) != target.project:
        return ConfigError(
            f"{name} is not as it was when this laptop read it ({target.connection.refreshed})",
            remedy=f"rigstack refresh {target.connection.name}",
        )
    if not workspace_answers(home, target.connection, target.project):
        return ReachError(
            f"the rig answers, and the workspace of {name} does not",
            remedy=f"on the host: rigstack status, rigstack logs {name}",
        )
    return None


def workspace_argv(home: LaptopHome, connection: Connection, project: RemoteProject) -> tuple[str, ...]:
    """Opens the workspace's port through the gateway and shows what its sshd says first."""
    return ssh.client_argv(home, "-o", "BatchMode=yes", "-W", f"{project.host}:22", connection.gateway)


def workspace_answers(home: LaptopHome, connection: Connection, project: RemoteProject) -> bool:
    """Whether the workspace's sshd greets."""
    return "SSH-2.0" in ssh.run_ssh(workspace_argv(home, connection, project), timeout=PATIENCE).stdout


def notebook_answers(connection: Connection, project: RemoteProject) -> bool | None:
    """Whether JupyterLab answers through the edge; None when the edge itself does not.

    Nothing secret is sent, so the certificate does not matter here; a browser will look at it.
    """
    import http.client
    import socket
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    name = connection.rig.hostname or connection.rig.machine or connection.host
    try:
        plain = socket.create_connection((connection.host, connection.rig.https_port), timeout=PATIENCE)
        with context.wrap_socket(plain, server_hostname=name) as secure:
            secure.sendall(f"GET {project.notebook}api HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            answer = http.client.HTTPResponse(secure)
            answer.begin()
            return answer.status == 200 and "version" in json.loads(answer.read(4096))
    except (http.client.HTTPException, ValueError):
        return False
    except OSError:
        return None


def observe_rig(home: LaptopHome, connection: Connection) -> Status:
    """The status of a rig as far as a laptop can see it, in the shape of `rigstack status --json`.

    What only the host knows (images, GPUs, the DDNS client, health checks) is "unknown".
    Raises AccessError, TrustError or ReachError when the gateway does not let us look.
    """
    rig = read_again(home, connection)
    mounts = list_mounts(frozenset(connection.direct_alias(project.name) for project in connection.rig.projects))
    with ThreadPoolExecutor(max_workers=8) as pool:
        living = list(pool.map(mount_answers, mounts))
        shells = list(pool.map(lambda project: workspace_answers(home, connection, project), rig.projects))
        notebooks = list(pool.map(lambda project: notebook_answers(connection, project), rig.projects))
    problems: list[Problem] = []
    projects: list[dict[str, Any]] = []
    for project, shell, notebook in zip(rig.projects, shells, notebooks, strict=True):
        if not shell:
            problems.append(
                Problem(
                    what=f"{project.name}-workspace does not answer",
                    remedy=f"on the host: rigstack logs {project.name}",
                )
            )
        if notebook is False:
            problems.append(
                Problem(
                    what=f"{project.name}-notebook does not answer",
                    remedy=f"on the host: rigstack logs {project.name}",
                )
            )
        projects.append(
            {
                "name": project.name,
                "image": "unknown",
                "state": "reachable" if shell and notebook else "degraded",
                "gpus": "unknown",
                "workspace": _part(shell),
                "notebook": {**_part(notebook), "url": connection.notebook_url(project)},
            }
        )
    problems += [
        Problem(
            what=f"the mount at {one.folder} does not answer",
            remedy=f"it comes back by itself when the rig does; else: rigstack unmount --force {one.folder}",
        )
        for one, alive in zip(mounts, living, strict=True)
        if not alive
    ]
    edge = "unknown" if not notebooks else "unreachable" if None in notebooks else "reachable"
    if edge == "unreachable":
        problems.append(
            Problem(
                what=f"the edge does not answer at {connection.host}:{rig.https_port} from here",
                remedy="let that port through the router to the rig; SSH and tunnels work without it",
            )
        )
    if rig != connection.rig:
        problems.append(
            Problem(what="the rig is not as this laptop knows it", remedy=f"rigstack refresh {connection.name}")
        )
    document: dict[str, Any] = {
        "seen_from": "laptop",
        "rig": {
            "name": rig.name,
            "hostname": rig.hostname,
            "directory": "unknown",
            "state": "degraded" if problems else "reachable",
        },
        "edge": {"state": edge, "url": connection.edge_url, "tls": {"mode": "unknown", "expires": "unknown"}},
        "gateway": {"state": "reachable", "port": connection.port, "fingerprint": fingerprint(rig.gateway_key)},
        "ddns": {"state": "unknown", "hostname": rig.hostname, "address": "unknown", "public_address": "unknown"},
        "projects": projects,
        "mounts": [
            {"source": one.source, "folder": one.folder, "state": "mounted" if alive else "does not answer"}
            for one, alive in zip(mounts, living, strict=True)
        ],
        "problems": [{"what": problem.what, "remedy": problem.remedy} for problem in problems],
    }
    return Status(document=document, problems=tuple(problems))


def _part(answers: bool | None) -> dict[str, str]:
    state = {True: "reachable", False: "unreachable", None: "unknown"}[answers]
    return {"state": state, "health": "unknown"}
