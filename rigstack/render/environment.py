"""Writes packages into the pip part of an environment.yml, and leaves every other line of it as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rigstack.render.requirements import changed_line, named_versions


def with_pip_lines(text: str, lines: Mapping[str, str]) -> str | None:
    """The file with each package's line below pip:, in the place of the one that names it, else at the end.

    lines: package name -> "name==version", "name @ URL" or "-e ./folder". None where that cannot be done safely: the
    file is not written an item a line, or conda's own list names one of the packages.
    """
    rows = text.splitlines()
    if (pip := _row(rows, r" *- +pip:\s*(#.*)?$")) is None:
        if (head := _row(rows, r"dependencies:\s*(#.*)?$")) is None:
            return None
        pip = _last_item(rows, head, least=0) + 1
        rows.insert(pip, re.match(r" *", rows[pip - 1])[0] + "- pip:")  # type: ignore[index]
    indent = rows[pip].index("-")
    last = _last_item(rows, pip, least=indent + 1)
    prefix = re.match(r" *- +", rows[last])[0] if last > pip else " " * (indent + 4) + "- "  # type: ignore[index]
    left = {next(iter(named_versions(line)), name): line for name, line in lines.items()}
    for number in range(pip + 1, last + 1):
        item = rows[number].removeprefix(prefix)
        for name in left.keys() & named_versions(item) if item != rows[number] else ():
            rows[number] = prefix + changed_line(item, left.pop(name))
    rows[last + 1 : last + 1] = [prefix + line for line in left.values()]
    changed = "\n".join(rows) + "\n"
    return changed if _says(text, changed, lines) else None


def _row(rows: list[str], pattern: str) -> int | None:
    return next((number for number, row in enumerate(rows) if re.match(pattern, row)), None)


def _last_item(rows: list[str], head: int, *, least: int) -> int:
    """The last row of the list below row `head` whose dashes stand in column `least` or further; `head` without one."""
    last = head
    for number in range(head + 1, len(rows)):
        row = rows[number].rstrip()
        if re.match(r" *- ", row) and row.index("-") >= least:
            last = number
        elif row and not row.lstrip().startswith("#"):
            break
    return last


def _says(before: str, after: str, lines: Mapping[str, str]) -> bool:
    """Whether `after` says the same as `before`, but for these lines in its pip part."""
    import yaml

    try:
        (old, old_pip), (new, new_pip) = _parts(yaml.safe_load(before)), _parts(yaml.safe_load(after))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        return False
    conda = {re.split(r"[^\w.-]", str(one).rpartition("::")[2])[0].lower() for one in old["dependencies"]}
    there, now = named_versions("\n".join(old_pip)), named_versions("\n".join(new_pip))
    wanted = named_versions("\n".join(lines.values()))
    added = [line for line in lines.values() if not named_versions(line).keys() & there.keys()]
    return (
        old == new
        and len(yaml.safe_load(after)["dependencies"]) == len(new["dependencies"]) + 1
        and not conda & wanted.keys()
        and len(new_pip) == len(old_pip) + len(added)
        and now == {**there, **wanted}
        and {line for line in lines.values() if not named_versions(line)} <= set(new_pip)
    )


def _parts(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The document without its pip part, and that."""
    rest = [one for one in document["dependencies"] if not (isinstance(one, dict) and set(one) == {"pip"})]
    pip = [str(line) for one in document["dependencies"] if one not in rest for line in one["pip"] or ()]
    return {**document, "dependencies": rest}, pip
