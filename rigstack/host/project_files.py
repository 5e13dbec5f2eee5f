"""Reads the files of a project's repository that go into its image, by the conventions people know."""

from __future__ import annotations

import re
from pathlib import Path

from rigstack.errors import ConfigError
from rigstack.plan.host import ProjectInputs

# file in the repository -> name in the build context; each is optional.
CONVENTIONS = {
    "apt.txt": "apt.txt",
    "postBuild": "postBuild",
    "pyproject.toml": "pyproject/pyproject.toml",
    "uv.lock": "pyproject/uv.lock",
}


def read_project_inputs(folder: Path) -> ProjectInputs:
    """What goes into the image of the project in `folder`. Raises ConfigError that names an unreadable file."""
    staged = {}
    for name, target in CONVENTIONS.items():
        text = _read(folder / name)
        if text is not None:
            staged[target] = text
    requirements = folder / "requirements.txt"
    if _read(requirements) is not None:
        staged["requirements.txt"] = flatten_requirements(requirements)
    return ProjectInputs(files=tuple(sorted(staged.items())))


def flatten_requirements(path: Path, seen: tuple[Path, ...] = ()) -> str:
    """The requirements file with its `-r other.txt` lines replaced by those files' lines (pip's file format).

    Raises ConfigError for an include that is missing, leaves the project or includes itself.
    """
    if path in seen:
        raise ConfigError(f"{path} includes itself: {' -> '.join(str(p.name) for p in (*seen, path))}")
    lines = []
    for number, line in enumerate((_read(path) or "").splitlines(), 1):
        include = re.fullmatch(r"\s*(?:-r|--requirement)(?:[ =]\s*|(?<=-r))([^#\s]+)\s*(#.*)?", line)
        if include is None:
            lines.append(line)
            continue
        other = (path.parent / include.group(1)).resolve()
        top = (seen[0] if seen else path).parent.resolve()
        if not other.is_file() or not other.is_relative_to(top):
            raise ConfigError(
                f"{path}:{number}: {line.strip()}: there is no such file in the project",
                remedy="mend the line; included files must be inside the project's folder",
            )
        lines.append(flatten_requirements(other, (*seen, path)).rstrip("\n"))
    return "\n".join(lines) + "\n"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as failed:
        raise ConfigError(f"cannot read {path}: {failed}", remedy="it must be a readable text file in UTF-8") from None
