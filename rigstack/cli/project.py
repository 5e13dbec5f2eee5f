"""`rigstack project`: make projects, look at them, forget them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rigstack.cli import console
from rigstack.cli.rig import ensure_none_broken, known_projects, rig_of
from rigstack.config.model import Project, Rig
from rigstack.config.rigdir import RigDir
from rigstack.errors import ConfigError, ConsentError, HostError
from rigstack.render.starter import TEMPLATES


@click.group()
def project() -> None:
    """Make projects, look at them, forget them."""


@project.command()
@click.argument("name")
@click.option("--from", "url", metavar="GIT_URL", help="Clone this repository instead of starting from a template.")
@click.option(
    "--template",
    type=click.Choice(TEMPLATES),
    default=TEMPLATES[0],
    show_default=True,
    help="science: src/, notebooks/ with a first one, a link to /data/NAME. bare: three files.",
)
@click.pass_context
def new(context: click.Context, name: str, url: str | None, template: str) -> None:
    """Make code/NAME and put the project into rig.toml; `rigstack up` then brings it up.

    A folder that is there already is taken as it is.
    """
    from rigstack.config.edit import with_project
    from rigstack.config.schema import project_name
    from rigstack.host.facts import code_owner
    from rigstack.host.new_project import clone_project, create_project

    place, rig = rig_of(context)
    try:
        project_name(name)
    except ValueError as wrong:
        raise ConfigError(f"{name!r} cannot be a project's name; expected {wrong}") from None
    if rig.project(name) is not None:
        raise ConfigError(f'there is a project "{name}" already', remedy=f"rigstack project info {name}")
    owner = code_owner(place.path)
    folder = place.code / name
    if url and folder.exists():
        raise ConfigError(f"{folder} is there already", remedy="leave --from away to take it as it is")
    if url:
        clone_project(place, name, url, owner)
        made = f"cloned {url} into {folder}"
    elif create_project(place, name, owner, template=template):
        made = f"made {folder}"
    else:
        made = f"{folder} was there and stays as it is"
    _edit(place, lambda source: with_project(source, name))
    console.result(f"{made}; it is in rig.toml now")
    console.note("next: rigstack up")


@project.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """The projects in rig.toml: their folders, what makes their images, and whether they run."""
    place, rig = rig_of(context)
    states = _states(rig)
    rows = [_summary(place, one, states) for one in rig.projects]
    if as_json:
        console.result_json({"projects": rows})
    elif rows:
        cells = [[row["name"], row["state"], row["made_of"], row["folder"]] for row in rows]
        console.result(console.table(["PROJECT", "STATE", "MADE OF", "FOLDER"], cells))
    else:
        console.result("no project yet: rigstack project new NAME")


@project.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def info(context: click.Context, name: str, as_json: bool) -> None:
    """What rig.toml and the project's files say about NAME, and what of them is not honoured."""
    from rigstack.host.facts import observe_host
    from rigstack.plan.desired import desire

    place, rig = rig_of(context)
    known_projects(rig, (name,))
    one = rig.project(name)
    assert one is not None
    host = observe_host(rig)
    ensure_none_broken({broken: one for broken, one in host.broken.items() if broken == name})
    image = desire(rig, host).image(f"project-{name}")
    files = [file for file, _ in image.inputs if not file.startswith(("images/", "base image", "project name"))]
    document = {
        **_summary(place, one, _states(rig)),
        "image": image.tag,
        "inputs": files,
        "settings": _settings(one),
        "notes": [*host.inputs[name].notes, *host.inputs[name].once],
    }
    if as_json:
        console.result_json(document)
        return
    words = {"inputs": "image made of", "image": "image", "state": "state", "folder": "folder", "home": "home"}
    for key in ("state", "folder", "home", "image", "inputs"):
        value = document[key]
        console.result(f"{words[key]:<14} {', '.join(value) if isinstance(value, list) else value}")
    for key, value in document["settings"].items():
        console.result(f"{key:<14} {value}")
    for note in document["notes"]:
        console.result(f"note: {note}")


