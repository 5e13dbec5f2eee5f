"""`rigstack project diff` and `freeze`: what was installed by hand against what the project's files say."""

from __future__ import annotations

from pathlib import Path

import click

from rigstack.cli import console
from rigstack.cli.project import project
from rigstack.cli.rig import known_projects, rig_of
from rigstack.errors import ConfigError
from rigstack.host.hand_installed import HandInstalled, HandSets, observe_hand_installed, plain_name
from rigstack.plan.host import OwnDockerfile
from rigstack.render.requirements import named_versions, with_lines
from rigstack.value import Value


class _Difference(Value):
    """One package installed by hand. said: what the files say of it, None when they do not name it."""

    package: HandInstalled
    said: str | None


class _Named(Value):
    """What the project's files name. versions: package -> what they say of it. locked: package -> version in uv.lock.

    local: the paths of the project's own packages.
    """

    versions: dict[str, str]
    locked: dict[str, str]
    local: frozenset[str]

    def has(self, package: HandInstalled, project: str) -> bool:
        """Whether the package is written down just as it is installed."""
        if package.path:
            return package.inside(project) in self.local
        name = plain_name(package.name)
        said = self.versions.get(name)
        if package.source:
            return said == f"@{package.source}"
        return package.version in (self.locked.get(name), (said or "").removeprefix("=="))


def _differences(folder: Path, sets: HandSets) -> tuple[list[_Difference], int]:
    """What somebody asked for and is not written down, and how many packages came along with that."""
    named = _named(folder)
    missing = [one for one in sets.packages if not named.has(one, folder.name)]
    asked = {one.name for one in missing if one.requested}
    written = _brought(sets, {one.name for one in sets.packages if one.requested} - asked)
    brought = _brought(sets, asked) - written
    # Neither asked for nor brought along by anything that is still there: all that is left of something is on its own.
    shown = [one for one in missing if one.requested or plain_name(one.name) not in brought | written]
    found = [_Difference(package=one, said=named.versions.get(plain_name(one.name))) for one in shown]
    return found, sum(plain_name(one.name) in brought for one in missing if not one.requested)


