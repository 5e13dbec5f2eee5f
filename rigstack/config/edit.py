"""Changes single settings in the text of a rig.toml, and leaves its comments and everything else as they are."""

from __future__ import annotations

from typing import Any

from rigstack.errors import ConfigError


def with_key(source: str, entry: str) -> str:
    """rig.toml with one more entry in [access] authorized_keys; as it is when the same key is there.

    Raises ConfigError for a text that is not TOML, or has no list where the list should be.
    """
    document, keys = _keys(source)
    if _same(entry) in {_same(str(one)) for one in keys}:
        return source
    keys.append(entry)
    if len(entry) > 40:
        keys.multiline(True)
    return str(document.as_string())


def without_key(source: str, entry: str) -> str:
    """rig.toml without the entry that is exactly `entry`. Raises ConfigError when it is not there."""
    document, keys = _keys(source)
    for number, one in enumerate(keys):
        if str(one) == entry:
            del keys[number]
            return str(document.as_string())
    raise ConfigError(f"access.authorized_keys has no entry {entry[:60]!r}", remedy="rigstack key list")


def _same(entry: str) -> str:
    """What makes two entries one: the key itself, without its comment."""
    return entry if entry.startswith(("github:", "file:")) else " ".join(entry.split()[:2])


def _keys(source: str) -> tuple[Any, Any]:
    import tomlkit
    import tomlkit.exceptions

    try:
        document = tomlkit.parse(source)
    except tomlkit.exceptions.ParseError as broken:
        raise ConfigError(f"rig.toml is not valid TOML: {broken}", remedy="rigstack config check") from None
    if "access" not in document:
        document["access"] = tomlkit.table()
    access: Any = document["access"]
    if "authorized_keys" not in access:
        access["authorized_keys"] = tomlkit.array()
    keys = access["authorized_keys"]
    if not isinstance(keys, list):
        raise ConfigError("rig.toml: access.authorized_keys is not a list", remedy="rigstack config check")
    return document, keys


def with_project(source: str, name: str) -> str:
    """rig.toml with a table [projects.NAME] at its end; as it is when there is one already."""
    if name in _projects(source):
        return source
    return source.rstrip("\n") + f"\n\n[projects.{name}]\n"


def without_project(source: str, name: str) -> str:
    """rig.toml without the project's tables; comments between tables stay. Raises ConfigError when it is not there."""
    import re
    import tomllib

    projects = _projects(source)
    if name not in projects:
        raise ConfigError(
            f'rig.toml has no project "{name}"', remedy="projects: " + (", ".join(projects) or "none yet")
        )
    quoted = rf"(?:{name}|\"{name}\"|'{name}')"
    header = rf"^[ \t]*\[projects\.{quoted}(?:\.[^\]\n]*)?\][^\n]*\n"
    body = r"(?:(?![ \t]*\[)(?:[^\n]*\n)*?[ \t]*[^#\s\[][^\n]*\n(?=(?:[ \t]*(?:#[^\n]*)?\n)*(?:[ \t]*\[|\Z)))?"
    text = re.sub(header + body, "", source if source.endswith("\n") else source + "\n", flags=re.M)
    wanted = tomllib.loads(source)
    del wanted["projects"][name]
    left = tomllib.loads(text)
    if {**left, "projects": left.get("projects", {})} == wanted:
        return re.sub(r"\n{3,}", "\n\n", text)
    import tomlkit

    document: Any = tomlkit.parse(source)
    del document["projects"][name]
    return str(document.as_string())


def _projects(source: str) -> dict[str, Any]:
    import tomllib

    try:
        projects = tomllib.loads(source).get("projects", {})
    except tomllib.TOMLDecodeError as broken:
        raise ConfigError(f"rig.toml is not valid TOML: {broken}", remedy="rigstack config check") from None
    return projects if isinstance(projects, dict) else {}


def with_dependencies(source: str, lines: tuple[str, ...]) -> str:
    """pyproject.toml with these requirements: each in the place of the one that names its package, else in [project].

    That place may be in a group or an extra; extras, markers and comments of what is replaced stay.
    """
    import re

    import tomlkit

    from rigstack.render.requirements import changed_line

    def plain(line: object) -> str:
        return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", str(line).strip(), maxsplit=1)[0]).lower()

    document: Any = tomlkit.parse(source)
    listed = document["project"].setdefault("dependencies", tomlkit.array())
    tables = (document.get("dependency-groups", {}), document["project"].get("optional-dependencies", {}))
    lists = [listed, *(one for table in tables for one in table.values())]
    for line in lines:
        places = [(one, number) for one in lists for number, old in enumerate(one) if plain(old) == plain(line)]
        if places:
            there, number = places[0]
            there[number] = changed_line(str(there[number]), line)
        else:
            listed.append(line)
    return str(document.as_string())
