"""Reads rig.toml into a Rig, or raises one ConfigError that names every mistake with its place and remedy."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from rigstack.config.model import Access, Ddns, Images, Power, Project, Rig, Tls
from rigstack.config.schema import PROJECT, TABLES, Key, Unquoted, project_name, shown
from rigstack.errors import ConfigError


def load_rig(rig_dir: Path) -> Rig:
    """The rig described by rig_dir/rig.toml and by `[tool.rigstack]` in its projects' pyproject.toml.

    Raises ConfigError listing all mistakes of rig.toml at once. Mistakes in a project's own files are in Rig.broken, so
    that one project does not stand in the way of the others.
    """
    file = rig_dir / "rig.toml"
    try:
        source = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {file}",
            remedy="make a rig with `rigstack init`, or name one with --rig DIR",
        ) from None
    except (OSError, UnicodeDecodeError) as unreadable:
        raise ConfigError(f"{file} cannot be read: {unreadable}", remedy="mend the file or its mode") from None
    return parse_rig(source, rig_dir=rig_dir, file=str(file))


def parse_rig(source: str, *, rig_dir: Path, file: str = "rig.toml") -> Rig:
    """Like load_rig, from text; rig_dir is where relative paths and code/ are."""
    document = _toml(source, file)
    problems = _Problems(file=file, source=source)
    tables: dict[str, dict[str, Any]] = {}
    for table, keys in TABLES.items():
        if table == "ddns" and "ddns" not in document:
            continue
        tables[table] = _table(problems, table, document.get(table, {}), keys)
    for table in document:
        if table not in TABLES and table != "projects":
            problems.unknown(table, "", [*TABLES, "projects"])
    projects, broken = _projects(problems, document.get("projects", {}), rig_dir)
    rig_hostname = tables["rig"].get("hostname", "")
    _cross_checks(problems, tables, projects, rig_hostname)
    problems.raise_if_any()

    ddns = tables.get("ddns")
    return Rig(
        dir=str(rig_dir),
        name=tables["rig"]["name"],
        hostname=rig_hostname,
        access=Access(**tables["access"]),
        tls=Tls(**tables["tls"]),
        ddns=_ddns(ddns, rig_hostname) if ddns else None,
        power=Power(**tables["power"]),
        gpu_mode=tables["gpu"]["mode"],
        gpu_history=tables["gpu"]["history"],
        images=Images(**tables["images"]),
        projects=tuple(Project(name=name, **values) for name, values in projects.items()),
        broken=broken,
    )


def _ddns(given: dict[str, Any], rig_hostname: str) -> Ddns:
    """[ddns] with what follows from other keys: its hostname is the rig's, its zone what is above the hostname."""
    hostname = given["hostname"] or rig_hostname
    return Ddns(**{**given, "hostname": hostname, "zone": given["zone"] or hostname.partition(".")[2]})


class _Problems:
    """Collects mistakes as lines: place, value, what was expected."""

    def __init__(self, *, file: str, source: str) -> None:
        self.file = file
        self.source = source
        self.lines: list[str] = []

    def add(self, key_path: str, message: str) -> None:
        self.lines.append(f"{self.file}{self._line(key_path)}: {key_path}: {message}")

    def wrong(self, key_path: str, value: object, expected: object) -> None:
        self.add(key_path, f"{shown(value)} is not right; expected {expected}")

    def unknown(self, key: str, table: str, known: list[str]) -> None:
        import difflib

        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
        kind = "key" if table else "table"
        self.add(f"{table}.{key}" if table else key, f"there is no such {kind}{hint}")

    def _line(self, key_path: str) -> str:
        """ ":12" when the table's or key's line can be found in the text, else ""."""
        table, _, key = key_path.rpartition(".")
        at = self._header(key_path)
        if at is None:
            header = self._header(table) if table else 0
            if header is None:
                return ""
            body = self.source[header:]
            end = re.search(r"^[ \t]*\[", body, re.M)
            found = re.search(rf"^[ \t]*{re.escape(key)}[ \t]*=", body[: end.start() if end else None], re.M)
            if not table and found is None:
                return ""
            at = header + (found.start() if found else 0)
        return f":{self.source.count(chr(10), 0, at) + 1}"

    def _header(self, table: str) -> int | None:
        """Where the line [table] ends; the name after the first dot may stand in quotes."""
        first, _, rest = table.partition(".")
        name = re.escape(rest)
        pattern = re.escape(first) + (rf"\.(?:{name}|\"{name}\"|'{name}')" if rest else "")
        found = re.search(rf"^[ \t]*\[\[?[ \t]*{pattern}[ \t]*\]", self.source, re.M)
        return found.end() if found else None

    def raise_if_any(self) -> None:
        if self.lines:
            count = len(self.lines)
            raise ConfigError(
                f"{self.file} has {count} mistake{'s' if count > 1 else ''}",
                details=tuple(self.lines),
                remedy="mend the lines named above; `rigstack config reference` explains every key",
            )


