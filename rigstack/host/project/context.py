"""The build context of a project's own Dockerfile: only the files that its COPY and ADD can name.

So that editing anything else never rebuilds. Reference: https://docs.docker.com/reference/dockerfile/ and, for
.dockerignore, https://docs.docker.com/build/concepts/context/#dockerignore-files.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from rigstack.errors import ConfigError
from rigstack.plan.dockerfile import instructions
from rigstack.plan.host import Copy
from rigstack.render.digest import digest
from rigstack.value import Value

LARGEST = 256 * 1024 * 1024
# What the rig itself writes into a project's folder, and no build wants.
NEVER = ("**/.git", "**/__pycache__", "**/.ipynb_checkpoints", "**/.venv")


class Sources(Value):
    """patterns: what the Dockerfile copies, relative to the context. everything: whether that is the whole folder."""

    patterns: tuple[str, ...]
    everything: bool


def dockerfile_sources(text: str) -> Sources:
    """Which files of the context a Dockerfile's instructions name."""
    patterns: list[str] = []
    for instruction in instructions(text):
        word, _, rest = instruction.partition(" ")
        match word.upper():
            case "COPY" | "ADD":
                patterns += _copied(rest.strip())
            case "RUN":
                for mount in re.findall(r"--mount=(\S+)", rest):
                    options = {key: value for key, _, value in (pair.partition("=") for pair in mount.split(","))}
                    if options.get("type", "bind") == "bind" and "from" not in options:
                        patterns.append(options.get("source") or options.get("src") or ".")
    cleaned = [os.path.normpath(one.lstrip("/") or ".") for one in patterns]
    everything = any(one == "." or "$" in one or one.startswith("*") for one in cleaned)
    return Sources(patterns=tuple(dict.fromkeys(cleaned)), everything=everything)


def _copied(rest: str) -> list[str]:
    flags = []
    while flag := re.match(r"--(\S+)\s+", rest):
        flags.append(flag.group(1))
        rest = rest[flag.end() :]
    if any(flag.startswith("from=") for flag in flags):
        return []
    if rest.startswith("["):
        try:
            words = [str(one) for one in json.loads(rest)]
        except ValueError:
            words = ["."]
    else:
        words = rest.split()
    return [one for one in words[:-1] if not re.match(r"<<|https?://|git@|\w+://", one)]


def context_files(folder: Path, text: str, ignore: Path) -> tuple[Copy, ...]:
    """The files below `folder` that the Dockerfile `text` copies and `ignore` (a .dockerignore) does not take out.

    Raises ConfigError for a link out of the folder and for more than LARGEST bytes, naming the largest files.
    """
    sources = dockerfile_sources(text)
    if not sources.patterns:
        return ()
    ignored = ignore_rules(ignore)
    copies, sizes = [], []
    for name in _walk(folder, ignored):
        if not sources.everything and not _named(name, sources.patterns):
            continue
        path = folder / name
        if path.is_symlink():
            if os.readlink(path).startswith("/data/"):  # noqa: PTH115
                continue  # the link to its data that a project starts with
            _check_link(folder, path)
            copies.append(Copy(name=name, source=str(path), digest=digest("link", os.readlink(path))))  # noqa: PTH115
            continue
        if not path.is_file():
            continue  # a socket or a pipe: nothing that a build could take
        sizes.append((path.stat().st_size, name))
        if sum(size for size, _ in sizes) > LARGEST:
            raise _too_large(folder, ignore, _sizes(folder, ignored))
        executable = "x" if path.stat().st_mode & 0o111 else ""
        copies.append(Copy(name=name, source=str(path), digest=digest(path.read_bytes(), executable)))
    return tuple(copies)


def _walk(folder: Path, ignored: list[tuple[re.Pattern[str], bool]]) -> Iterator[str]:
    negations = any(not excludes for _, excludes in ignored)
    for parent, folders, names in os.walk(folder):
        base = os.path.relpath(parent, folder)
        prefix = "" if base == "." else base + "/"
        links = [one for one in folders if os.path.islink(os.path.join(parent, one))]  # noqa: PTH114, PTH118
        folders[:] = sorted(
            one for one in folders if one not in links and (negations or not is_ignored(prefix + one, ignored))
        )
        for name in sorted([*names, *links]):
            if not is_ignored(prefix + name, ignored):
                yield prefix + name


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    parts = name.split("/")
    prefixes = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(
        fnmatch.fnmatchcase(prefix, pattern) and prefix.count("/") == pattern.count("/")
        for pattern in patterns
        for prefix in prefixes
    )


def ignore_rules(file: Path) -> list[tuple[re.Pattern[str], bool]]:
    """The rules of a .dockerignore: (pattern, whether it excludes), to be applied in order; the last match counts."""
    lines = [*NEVER]
    if file.is_file():
        lines += file.read_text(encoding="utf-8", errors="replace").splitlines()
    rules = []
    for line in lines:
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        excludes = not pattern.startswith("!")
        cleaned = os.path.normpath(pattern.lstrip("!").strip()).lstrip("/")
        rules.append((re.compile(_translated(cleaned)), excludes))
    return rules


def _translated(pattern: str) -> str:
    """A pattern of .dockerignore (Go's filepath.Match, and **) as an expression that covers what is below too."""
    out, rest = "", pattern
    while rest:
        if rest.startswith("**/"):
            out, rest = out + "(?:.*/)?", rest[3:]
        elif rest.startswith("**"):
            out, rest = out + ".*", rest[2:]
        elif rest[0] == "*":
            out, rest = out + "[^/]*", rest[1:]
        elif rest[0] == "?":
            out, rest = out + "[^/]", rest[1:]
        elif found := re.match(r"\[\^?[^]]+\]", rest):
            out, rest = out + found.group(), rest[found.end() :]
        else:
            out, rest = out + re.escape(rest[0]), rest[1:]
    return rf"{out}(?:/.*)?\Z"


def is_ignored(name: str, rules: list[tuple[re.Pattern[str], bool]]) -> bool:
    """Whether the last rule that matches `name` takes it out."""
    ignored = False
    for pattern, excludes in rules:
        if excludes != ignored and pattern.match(name):
            ignored = excludes
    return ignored


def _check_link(folder: Path, path: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"{path} is a link out of the project, to {os.readlink(path)}",  # noqa: PTH115
            cause="the Dockerfile copies it, and a build sees only the project's folder",
            remedy=f"copy what it leads to into the project, or name it in {folder.name}/.dockerignore",
        )


def _sizes(folder: Path, ignored: list[tuple[re.Pattern[str], bool]]) -> list[tuple[int, str]]:
    return sorted(((folder / name).lstat().st_size, name) for name in _walk(folder, ignored))


def _too_large(folder: Path, ignore: Path, sizes: list[tuple[int, str]]) -> ConfigError:
    return ConfigError(
        f"the Dockerfile of {folder.name} copies more than {LARGEST // 1024**2} MB",
        details=tuple(f"{size / 1024**2:,.0f} MB  {name}" for size, name in reversed(sizes[-5:])),
        remedy=f"name what the build does not need in {ignore}; data belongs in /data, which is mounted",
    )
