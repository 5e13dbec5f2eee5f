"""Which packages a project's files name, and the files with further ones written down."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Blanks, name, extras, what is said of its version or place, and what follows: a marker, a comment, a continuation.
_LINE = re.compile(r"^(\s*)([A-Za-z0-9][\w.-]*)(\s*\[[^\]]*\])?\s*(.*?)((?:\s*;.*|\s+#.*|\s*\\.*)?)$")


def named_versions(text: str) -> dict[str, str]:
    """Package (compared as PEP 503 does) -> what the line says after its name: "==1.0", ">=2", "@git+...", ""."""
    found = (_LINE.match(line) for line in text.splitlines())
    return {_plain(one.group(2)): one.group(4).replace(" ", "") for one in found if one}


def with_lines(text: str, lines: Mapping[str, str]) -> str:
    """A requirements.txt with each package's line: in the place of the one that names it, else at the end.

    lines: package name -> "name==version", "name @ URL" or "-e ./folder". Extras, markers and comments of a replaced
    line stay.
    """
    left = {_plain(name): line for name, line in lines.items()}
    out = []
    for line in text.splitlines():
        found = _LINE.match(line)
        new = left.pop(_plain(found.group(2)), None) if found else None
        out.append(line if new is None else changed_line(line, new))
    return "\n".join([*out, *left.values()]) + "\n"


def changed_line(line: str, new: str) -> str:
    """`line` of a requirement, saying of the version what `new` says; its extras, marker and comment stay."""
    old, given = _LINE.match(line), _LINE.match(new)
    if old is None or given is None:
        return new
    blank = " " if given.group(4).startswith("@") else ""
    extras = old.group(3) or given.group(3) or ""
    return f"{old.group(1)}{old.group(2)}{extras}{blank}{given.group(4)}{old.group(5)}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
