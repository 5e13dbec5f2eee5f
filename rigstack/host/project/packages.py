"""A project's own packages: their dependencies go into the image, their code stays where it is and is only pointed to.

So editing code never rebuilds: the image holds the package's metadata, its commands and a .pth file with the folder
that is mounted at run time (https://docs.python.org/3/library/site.html).
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from rigstack.errors import ConfigError
from rigstack.host.project.requirements import LocalPackage

# Tables of pyproject.toml that concern tools and no build: editing them must not rebuild.
_TOOLS = frozenset(
    (
        *("autopep8", "bandit", "black", "bumpversion", "check-manifest", "codespell", "commitizen", "coverage"),
        *("cibuildwheel", "deptry", "docformatter", "flake8", "interrogate", "isort", "jupytext", "mypy", "nbqa"),
        *("pydocstyle", "pylint", "pyrefly", "pyright", "pytest", "ruff", "rigstack", "semantic_release", "tomlsort"),
        *("towncrier", "tox", "ty", "vulture", "yapf"),
    )
)
_COMPILED = ("maturin", "scikit_build_core", "mesonpy", "py_build_cmake", "setuptools_rust")
_SAID_BY_FILES = ("README*", "LICENSE*", "VERSION*", "MANIFEST.in", "requirements*")


def parse_pyproject(path: Path, text: str) -> dict[str, Any]:
    """The document. Raises ConfigError with the line of a mistake."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as broken:
        raise ConfigError(f"{path} is not valid TOML: {broken}", remedy="mend that line") from None


def without_tools(text: str, document: dict[str, Any]) -> str:
    """pyproject.toml without the tables of linters and the like; all of it when cutting would change the rest."""
    names = "|".join(sorted(_TOOLS))
    cut = re.sub(rf"^\[\[?tool\.(?:{names})(?:\.[^\]\n]*)?\]\]?.*\n(?:(?!\[).*\n?)*", "", text + "\n", flags=re.M)
    wanted = {**document}
    if isinstance(document.get("tool"), dict):
        kept = {name: table for name, table in document["tool"].items() if name not in _TOOLS}
        wanted = {**document, "tool": kept}
        if not kept:
            del wanted["tool"]
    try:
        return cut.rstrip("\n") + "\n" if tomllib.loads(cut) == wanted else text
    except tomllib.TOMLDecodeError:
        return text


def stage_packages(
    folder: Path, packages: tuple[LocalPackage, ...], *, skip_dependencies: frozenset[str] = frozenset()
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Staged files of the project's own packages, and notes on what of them needs a hand.

    skip_dependencies: paths of packages whose dependencies are installed by another way (uv.lock).
    Raises ConfigError for a folder that is no package.
    """
    staged: dict[str, str] = {}
    notes = []
    for number, package in enumerate(packages):
        where = folder / package.path
        pyproject = _read(where / "pyproject.toml")
        setup = _read(where / "setup.py")
        if pyproject is None and setup is None:
            raise ConfigError(
                f"{where} is no Python package: it has neither pyproject.toml nor setup.py",
                remedy="name a folder that has one, or take the line out of requirements.txt",
            )
        document = parse_pyproject(where / "pyproject.toml", pyproject or "")
        static = "project" in document and not document["project"].get("dynamic")
        base = f"local/{number}"
        if pyproject is not None:
            staged[f"{base}/pyproject.toml"] = without_tools(pyproject, document)
        if not static:
            staged |= {f"{base}/{name}": text for name, text in _said_by_files(where, setup)}
        staged[f"{base}/package.json"] = json.dumps(
            {
                "path": "/code/" + str(Path(folder.name) / package.path).removesuffix("/."),
                "extras": list(package.extras),
                "roots": _roots(where, document),
                "dependencies": package.path not in skip_dependencies,
            }
        )
        if _compiled(document, setup or ""):
            notes.append(f"{package.path} has compiled parts: run once in the workspace: pip install -e {package.path}")
    return staged, tuple(notes)


def _said_by_files(where: Path, setup: str | None) -> list[tuple[str, str]]:
    """What a setup.py may read to say what it needs."""
    found: list[tuple[str, str | None]] = [("setup.py", setup)]
    for pattern in ("setup.cfg", *_SAID_BY_FILES):
        found += [(path.name, _read(path)) for path in sorted(where.glob(pattern)) if path.is_file()]
    return [(name, text) for name, text in found if text is not None]


def _roots(where: Path, document: dict[str, Any]) -> list[str]:
    """The folders, below the package's, that hold its importable code: what its build says, else src/, else itself."""
    tool = document.get("tool", {})
    setuptools = tool.get("setuptools", {})
    if found := setuptools.get("packages"):
        where_ = found.get("find", {}).get("where") if isinstance(found, dict) else None
        if where_:
            return [str(one) for one in where_]
    if "" in setuptools.get("package-dir", {}):
        return [str(setuptools["package-dir"][""])]
    listed = tool.get("hatch", {}).get("build", {}).get("targets", {}).get("wheel", {}).get("packages", [])
    listed += [
        str(Path(one.get("from", "."), one.get("include", ""))) for one in tool.get("poetry", {}).get("packages", [])
    ]
    if listed:
        return sorted({str(Path(one).parent) for one in listed})
    module_root = tool.get("uv", {}).get("build-backend", {}).get("module-root")
    if isinstance(module_root, str):
        return [module_root or "."]
    return ["src"] if (where / "src").is_dir() else ["."]


def _compiled(document: dict[str, Any], setup: str) -> bool:
    build = document.get("build-system", {})
    backend = str(build.get("build-backend", "")) + " ".join(map(str, build.get("requires", ())))
    return any(one in backend.replace("-", "_") for one in _COMPILED) or "ext_modules" in setup


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as failed:
        raise ConfigError(f"cannot read {path}: {failed}", remedy="it must be a readable text file in UTF-8") from None
