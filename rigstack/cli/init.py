"""`rigstack init`: makes a rig directory with an annotated rig.toml, and never overwrites one."""

from __future__ import annotations

import re
from pathlib import Path

import click

from rigstack.cli import console
from rigstack.config.rigdir import RigDir
from rigstack.errors import ConfigError


@click.command()
@click.argument("directory", required=False, type=click.Path(file_okay=False))
@click.option("--name", help="The rig's name (in ssh names and container names). Default: this machine's name.")
@click.option("--hostname", help="The public name that leads here, if there is one.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="A public key line, github:NAME or file:PATH.")
@click.option("--project", "projects", multiple=True, default=("demo",), show_default=True, help="A first project.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: take flags and defaults.")
@click.pass_context
def init(
    context: click.Context,
    directory: str | None,
    name: str | None,
    hostname: str | None,
    keys: tuple[str, ...],
    projects: tuple[str, ...],
    yes: bool,
) -> None:
    """Make a rig in DIRECTORY (default: ~/rig): rig.toml with every setting explained, and a first project.

    Keys: without --key, those in ~/.ssh/*.pub and ~/.ssh/authorized_keys are taken.
    """
    import socket
    import sys

    from rigstack.config.load import parse_rig

    root = Path(directory or context.obj or "~/rig").expanduser().absolute()
    place = RigDir(path=root)
    if place.toml.exists():
        raise ConfigError(f"{place.toml} exists, and init never overwrites one", remedy="edit it, then `rigstack up`")
    ask = sys.stdin.isatty() and not yes
    machine = re.sub(r"[^a-z0-9-]", "-", socket.gethostname().split(".")[0].lower()).strip("-")[:40] or "rig"
    if name is None:
        name = click.prompt("Name of the rig", default=machine, err=True) if ask else machine
    if hostname is None:
        question = "Public host name (empty: LAN only)"
        hostname = click.prompt(question, default="", show_default=False, err=True) if ask else ""
    chosen = _keys(keys, ask)
    projects = _checked(projects)
    text = annotated(name=name, hostname=hostname, keys=chosen, projects=projects)
    parse_rig(text, rig_dir=root)  # the same rules as for a file written by hand; nothing is made before
    _create(place, text, projects)
    console.result(f"made {place.toml}")
    if not chosen:
        console.warn("no key may log in yet: add one to [access] authorized_keys")
    console.note("next: rigstack up")


def _checked(projects: tuple[str, ...]) -> tuple[str, ...]:
    from rigstack.config.schema import project_name

    for project in projects:
        try:
            project_name(project)
        except ValueError as wrong:
            raise ConfigError(f"--project {project!r} is not right; expected {wrong}") from None
    return tuple(dict.fromkeys(projects))


def _keys(given: tuple[str, ...], ask: bool) -> tuple[str, ...]:
    if given:
        return given
    found = _present_keys()
    for line in found:
        console.note(f"may log in: {' '.join(line.split()[2:]) or line[:40]}")
    if not ask:
        return found
    more = click.prompt(
        "Your laptop's public key, or github:NAME (empty: none besides)",
        default="",
        show_default=False,
        err=True,
    )
    return (*found, more.strip()) if more.strip() else found


def _present_keys() -> tuple[str, ...]:
    """The person's own public keys, and those that may already log in to this account: the laptop's is among them."""
    import os
    import pwd

    from rigstack.config.schema import key_source

    try:
        home = Path(pwd.getpwnam(os.environ["SUDO_USER"]).pw_dir)
    except KeyError:
        home = Path.home()
    folder = home / ".ssh"
    files = [*sorted(folder.glob("*.pub")), folder / "authorized_keys"]
    lines = [line.strip() for file in files if file.is_file() for line in file.read_text(errors="replace").splitlines()]
    found: dict[str, str] = {}
    for line in lines:
        try:
            if not line.startswith(("github:", "file:")):
                found.setdefault(line.split()[1], key_source(line))
        except (ValueError, IndexError):
            continue  # comments, options, other kinds of keys: not for us to judge
    return tuple(found.values())


def annotated(*, name: str, hostname: str, keys: tuple[str, ...], projects: tuple[str, ...]) -> str:
    """The reference file with these values put in their places."""
    import json

    text = (Path(__file__).parent.parent / "config" / "reference.toml").read_text(encoding="utf-8")
    text = text.replace('name = "rig"', f"name = {json.dumps(name, ensure_ascii=False)}", 1)
    if hostname:
        text = text.replace(
            '# hostname = "rig.example.net"', f"hostname = {json.dumps(hostname, ensure_ascii=False)}", 1
        )
    listed = "".join(f"    {json.dumps(key, ensure_ascii=False)},\n" for key in keys)
    text = text.replace("authorized_keys = []", f"authorized_keys = [\n{listed}]" if keys else "authorized_keys = []")
    for project in projects:
        text += f"\n[projects.{project}]\n"
    return text


def _create(place: RigDir, text: str, projects: tuple[str, ...]) -> None:
    from rigstack.host.facts import person
    from rigstack.host.files import ensure_folder, write_file
    from rigstack.host.new_project import create_project

    owner = person()
    ensure_folder(place.path, mode=0o755, owner=owner)
    for folder in (place.code, place.data, place.homes):
        ensure_folder(folder, mode=0o755, owner=owner)
    for project in projects:
        if project != "demo" or not create_project(place, project, owner):
            ensure_folder(place.code / project, mode=0o755, owner=owner)
    write_file(place.toml, text, mode=0o644, owner=owner)