def _brought(sets: HandSets, names: set[str]) -> set[str]:
    """The packages that these require, and what those do."""
    requires = {plain_name(one.name): one.requires for one in sets.packages}
    waiting, found = [plain_name(name) for name in names], set[str]()
    while waiting:
        new = set(requires.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def _named(folder: Path) -> _Named:
    from rigstack.host.project.packages import parse_pyproject
    from rigstack.host.project.requirements import read_requirements

    versions: dict[str, str] = {}
    local = set()
    if (folder / "requirements.txt").is_file():
        wanted = read_requirements(folder / "requirements.txt")
        versions |= named_versions(wanted.text)
        local |= {one.path for one in wanted.local}
    if (file := folder / "pyproject.toml").is_file():
        document = parse_pyproject(file, file.read_text(encoding="utf-8"))
        project, groups = document.get("project", {}), document.get("dependency-groups", {})
        lines = [*project.get("dependencies", ()), *(one for one in groups.get("dev", ()) if isinstance(one, str))]
        versions |= named_versions("\n".join(lines))
        local |= {"."} if "build-system" in document else set()
    elif (file := folder / "environment.yml").is_file() and not versions:
        from rigstack.host.project.conda import parse_environment

        given = parse_environment(file, file.read_text(encoding="utf-8"))
        versions |= named_versions("\n".join([*(line for _, line in given.wheels), *given.pip]))
    return _Named(versions=versions, locked=_locked(folder / "uv.lock"), local=frozenset(local))


def _locked(lock: Path) -> dict[str, str]:
    import tomllib

    try:
        packages = tomllib.loads(lock.read_text(encoding="utf-8")).get("package", ())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
    return {plain_name(one["name"]): one["version"] for one in packages if "name" in one and "version" in one}


@project.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def diff(context: click.Context, name: str, as_json: bool) -> None:
    """What is installed by hand in NAME and not written down in its files."""
    place, rig = rig_of(context)
    known_projects(rig, (name,))
    sets = observe_hand_installed(place.homes / name)
    found, brought = _differences(place.code / name, sets)
    if as_json:
        packages = [
            {
                "name": one.package.name,
                "version": one.package.version,
                "requested": one.package.requested,
                "line": one.package.line(name),
                "from": one.package.path or one.package.source,
                "files": one.said,
            }
            for one in found
        ]
        console.result_json({"packages": packages, "brought_along": brought, "set_aside": dict(sets.aside)})
        return
    for one in found:
        said = "" if one.said is None else f"   (the files say {one.said or 'any version'})"
        outside = f"{one.package.name} from {one.package.path}, which is not in the project's folder"
        console.result(f"+ {one.package.line(name) or outside}{said}")
    if brought:
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
    """Write down what is installed by hand in NAME: into its requirements.txt, pyproject.toml or environment.yml."""
    place, rig = rig_of(context)
    known_projects(rig, (name,))
    from rigstack.host.project_files import read_project_inputs

    folder = place.code / name
    found, _ = _differences(folder, observe_hand_installed(place.homes / name))
    lines = {one.package.name: line for one in found if (line := one.package.line(name))}
    for one in found:
        if not one.package.line(name):
            console.warn(
                f"{one.package.name} is from {one.package.path}, which no image has: move it into {place.code / name}"
            )
    if not lines:
        console.result("nothing to write down")
        return
    settings = rig.project(name)
    given = read_project_inputs(folder, settings.build if settings else "auto")
    file, text = _frozen(folder, lines, given.dockerfile)
    if not dry_run:
        from rigstack.host.facts import code_owner
        from rigstack.host.files import write_file

        write_file(folder / file, text, mode=0o644, owner=code_owner(place.path))
    for line in lines.values():
        console.result(f"{file}: +{line}")
    if dry_run:
        return
    locked = file == "pyproject.toml" and (folder / "uv.lock").is_file()
    console.note(f"next: {f'`uv lock` in the workspace of {name}, then ' if locked else ''}rigstack up")


def _frozen(folder: Path, lines: dict[str, str], own: OwnDockerfile | None) -> tuple[str, str]:
    """The file to change and its new text. Raises ConfigError where writing it would change what the project is.

    own: what makes the project's image instead of its files, if anything does.
    """
    files = [str(folder / name) for name in ("requirements.txt", "pyproject.toml")]
    if own is not None and not {copy.source for copy in own.copies}.intersection(files):
        where = "a Dockerfile (`build` in it)" if own.name.endswith(".json") else "it"
        raise _by_its_author(
            f"{folder / own.name} makes the image, and only its author can change that",
            lines,
            f"write into {where}, such as RUN pip install {' '.join(lines.values())}",
        )
    requirements, pyproject = folder / "requirements.txt", folder / "pyproject.toml"
    if requirements.is_file():
        text = requirements.read_text(encoding="utf-8")
        if "--hash" in text:
            source = "requirements.in" if (folder / "requirements.in").is_file() else "what it was compiled from"
            raise _by_its_author(
                f"{requirements} has hashes", lines, f"write these into {source}, and compile it again"
            )
        return "requirements.txt", with_lines(text, lines)
    if pyproject.is_file() and "[project]" in (text := pyproject.read_text(encoding="utf-8")):
        from rigstack.config.edit import with_dependencies

        if local := {name: line for name, line in lines.items() if line.startswith(("-e", "."))}:
            remedy = "write them into [tool.uv.sources] of pyproject.toml, or into a requirements.txt"
            raise _by_its_author(f"{pyproject} cannot name folders among its dependencies", local, remedy)
        return "pyproject.toml", with_dependencies(text, tuple(lines.values()))
    for name in ("environment.yml", "environment.yaml"):
        if (folder / name).is_file():
            from rigstack.render.environment import with_pip_lines

            text = with_pip_lines((folder / name).read_text(encoding="utf-8"), lines) or ""
            if not text:
                what = (
                    f"{folder / name} cannot be changed safely: it names one of these itself, or is not an item a line"
                )
                raise _by_its_author(what, lines, f"write these below pip: in {name}")
            return name, text
    return "requirements.txt", with_lines("", lines)


def _by_its_author(what: str, lines: dict[str, str], remedy: str) -> ConfigError:
    return ConfigError(what, details=tuple(lines.values()), remedy=remedy)
