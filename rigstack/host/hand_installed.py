"""Packages that somebody installed by hand in a container: read from the home's environment, no container needed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rigstack.value import Value

SETS = ".local/share/rigstack"


class HandInstalled(Value):
    """requested: asked for by name, not brought along by another. source: "" or where pip took it from instead."""

    name: str
    version: str
    requested: bool
    source: str = ""

    @property
    def line(self) -> str:
        """The line of a requirements.txt."""
        return f"{self.name} @ {self.source}" if self.source else f"{self.name}=={self.version}"


class HandSets(Value):
    """packages: of the set in use. aside: other Pythons' sets that are not in use -> how many packages they hold."""

    packages: tuple[HandInstalled, ...] = ()
    aside: tuple[tuple[str, int], ...] = ()


def plain_name(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def observe_hand_installed(home: Path) -> HandSets:
    """What is installed by hand in a project's home (homes/NAME); nothing when it was never started."""
    try:
        current = (home / ".env").readlink().name
    except OSError:
        current = ""
    sets = sorted(path for path in (home / SETS).glob("env-*") if path.is_dir())
    packages = {path.name: _packages(path) for path in sets}
    return HandSets(
        packages=packages.get(current, ()),
        aside=tuple((name, len(found)) for name, found in packages.items() if name != current and found),
    )


def _packages(environment: Path) -> tuple[HandInstalled, ...]:
    found = [_package(path) for path in environment.glob("lib/python*/site-packages/*.dist-info")]
    return tuple(sorted((one for one in found if one is not None), key=lambda one: plain_name(one.name)))


def _package(info: Path) -> HandInstalled | None:
    """One *.dist-info folder (https://packaging.python.org/en/latest/specifications/recording-installed-packages)."""
    try:
        head = (info / "METADATA").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return None
    name, version = (re.search(rf"^{key}: (.+)$", head, re.M) for key in ("Name", "Version"))
    if name is None or version is None:
        return None
    return HandInstalled(
        name=name.group(1).strip(),
        version=version.group(1).strip(),
        requested=(info / "REQUESTED").exists(),
        source=_source(info / "direct_url.json"),
    )


def _source(file: Path) -> str:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    url = re.sub(r"://[^/@\s]+@", "://", str(said.get("url", "")))
    vcs = said.get("vcs_info")
    return f"{vcs.get('vcs', 'git')}+{url}@{vcs.get('commit_id', '')}" if isinstance(vcs, dict) else url
