"""Which packages a project's files name, and the files with further ones written down."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"^(\s*)([A-Za-z0-9][\w.-]*)(\s*\[[^\]]*\])?\s*([^#;\\]*)(.*)$")


def named_versions(text: str) -> dict[str, str]:
    """Package (compared as PEP 503 does) -> what the line says after its name: "==1.0", ">=2", ""."""
    named = {}
    for line in text.splitlines():
        found = _NAME.match(line)
        if found:
            named[_plain(found.group(2))] = found.group(4).replace(" ", "")
    return named


def with_lines(text: str, lines: Mapping[str, str]) -> str:
    """A requirements.txt with each package's line: in the place of the one that names it, else at the end.

    lines: package name -> "name==version". Extras, markers and comments of a replaced line stay.
    """
    left = {_plain(name): line for name, line in lines.items()}
    out = []
    for line in text.splitlines():
        found = _NAME.match(line)
        new = left.pop(_plain(found.group(2)), None) if found else None
        if found and new is not None:
            spec = new[re.match(r"[\w.-]+", new).end() :]  # type: ignore[union-attr]
            rest = f"  {found.group(5)}" if found.group(5).startswith("#") else found.group(5)
            out.append(f"{found.group(1)}{found.group(2)}{found.group(3) or ''}{spec}{rest}")
        else:
            out.append(line)
    return "\n".join([*out, *left.values()]) + "\n"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
