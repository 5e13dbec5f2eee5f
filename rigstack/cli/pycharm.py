"""`rigstack pycharm` and `rigstack code`: editors that work on a project."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from urllib.parse import quote

import click

from rigstack import process
from rigstack.cli import console
from rigstack.cli.tunnel import warn_of_cache
from rigstack.errors import ConfigError, ReachError
from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome, check_checkout, laptop_home
from rigstack.laptop.kept import list_kept
from rigstack.laptop.rigs import find_project


@click.command()
@click.argument("project")
@click.argument("folder", required=False, type=click.Path(file_okay=False))
@click.option("--undo", is_flag=True, help="Put the .idea files back as they were before rigstack changed them.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the .idea files as they would be, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: what to type into PyCharm, and the files.")
def pycharm(project: str, folder: str | None, undo: bool, dry_run: bool, as_json: bool) -> None:
    """Set PyCharm up for PROJECT: FOLDER (default: the current one) is uploaded to it on every save.

    Writes three files in FOLDER/.idea, merged into what is there, and keeps a forward up for PyCharm's own SSH, which
    follows no jump; after a restart of this machine it comes back when you log in. Needs PyCharm with Pro features.
    """
    from rigstack.laptop.pycharm import ensure_address, idea_texts, planned_address, workspace_at, write_idea
    from rigstack.render.pycharm import gateway_link

    place = Path(folder or ".").absolute()
    home = laptop_home()
    if undo:
        _undo(home, project, place, as_json=as_json)
        return
    check_checkout(place)
    target = find_project(home, project)
    idea_texts(place, workspace_at(home, target, place, planned_address(home, target)))  # raises for a broken file
    address = planned_address(home, target) if dry_run else ensure_address(home, target)
    workspace = workspace_at(home, target, place, address)
    texts = idea_texts(place, workspace)
    if dry_run:
        for path, text in texts.items():
            console.result(f"==> {path}\n{text}")
        return
    if target.project.ssh_port is None:
        warn_of_cache()
    written = write_idea(texts)
    link = gateway_link(workspace)
    if as_json:
        document = {name: getattr(workspace, name) for name in ("name", "host", "port", "user", "folder", "python")}
        console.result_json({**document, "link": link, "files": [str(path) for path in written]})
        return
    for path in written:
        console.note(f"wrote {path}")
    console.result(STEPS.format(place=place, project=project, target=target.alias, workspace=workspace, link=link))


def _undo(home: LaptopHome, project: str, place: Path, *, as_json: bool) -> None:
    from rigstack.laptop.pycharm import planned_address, texts_from_before, undo_idea, workspace_at

    made: dict[Path, str] = {}
    with contextlib.suppress(ConfigError):  # its rig was disconnected: what rigstack wrote is not known any more
        target = find_project(home, project)
        made = texts_from_before(place, workspace_at(home, target, place, planned_address(home, target)))
    undone, kept = undo_idea(place, made)
    if as_json:
        console.result_json({"files": [str(path) for path in undone], "kept": [str(path) for path in kept]})
        return
    for path in undone:
        console.result(f"put back {path}")
    for path in kept:
        console.note(f"it had changed since; as it was: {path}")
    if not undone:
        console.note(f"rigstack changed nothing in {place / '.idea'}")
    if any(f"-{one.alias}".endswith(f"-{project}") for one in list_kept(home, "forward")):
        stop = f"rigstack tunnel --stop {project} 22"
        console.note(f"PyCharm's way to {project} stays up, for other folders; to end it: {stop}")


STEPS = """\
{place} is uploaded to {workspace.folder} of {target} on every save; PyCharm knows when it opens the folder anew.

The interpreter, in PyCharm (two clicks, once):
  1. Settings > Python > Interpreter > Add Interpreter > On SSH... > Existing: {workspace.name}
     ({workspace.user}@{workspace.host}, port {workspace.port})
  2. System Interpreter, path {workspace.python}
     Sync folders: {place} -> {workspace.folder}; no automatic upload (that is set up already)

Deployment and SSH interpreters need PyCharm's Pro features. Without them open the project's folder by
`rigstack mount {project}`, or keep it equal by `rigstack sync {project}`.
JetBrains Gateway (the whole IDE on the rig) is filled in by this link; then: Check Connection and Continue.
  {link}"""


HINTS = """\
mkdir -p .vscode || exit
put() { [ -e ".vscode/$1" ] || cat > ".vscode/$1"; }
put extensions.json <<'JSON'
{ "recommendations": ["ms-python.python", "ms-toolsai.jupyter"] }
JSON
put settings.json <<'JSON'
{
  "python.defaultInterpreterPath": "PYTHON",
  "files.watcherExclude": { "**/.git/objects/**": true, "**/.venv/**": true, "**/data/**": true }
}
JSON
"""


@click.command()
@click.argument("project")
@click.argument("path", required=False)
@click.option("--hints", is_flag=True, help="Write .vscode/ in the project (what is there stays): Python, extensions.")
@click.option("--print", "only_print", is_flag=True, help="Print the address, and open nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the address, the ssh name, the folder there.")
def code(project: str, path: str | None, hints: bool, only_print: bool, as_json: bool) -> None:
    """Open PROJECT, or PATH in it, in VS Code over Remote-SSH."""
    home = laptop_home()
    target = find_project(home, project)
    folder = target.project.folder
    place = folder if path is None else f"{folder}/{path.removeprefix(folder).strip('/')}"
    if hints:
        text = HINTS.replace("PYTHON", target.project.python)
        done = process.run(ssh.client_argv(home, target.alias, f"cd {folder} && sh -s"), stdin=text, timeout=60)
        if not done.ok:
            raise ReachError(f"the hints could not be written to {project}", details=done.tail(3))
        console.note(f"{folder}/.vscode has settings.json and extensions.json")
    argv = ("code", "--remote", f"ssh-remote+{target.alias}", place)
    url = f"vscode://vscode-remote/ssh-remote+{target.alias}{quote(place)}"
    if as_json:
        console.result_json({"url": url, "host": target.alias, "folder": place})
    else:
        console.result(url)
    if only_print:
        return
    if shutil.which("code") is None:
        console.note(
            "`code` is not on this machine's PATH; open the address above, or in VS Code: Remote-SSH, Connect to"
        )
        console.note(f"Host, {target.alias}. It needs the extension ms-vscode-remote.remote-ssh.")
    elif not process.run(argv, timeout=60).ok:
        console.warn(f"{process.quote(argv)} failed")
