"""Packages that somebody installed by hand in a container: read from the home's environment, no container needed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rigstack.value import Value

SETS = ".local/share/rigstack"


class HandInstalled(Value):
    """requested: asked for by name, not brought along by another. extras: what seems to have been asked for with it.

    source: the URL that pip took it from, "" for an index. path: the folder or file in the container that it was
    installed from, "" for none; editable: whether that folder itself is used. requires: names of what it brings along.
    """

    name: str
    version: str
    requested: bool
    source: str = ""
    path: str = ""
    editable: bool = False
    extras: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()

    def line(self, project: str) -> str:
        """The line of the project's requirements.txt, "" for what lies outside the project's folder."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        if self.path:
            if (inside := self.inside(project)) is None:
                return ""
            return f"{'-e ' if self.editable else ''}{'.' if inside == '.' else './' + inside}{extras}"
        return f"{self.name}{extras} @ {self.source}" if self.source else f"{self.name}{extras}=={self.version}"

    def inside(self, project: str) -> str | None:
        """Where below the project's folder its path is; None when it is elsewhere."""
        path = Path(self.path)
        folder = Path("/code") / project
        return str(path.relative_to(folder)) if self.path and path.is_relative_to(folder) else None


class HandSets(Value):
    """packages: of the set in use. aside: other Pythons' sets that are not in use -> how many packages they hold."""

    packages: tuple[HandInstalled, ...] = ()
    aside: tuple[tuple[str, int], ...] = ()


def plain_name(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def observe_hand_installed(home: Path) -> HandSets:
    """What is installed by hand in a project's home (homes/NAME); nothing when it was never started."""
    current = set_in_use(home)
    sets = sorted(path for path in (home / SETS).glob("env-*") if path.is_dir())
    packages = {path.name: _packages(path) for path in sets}
    return HandSets(
        packages=packages.get(current, ()),
        aside=tuple((name, len(found)) for name, found in packages.items() if name != current and found),
    )


def set_in_use(home: Path) -> str:
    """The name of the set that the containers of this home use, "" before their first start."""
    try:
        return (home / ".env").readlink().name
    except OSError:
        return ""


def _packages(environment: Path) -> tuple[HandInstalled, ...]:
    heads = [head for path in environment.glob("lib/python*/site-packages/*.dist-info") if (head := _head(path))]
    names = {plain_name(head["Name"][0]) for _, head in heads}
    needed = {name for _, head in heads for name in _required(head)}
    found = (_package(info, head, names, needed) for info, head in heads)
    return tuple(sorted(found, key=lambda one: plain_name(one.name)))


def _head(info: Path) -> tuple[Path, dict[str, list[str]]] | None:
    """The fields of METADATA in a *.dist-info folder; None for one that is not whole.

    Source: https://packaging.python.org/en/latest/specifications/recording-installed-packages
    """
    try:
        text = (info / "METADATA").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return None
    head: dict[str, list[str]] = {}
    for key, value in re.findall(r"^([A-Za-z-]+): (.+)$", text, re.M):
        head.setdefault(key, []).append(value.strip())
    return (info, head) if "Name" in head and "Version" in head else None


def _required(head: dict[str, list[str]], extra: str = "") -> set[str]:
    """What a package requires, by itself or for one of its extras; other conditions are taken as met."""
    names = set()
    for line in head.get("Requires-Dist", ()):
        wanted = re.search(r"extra\s*==\s*[\"']([^\"']+)[\"']", line)
        if (plain_name(wanted.group(1)) if wanted else "") == plain_name(extra):
            names.add(plain_name(re.split(r"[^\w.-]", line, maxsplit=1)[0]))
    return names


def _package(info: Path, head: dict[str, list[str]], names: set[str], needed: set[str]) -> HandInstalled:
    """names: of all packages of the set; needed: those that some package requires without any extra.

    Which extras were asked for is written nowhere: one was whose packages are all there, not all for another's sake.
    """
    extras = tuple(
        extra
        for extra in sorted(head.get("Provides-Extra", ()))
        if (brings := _required(head, extra)) and brings <= names and not brings <= needed
    )
    requires = _required(head).union(*(_required(head, extra) for extra in extras))
    given = HandInstalled(
        name=head["Name"][0],
        version=head["Version"][0],
        requested=(info / "REQUESTED").exists(),
        extras=extras,
        requires=tuple(sorted(requires & names)),
    )
    return _with_source(given, info / "direct_url.json")


def _with_source(given: HandInstalled, file: Path) -> HandInstalled:
    """Source: https://packaging.python.org/en/latest/specifications/direct-url-data-structure"""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        url = urlsplit(str(said["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return given
    if url.scheme == "file" and "vcs_info" not in said:
        folder = said.get("dir_info")
        editable = isinstance(folder, dict) and bool(folder.get("editable"))
        return given.replace(path=unquote(url.path).rstrip("/"), editable=editable)
    user = url.username if url.scheme == "ssh" else None  # of any other scheme it may be a token
    place = (f"{user}@" if user else "") + url.netloc.rpartition("@")[2]
    plain = url._replace(netloc=place).geturl()
    part = f"#subdirectory={said['subdirectory']}" if said.get("subdirectory") else ""
    vcs = said.get("vcs_info")
    if isinstance(vcs, dict):
        return given.replace(source=f"{vcs.get('vcs', 'git')}+{plain}@{vcs.get('commit_id', '')}{part}")
    return given.replace(source=plain + part)