def _toml(source: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as broken:
        raise ConfigError(
            f"{file} is not valid TOML: {broken}",
            cause="often a missing quote or bracket, or a table or key that stands twice",
            remedy="mend that line",
        ) from None


def _table(problems: _Problems, table: str, given: object, keys: dict[str, Key]) -> dict[str, Any]:
    if not isinstance(given, dict):
        problems.wrong(table, given, f"a table: [{table}]")
        given = {}
    values: dict[str, Any] = {}
    for key, rule in keys.items():
        if key not in given:
            if rule.required:
                problems.add(f"{table}.{key}", "is missing and has no default")
            values[key] = rule.default
            continue
        try:
            values[key] = rule.parse(given[key])
        except Unquoted as wrong:
            problems.add(f"{table}.{key}", f"expected {wrong}")
            values[key] = rule.default
        except ValueError as wrong:
            problems.wrong(f"{table}.{key}", given[key], wrong)
            values[key] = rule.default
    for key in given:
        if key not in keys:
            problems.unknown(key, table, list(keys))
    return values


def _projects(
    problems: _Problems, given: object, rig_dir: Path
) -> tuple[dict[str, dict[str, Any]], dict[str, ConfigError]]:
    """The settings of each project, and what is wrong in the files of some."""
    if not isinstance(given, dict):
        problems.wrong("projects", given, "one table a project: [projects.NAME]")
        return {}, {}
    projects: dict[str, dict[str, Any]] = {}
    broken: dict[str, ConfigError] = {}
    for name, settings in given.items():
        own: dict[str, Any] = {}
        try:
            own = _own_settings(rig_dir / "code" / project_name(name), settings)
        except ValueError as wrong:
            problems.wrong(f"projects.{name}", name, wrong)
        except ConfigError as wrong:
            broken[name] = wrong
        projects[name] = {**_table(problems, f"projects.{name}", settings, PROJECT), **own}
    return projects, broken


def _own_settings(folder: Path, over: object) -> dict[str, Any]:
    """`[tool.rigstack]` of the project's own pyproject.toml, without the keys of `over`: rig.toml's words win.

    Raises ConfigError for mistakes in the project's files.
    """
    carried = _carried(folder, over)
    file = folder / "pyproject.toml"
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return carried
    if "[tool.rigstack" not in source:
        return carried
    tool = _toml(source, str(file)).get("tool")
    given = tool.get("rigstack", {}) if isinstance(tool, dict) else {}
    if isinstance(given, dict) and isinstance(over, dict):
        given = {key: value for key, value in given.items() if key not in over}
    there = _Problems(file=str(file), source=source)
    values = _table(there, "tool.rigstack", given, PROJECT)
    there.raise_if_any()
    own = {key: values[key] for key in given if key in PROJECT} if isinstance(given, dict) else {}
    return {**carried, **own}


def _carried(folder: Path, over: object) -> dict[str, Any]:
    """Environment and ports of the project's devcontainer.json; every other place that names them wins."""
    if not (folder / ".devcontainer").is_dir() and not (folder / ".devcontainer.json").is_file():
        return {}
    from rigstack.config.devcontainer import load_devcontainer

    build = over.get("build", "auto") if isinstance(over, dict) else "auto"
    given = load_devcontainer(folder) if build in ("auto", "devcontainer") else None
    if given is None:
        return {}
    found: dict[str, Any] = {"env": given.env, "ports": given.ports}
    return {key: value for key, value in found.items() if value and not (isinstance(over, dict) and key in over)}


def _cross_checks(
    problems: _Problems, tables: dict[str, dict[str, Any]], projects: dict[str, dict[str, Any]], host: str
) -> None:
    access = tables["access"]
    taken: dict[int, str] = {}
    ports = [(f"access.{key}", access[key]) for key in ("ssh_port", "https_port", "http_port")]
    ports += [(f"projects.{name}.ssh_port", values["ssh_port"]) for name, values in projects.items()]
    for key_path, number in ports:
        if number is None:
            continue
        if number in taken:
            problems.add(key_path, f"port {number} is taken by {taken[number]}; give each a port of its own")
        taken[number] = key_path
    tls = tables["tls"]
    if tls["mode"] == "acme" and not host:
        problems.add("tls.mode", '"acme" needs a public name; set rig.hostname')
    if tls["mode"] == "files":
        for key in ("certificate", "key"):
            if not tls[key]:
                problems.add(f"tls.{key}", 'is missing; mode "files" needs it')
    if tls["dns"]:
        if tls["mode"] in ("internal", "files"):
            problems.add("tls.dns", f'is for "acme" and "auto", and mode is "{tls["mode"]}"')
        elif not host:
            problems.add("tls.dns", "needs a public name; set rig.hostname")
        if not tls["caddy_image"]:
            problems.add("tls.caddy_image", "is missing; tls.dns needs a Caddy with that module (docs/tls.md)")
    elif tls["dns_settings"] or tls["dns_resolver"]:
        problems.add("tls.dns", "is missing; dns_settings and dns_resolver need it")
    if "ddns" in tables:
        _ddns_checks(problems, tables["ddns"], host)


# What each provider cannot do without, besides a hostname and a password.
_DDNS_NEEDS = {
    "no-ip": ("username",),
    "dynu": ("username",),
    "freedns": ("username",),
    "dyndns2": ("server",),
    "rfc2136": ("server", "username"),
}


def _ddns_checks(problems: _Problems, ddns: dict[str, Any], host: str) -> None:
    name = ddns["hostname"] or host
    if not name:
        problems.add("ddns.hostname", "is missing; set it or rig.hostname")
    for key in _DDNS_NEEDS.get(ddns["provider"], ()):
        if not ddns[key] and not any(f" ddns.{key}: " in line for line in problems.lines):
            problems.add(f"ddns.{key}", f'is missing; provider "{ddns["provider"]}" needs it')
    if name and ddns["zone"] and not f".{name}".endswith(f".{ddns['zone']}"):
        problems.add("ddns.zone", f"{name} is not in {ddns['zone']}")