@project.command()
@click.argument("name")
@click.option("--delete-files", is_flag=True, help="Delete its code and home too, for ever; asks for the name.")
@click.option("--confirm", metavar="NAME", help="The name again, where nobody can be asked.")
@click.pass_context
def remove(context: click.Context, name: str, delete_files: bool, confirm: str | None) -> None:
    """Forget NAME: take it out of rig.toml. Its files stay, unless --delete-files."""
    from rigstack.config.edit import without_project
    from rigstack.config.lock import load_lock
    from rigstack.host.lock import rig_lock
    from rigstack.host.lock_file import write_lock

    place, rig = rig_of(context)
    known_projects(rig, (name,))
    if delete_files:
        _ensure_typed(place, rig, name, confirm)
    # rig.toml last: where something before it fails, the project is still there to be removed.
    with rig_lock(place.path, "project remove", on_wait=console.note):
        if delete_files:
            _delete(place, rig, name)
        lock = load_lock(place.path)
        if name in dict(lock.pins):
            write_lock(place.path, lock.with_pin(name, ""))
        _rewrite(place, lambda source: without_project(source, name))
    if delete_files:
        console.note(f"next: rigstack up; {place.data / name} stays, if there is one")
    else:
        console.result(f"{name} is no longer in rig.toml; its files are where they were, in {place.code / name}")
        console.note("next: `rigstack up` takes its containers away")


def _delete(place: RigDir, rig: Rig, name: str) -> None:
    from rigstack.engine.containers import remove_containers, remove_networks
    from rigstack.host.new_project import delete_files
    from rigstack.plan.desired import compose_networks, compose_project

    remove_containers(rig.name, (f"{name}-workspace", f"{name}-notebook"), console.note)
    remove_networks(compose_project(rig), compose_networks(rig.without((name,))))
    for folder in delete_files(place, name):
        console.result(f"deleted {folder}")


def _ensure_typed(place: RigDir, rig: Rig, name: str, confirm: str | None) -> None:
    import sys

    if confirm is None and sys.stdin.isatty():
        for one in _running(rig, name):
            console.note(f"This ends {one}")
        console.note(f"This deletes {place.code / name} and {place.homes / name}, for ever.")
        confirm = click.prompt("Type the project's name to go on", err=True)
    if confirm != name:
        raise ConsentError(
            f"nothing was deleted: the name {name} was not typed", remedy=f"or give it: --confirm {name}"
        )


def _running(rig: Rig, name: str) -> list[str]:
    """What runs in the project's containers that somebody would miss."""
    from rigstack.engine.activity import observe_activity
    from rigstack.engine.observe import observe_containers

    there = [one for one in observe_containers(rig.name, rig.dir).values() if one.project == name]
    found = observe_activity(one for one in there if one.state == "running")
    return [str(one) for each in found.values() for one in each]


def _edit(place: RigDir, change: Callable[[str], str]) -> None:
    """Changes rig.toml by `change` under the rig's lock."""
    from rigstack.host.lock import rig_lock

    with rig_lock(place.path, "project", on_wait=console.note):
        _rewrite(place, change)


def _rewrite(place: RigDir, change: Callable[[str], str]) -> None:
    """Changes rig.toml by `change`; nothing is written that would not be a rig."""
    from rigstack.config.load import parse_rig
    from rigstack.host.files import write_file

    text = change(place.toml.read_text(encoding="utf-8"))
    parse_rig(text, rig_dir=place.path, file=str(place.toml))
    there = place.toml.stat()
    write_file(place.toml, text, mode=there.st_mode & 0o777, owner=(there.st_uid, there.st_gid))


def _states(rig: Rig) -> dict[str, str]:
    """service -> state; empty when no engine answers."""
    from rigstack.engine.observe import observe_containers

    try:
        return {name: one.state for name, one in observe_containers(rig.name, rig.dir).items()}
    except HostError:
        return {}


def _summary(place: RigDir, one: Project, states: dict[str, str]) -> dict[str, Any]:
    parts = {states.get(f"{one.name}-{part}", "absent") for part in ("workspace", "notebook")}
    return {
        "name": one.name,
        "state": parts.pop() if len(parts) == 1 else "partly running",
        "made_of": _made_of(place.code / one.name, one),
        "folder": str(place.code / one.name),
        "home": str(place.homes / one.name),
    }


def _made_of(folder: Path, one: Project) -> str:
    from rigstack.host.project_files import read_project_inputs

    try:
        inputs = read_project_inputs(folder, one.build)
    except ConfigError as wrong:
        return f"error: {wrong.what}"
    if inputs.dockerfile is not None:
        return inputs.dockerfile.name
    names = {name.removeprefix("pyproject/") for name, _ in inputs.files}
    return ", ".join(sorted(name for name in names if "/" not in name)) or "nothing of its own"


def _settings(one: Project) -> dict[str, Any]:
    """The settings that differ from their defaults."""
    from rigstack.config.schema import PROJECT

    values = {key: getattr(one, key) for key in PROJECT}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value != PROJECT[key].default
    }


# Further commands of the group, each in a file of its own.
from rigstack.cli import project_kernel, project_packages, project_rollback  # noqa: E402, F401
