"""`rigstack status` on a laptop: what of a connected rig answers from here."""

from __future__ import annotations

from typing import Any

import click

from rigstack.cli import console
from rigstack.config.rigdir import find_rig
from rigstack.errors import ConfigError
from rigstack.plan.status import Status

_STYLES = {"reachable": "green", "mounted": "green", "unknown": "dim"}


def is_from_afar(rig_dir: str | None, name: str | None) -> bool:
    """Whether a connected rig is meant: it was named, or there is no rig directory here and a rig is connected."""
    if name is not None:
        return True
    if rig_dir is not None:
        return False
    try:
        find_rig(None)
    except ConfigError:
        from rigstack.laptop.home import laptop_home
        from rigstack.laptop.rigs import load_connections

        return bool(load_connections(laptop_home()))
    return False


def status_from_afar(context: click.Context, name: str | None, *, as_json: bool) -> None:
    """Looks through the gateway and the edge, and reports; exit code 5 when something does not answer."""
    from rigstack.laptop.home import laptop_home
    from rigstack.laptop.kept import list_kept
    from rigstack.laptop.reach import observe_rig
    from rigstack.laptop.rigs import find_connection

    home = laptop_home()
    connection = find_connection(home, name)
    list_kept(home)  # revives what died with a restart of this machine
    report = observe_rig(home, connection)
    if as_json:
        console.result_json(report.document)
    else:
        console.result(_page(report))
    if report.problems:
        context.exit(5)


def _page(report: Status) -> str:
    document = report.document
    rig, edge, gateway = (document[key] for key in ("rig", "edge", "gateway"))
    rows = [
        ["edge", _word(edge["state"]), edge["url"]],
        ["gateway", _word(gateway["state"]), f"port {gateway['port']}  {gateway['fingerprint']}"],
    ]
    lines = [f"{console.paint(rig['name'], 'bold')}: {_word(rig['state'])} from this laptop", ""]
    lines.append(console.table(["SERVICE", "STATE", "WHERE"], rows))
    headers = ["PROJECT", "WORKSPACE", "NOTEBOOK", "NOTEBOOK ADDRESS"]
    lines += ["", console.table(headers, [_row(project) for project in document["projects"]])]
    if document["mounts"]:
        rows = [
            [one["source"].replace(".direct:", ":", 1), one["folder"], _word(one["state"])]
            for one in document["mounts"]
        ]
        lines += ["", console.table(["MOUNT", "FOLDER", "STATE"], rows)]
    for problem in report.problems:
        lines += ["", f"{console.paint('!', 'yellow')} {problem.what}", f"  {problem.remedy}"]
    lines += ["", "This is what answers from here; health, GPUs and images are shown by `rigstack status` on the host."]
    return "\n".join(lines)


def _row(project: dict[str, Any]) -> list[str]:
    notebook = project["notebook"]
    return [project["name"], _word(project["workspace"]["state"]), _word(notebook["state"]), notebook["url"]]


def _word(state: str) -> str:
    return console.paint(state, _STYLES.get(state, "red"))
