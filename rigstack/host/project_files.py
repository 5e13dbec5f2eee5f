"""Reads the files of a project's repository that go into its image, by the conventions people know."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from rigstack.config.devcontainer import Devcontainer, load_devcontainer
from rigstack.errors import ConfigError
from rigstack.plan.host import Copy, OwnDockerfile, ProjectInputs

if TYPE_CHECKING:
    from rigstack.host.project import conda

# file in the repository -> name in the build context; each is optional.
CONVENTIONS = {"apt.txt": "apt.txt", "postBuild": "postBuild"}
PYTHON_FILES = ("requirements.txt", "pyproject.toml", "environment.yml", "apt.txt", "postBuild")


def read_project_inputs(folder: Path, build: str = "auto") -> ProjectInputs:
    """What goes into the image of the project in `folder`.

    build: which of its files count: "files", "dockerfile", "devcontainer", or "auto": a devcontainer.json that names
    an image or a Dockerfile, else a Dockerfile, else the files.
    Raises ConfigError that names an unreadable or wrong file.
    """
    devcontainer = load_devcontainer(folder) if build in ("auto", "devcontainer") else None
    if devcontainer is not None and (devcontainer.image or devcontainer.dockerfile or build == "devcontainer"):
        return _from_devcontainer(folder, devcontainer)
    if build == "devcontainer":
        raise _no_such_file(folder, ".devcontainer/devcontainer.json", build)
    if build != "files" and (folder / "Dockerfile").is_file():
        own = _own_dockerfile(folder, "Dockerfile", folder)
        return ProjectInputs(dockerfile=own, notes=(*_unused(folder, "Dockerfile"), *_whole_folder(own)))
    if build == "dockerfile":
        raise _no_such_file(folder, "Dockerfile", build)
    inputs = _from_files(folder)
    if devcontainer is None:
        return inputs
    return _with_devcontainer(inputs, devcontainer)


def _with_devcontainer(inputs: ProjectInputs, given: Devcontainer) -> ProjectInputs:
    """What a devcontainer.json says besides what the image is made of."""
    files = {"postCreate": given.post_create, "links": "".join(f"{place}\t{to}\n" for place, to in given.links)}
    return inputs.replace(
        files=(*inputs.files, *((name, text) for name, text in files.items() if text)),
        notes=(*given.reports, *inputs.notes),
        volumes=given.volumes,
    )


def _from_files(folder: Path) -> ProjectInputs:
    from rigstack.host.project import packages, requirements

    staged: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    for name, target in CONVENTIONS.items():
        if (text := _read(folder / name)) is not None:
            staged[target] = text
    local: dict[str, tuple[str, ...]] = {}
    locked: frozenset[str] = frozenset()
    pyproject = _read(folder / "pyproject.toml")
    lock = _read(folder / "uv.lock")
    document = {} if pyproject is None else packages.parse_pyproject(folder / "pyproject.toml", pyproject)
    has_project = "project" in document
    if pyproject is not None and has_project:
        staged["pyproject/pyproject.toml"] = packages.without_tools(pyproject, document)
        if lock is not None:
            staged["pyproject/uv.lock"] = lock
        if "build-system" in document:
            local["."] = ()
        locked = frozenset({"."})
    python = ""
    wanted = requirements.Requirements()
    environment_file = folder / "environment.yml"
    if not environment_file.is_file():
        environment_file = folder / "environment.yaml"
    environment = _read(environment_file)
    if _read(folder / "requirements.txt") is not None:
        wanted = requirements.read_requirements(folder / "requirements.txt")
    if environment is not None and (wanted != requirements.Requirements() or has_project):
        notes += (
            f"{environment_file.name} is not used: requirements.txt or pyproject.toml says what the project needs",
        )
    elif environment is not None:
        from rigstack.host.project import conda

        found = conda.parse_environment(environment_file, environment)
        staged["environment.txt"] = _staged_environment(found)
        python = found.python
        notes += found.notes
        wanted = requirements.parse_requirements(environment_file, _lines_to_files(environment, found))
    for name, text in (("requirements.txt", wanted.text), ("constraints.txt", wanted.constraints)):
        if text:
            staged[name] = text
    for package in wanted.local:
        local[package.path] = package.extras
    chosen = tuple(requirements.LocalPackage(path=path, extras=extras) for path, extras in sorted(local.items()))
    of_packages, once = packages.stage_packages(
        folder, chosen, skip_dependencies=frozenset(path for path in locked if not local.get(path))
    )
    return ProjectInputs(
        files=tuple(sorted((staged | of_packages).items())),
        copies=tuple(_wheel(path) for path in wanted.wheels),
        python=python,
        notes=notes,
        once=once,
    )


def _wheel(path: Path) -> Copy:
    from rigstack.render.digest import digest

    return Copy(name=f"wheels/{path.name}", source=str(path), digest=digest(path.read_bytes()))


_LEADS_TO_FILES = re.compile(r"\s*(-[recf]|--(requirement|editable|constraint|find-links)\b|\.|(\S+\s*@\s*)?file:)")


def _staged_environment(found: conda.CondaEnvironment) -> str:
    """What images/base/lib/install-environment reads: a line for each, with what it is in front."""
    pip = (line for line in found.pip if not _LEADS_TO_FILES.match(line))
    lines = (
        *(f"conda {name} {requirement}" for name, requirement in found.wheels),
        *(f"debian {name} {package}" for name, package in found.debian),
        *(f"pip {line}" for line in pip),
    )
    return "".join(f"{line}\n" for line in lines)


def _lines_to_files(text: str, found: conda.CondaEnvironment) -> list[str]:
    """Lines of the pip part that name other files of the project, each where it stands in the file."""
    lines = text.splitlines()
    placed = [""] * len(lines)
    for wanted in filter(_LEADS_TO_FILES.match, found.pip):
        number = next((number for number, line in enumerate(lines) if wanted in line and not placed[number]), 0)
        placed[number] = wanted
    return placed if any(placed) else []


def _from_devcontainer(folder: Path, given: Devcontainer) -> ProjectInputs:
    where = (folder / given.file).parent
    if given.dockerfile:
        path = (where / given.dockerfile).resolve()
        context = (where / given.context).resolve()
        for one in (path, context):
            if not one.is_relative_to(folder.resolve()) or not one.exists():
                raise ConfigError(
                    f"{folder / given.file}: build: there is no {one} in the project",
                    remedy="dockerfile and context are relative to devcontainer.json and inside the project",
                )
        own = _own_dockerfile(context, str(path.relative_to(folder.resolve())), folder)
        own = own.replace(args=given.args, target=given.target)
    elif given.image:
        own = OwnDockerfile(name=given.file, text=f"FROM {given.image}\n")
    else:
        return _with_devcontainer(_from_files(folder), given)
    notes = (*_unused(folder, given.file), *_whole_folder(own))
    return _with_devcontainer(ProjectInputs(dockerfile=own, notes=notes), given)


def _own_dockerfile(context: Path, name: str, folder: Path) -> OwnDockerfile:
    from rigstack.host.project.context import context_files

    text = _read(folder / name)
    assert text is not None
    if not re.search(r"^\s*FROM\s", text, re.M | re.I):
        raise ConfigError(f"{folder / name} has no FROM line", remedy="a Dockerfile starts with FROM IMAGE")
    own_ignore = folder / (name + ".dockerignore")
    ignore = own_ignore if own_ignore.is_file() else context / ".dockerignore"
    # The engine's own frontend reads the same language; naming another one would have to be pulled.
    text = re.sub(r"\A#[ \t]*syntax[ \t]*=[ \t]*docker/dockerfile\S*", "#", text)
    return OwnDockerfile(name=name, text=text, copies=context_files(context, text, ignore))


def _unused(folder: Path, chosen: str) -> tuple[str, ...]:
    others = [name for name in PYTHON_FILES if (folder / name).is_file() and _installs(folder / name)]
    if not others:
        return ()
    return (
        f'{chosen} makes the image; {", ".join(others)} count only where it uses them (build = "files" reverses it)',
    )


def _installs(path: Path) -> bool:
    return path.name != "pyproject.toml" or "[project]" in (_read(path) or "")


def _whole_folder(own: OwnDockerfile) -> tuple[str, ...]:
    from rigstack.host.project.context import dockerfile_sources

    if not dockerfile_sources(own.text).everything:
        return ()
    return (f"{own.name} copies the whole folder, so every edit rebuilds; copy only what the build needs",)


def _no_such_file(folder: Path, name: str, build: str) -> ConfigError:
    return ConfigError(
        f"there is no {folder / name}", cause=f'the project has build = "{build}"', remedy='write it, or build = "auto"'
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as failed:
        raise ConfigError(f"cannot read {path}: {failed}", remedy="it must be a readable text file in UTF-8") from None
