"""`rigstack project diff` and `freeze`: what was installed by hand against what the project's files say."""

from __future__ import annotations

from pathlib import Path

import click

from rigstack.cli import console
from rigstack.cli.project import project
from rigstack.cli.rig import known_projects, rig_of
from rigstack.errors import ConfigError
from rigstack.host.hand_installed import HandInstalled, HandSets, observe_hand_installed, plain_name
from rigstack.render.requirements import named_versions, with_lines
from rigstack.value import Value


class _Difference(Value):
    """One package installed by hand. said: what the files say of it, None when they do not name it."""

    package: HandInstalled
    said: str | None

    @property
    def written(self) -> bool:
        return self.said == f"=={self.package.version}" or bool(self.package.source and self.said is not None)


def _differences(folder: Path, sets: HandSets) -> list[_Difference]:
    named = _named(folder)
    found = (_Difference(package=one, said=named.get(plain_name(one.name))) for one in sets.packages)
    return [one for one in found if not one.written]


def _named(folder: Path) -> dict[str, str]:
    """Every package that the project's files name -> its specifier."""
    from rigstack.host.project.packages import parse_pyproject
    from rigstack.host.project_files import read_project_inputs

    files = dict(read_project_inputs(folder, "files").files)
    named = named_versions(files.get("requirements.txt", ""))
    pyproject = folder / "pyproject.toml"
    if pyproject.is_file():
        document = parse_pyproject(pyproject, pyproject.read_text(encoding="utf-8"))
        named |= named_versions("\n".join(document.get("project", {}).get("dependencies", ())))
    return named


@project.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def diff(context: click.Context, name: str, as_json: bool) -> None:
    """What is installed by hand in NAME and not written down in its files."""
    place, rig = rig_of(context)
    known_projects(rig, (name,))
    sets = observe_hand_installed(place.homes / name)
    found = _differences(place.code / name, sets)
    if as_json:
        packages = [
            {
                "name": one.package.name,
                "version": one.package.version,
                "requested": one.package.requested,
                "files": one.said,
            }
            for one in found
        ]
        console.result_json({"packages": packages, "set_aside": dict(sets.aside)})
        return
    asked = [one for one in found if one.package.requested]
    for one in asked:
        said = "" if one.said is None else f"   (the files say {one.said or 'any version'})"
        console.result(f"+ {one.package.line}{said}")
    if brought := len(found) - len(asked):
        console.note(f"and {brought} that these brought along")
    if not found:
        console.result("nothing is installed by hand that is not written down")
    else:
        console.note(f"next: rigstack project freeze {name}")
    for set_name, count in sets.aside:
        console.note(f"set aside, for another Python: {count} packages in ~/.local/share/rigstack/{set_name}")


@project.command()
@click.argument("name")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be written, and stop.")
@click.pass_context
def freeze(context: click.Context, name: str, dry_run: bool) -> None:
    """Write down what is installed by hand in NAME: into its requirements.txt, or pyproject.toml where that is all."""
    place, rig = rig_of(context)
    known_projects(rig, (name,))
    folder = place.code / name
    lines = {
        one.package.name: one.package.line
        for one in _differences(folder, observe_hand_installed(place.homes / name))
        if one.package.requested
    }
    if not lines:
        console.result("nothing to write down")
        return
    file, text = _frozen(folder, lines)
    if not dry_run:
        from rigstack.host.facts import code_owner
        from rigstack.host.files import write_file

        write_file(folder / file, text, mode=0o644, owner=code_owner(place.path))
    for line in lines.values():
        console.result(f"{file}: +{line}")
    if not dry_run:
        console.note(
            "next: rigstack up"
            if file != "pyproject.toml"
            else "next: `uv lock` if there is a uv.lock, then rigstack up"
        )


def _frozen(folder: Path, lines: dict[str, str]) -> tuple[str, str]:
    """The file to change and its new text. Raises ConfigError where writing it would change what the project is."""
    requirements, pyproject = folder / "requirements.txt", folder / "pyproject.toml"
    if requirements.is_file():
        return "requirements.txt", with_lines(requirements.read_text(encoding="utf-8"), lines)
    if pyproject.is_file() and "[project]" in (text := pyproject.read_text(encoding="utf-8")):
        from rigstack.config.edit import with_dependencies

        return "pyproject.toml", with_dependencies(text, tuple(lines.values()))
    for other in ("environment.yml", "Dockerfile", ".devcontainer", ".devcontainer.json"):
        if (folder / other).exists():
            raise ConfigError(
                f"{folder.name} has a {other}, which only its author can change",
                details=tuple(lines.values()),
                remedy=f"write these into what {other} installs",
            )
    return "requirements.txt", with_lines("", lines)
