"""Reads requirements.txt as pip does, into texts that need no other file.

The format: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rigstack.errors import ConfigError
from rigstack.value import Value

ARCHIVES = (".whl", ".tar.gz", ".zip")
WHEELS = "/opt/inputs/wheels"


class LocalPackage(Value):
    """A folder of the project that is a package: its path below the project ("." is the project itself)."""

    path: str
    extras: tuple[str, ...] = ()


class Requirements(Value):
    """text, constraints: the lines with every include in place. wheels: archives in the project that they name."""

    text: str = ""
    constraints: str = ""
    local: tuple[LocalPackage, ...] = ()
    wheels: tuple[Path, ...] = ()


class _Line(Value):
    file: Path
    number: int
    text: str

    def wrong(self, what: str, remedy: str) -> ConfigError:
        return ConfigError(f"{self.file}:{self.number}: {self.text.strip()}: {what}", remedy=remedy)


def read_requirements(path: Path) -> Requirements:
    """What the requirements file `path` asks for.

    Raises ConfigError, with the line, for a file or folder that is missing, leaves the project or includes itself.
    """
    return parse_requirements(path, _lines_of(path))


def parse_requirements(path: Path, lines: list[str]) -> Requirements:
    """Like read_requirements, for lines that stand in another kind of file at `path` (an environment.yml)."""
    top = path.parent.resolve()
    texts: list[str] = []
    constraints: list[str] = []
    local: dict[str, tuple[str, ...]] = {}
    wheels: list[Path] = []
    for line in _expanded(path, lines, (path,), top):
        if limits := re.fullmatch(r"\s*(?:-c|--constraint)(?:[ =]\s*|(?<=-c))([^#\s]+)\s*(#.*)?", line.text):
            if re.match(r"https?:", limits.group(1)):
                constraints.append(f"-c {limits.group(1)}")
                continue
            other = _inside(line, limits.group(1), top)
            constraints += [one.text for one in _expanded(other, _lines_of(other), (other,), top)]
            continue
        folder = _local(line, top)
        if folder is None:
            texts.append(_without_editable(line.text))
        elif folder[0].is_dir() and folder[1] == "links":
            wheels += sorted(one for one in folder[0].iterdir() if one.name.endswith(ARCHIVES))
            texts.append(f"--find-links {WHEELS}")
        elif folder[0].is_dir():
            name = str(folder[0].relative_to(top))
            local[name] = tuple(sorted({*local.get(name, ()), *filter(None, re.split(r"[\s,]+", folder[1]))}))
        else:
            wheels.append(folder[0])
            texts.append(f"{WHEELS}/{folder[0].name}" + (f"[{folder[1]}]" if folder[1] else ""))
    return Requirements(
        text="\n".join(texts) + "\n" if texts else "",
        constraints="\n".join(constraints) + "\n" if constraints else "",
        local=tuple(LocalPackage(path=name, extras=extras) for name, extras in sorted(local.items())),
        wheels=tuple(dict.fromkeys(wheels)),
    )


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as failed:
        raise ConfigError(f"cannot read {path}: {failed}", remedy="it must be a readable text file in UTF-8") from None


def _expanded(path: Path, lines: list[str], seen: tuple[Path, ...], top: Path) -> Iterator[_Line]:
    """The lines with `-r other.txt` replaced by those files' lines."""
    for number, text in enumerate(lines, 1):
        line = _Line(file=path, number=number, text=text)
        include = re.fullmatch(r"\s*(?:-r|--requirement)(?:[ =]\s*|(?<=-r))([^#\s]+)\s*(#.*)?", text)
        if include is None:
            yield line
            continue
        other = _inside(line, include.group(1), top)
        if other in (one.resolve() for one in seen):
            names = " -> ".join(one.name for one in (*seen, other))
            raise ConfigError(f"{path} includes itself: {names}", remedy="take one of these -r lines out")
        yield from _expanded(other, _lines_of(other), (*seen, other), top)


def _inside(line: _Line, name: str, top: Path) -> Path:
    other = (line.file.parent / name).resolve()
    if not other.is_file() or not other.is_relative_to(top):
        raise line.wrong(
            "there is no such file in the project", "mend the line; included files must be inside the project's folder"
        )
    return other


def _local(line: _Line, top: Path) -> tuple[Path, str] | None:
    """The folder or archive that a line names and its extras ("links" for --find-links); None for any other line."""
    words = re.sub(r"(^|\s)#.*$", "", line.text).strip()
    links = re.fullmatch(r"(?:-f|--find-links)[ =]\s*(?!https?:)(\S+)", words)
    if links:
        return _existing(line, links.group(1), top), "links"
    editable = re.match(r"(?:-e|--editable)[ =]?\s*", words)
    rest = words[editable.end() :] if editable else words
    rest = re.sub(r"^[\w.-]+(\[[^]]*\])?\s*@\s*(?=file:|\.)", "", rest).partition(" ;")[0].strip().strip("'\"")
    found = re.fullmatch(r"(?:file:(?://)?)?([^\[\s]+)(?:\[([^]]*)\])?", rest)
    if found is None or re.match(r"(git|hg|svn|bzr)\+|https?:", rest):
        return None
    name = found.group(1)
    looks_local = (
        editable or name.startswith((".", "/", "~")) or rest.startswith("file:") or name.endswith(ARCHIVES)
        or ("/" in name and not name.startswith("-"))
    )  # fmt: skip
    if not looks_local:
        return None
    return _existing(line, name, top), found.group(2) or ""


def _existing(line: _Line, name: str, top: Path) -> Path:
    """pip takes such a path from the current folder, people from the file's; both are tried."""
    for start in (line.file.parent, top):
        path = (start / name).resolve()
        if path.exists() and path.is_relative_to(top):
            return path
    raise line.wrong(
        "there is no such folder or file in the project", "mend the line; it must be inside the project's folder"
    )


def _without_editable(text: str) -> str:
    """uv installs from a repository, but not as editable; in an image that is no loss."""
    return re.sub(r"^\s*(?:-e|--editable)[ =]\s*(?=(git|hg|svn|bzr)\+)", "", text)
