"""Reads a Dockerfile: its instructions, and which images of elsewhere it names. Pure.

Reference: https://docs.docker.com/reference/dockerfile/ (FROM, COPY --from, RUN --mount, ARG before the first FROM).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping


def instructions(text: str) -> Iterator[str]:
    """Each instruction on one line, without comments and without the text of here-documents."""
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        whole = line.strip()
        while whole.endswith("\\"):
            following = next(lines, "")
            if not following.lstrip().startswith("#"):
                whole = whole[:-1] + " " + following.strip()
        yield whole
        if re.match(r"(RUN|COPY|ADD)\b", whole, re.I):
            for end in re.findall(r"<<-?[\"']?(\w+)", whole):
                while (inner := next(lines, None)) is not None and inner.strip() != end:
                    pass


def base_images(text: str, args: Mapping[str, str]) -> tuple[str, ...]:
    """The images of elsewhere that a Dockerfile names by a tag, in order. args: its build arguments."""
    images: dict[str, None] = {}
    stages = {"scratch"}
    values: dict[str, str] = {}
    begun = False
    for instruction in instructions(text):
        word, _, rest = instruction.partition(" ")
        named: list[str] = []
        stage = ""
        match word.upper():
            case "ARG" if not begun:
                for name, value in re.findall(r"(\w+)(?:=(\"[^\"]*\"|'[^']*'|\S*))?", rest):
                    values[name] = args.get(name, _filled(value.strip("\"'"), values))
            case "FROM":
                begun = True
                if found := re.match(r"\s*(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", rest, re.I):
                    named, stage = [found.group(1)], (found.group(2) or "").lower()
            case "COPY" | "ADD":
                named = re.findall(r"(?:^|\s)--from=(\S+)", rest)
            case "RUN":
                named = re.findall(r"--mount=\S*\bfrom=([^,\s]+)", rest)
        for image in (_filled(name, values) for name in named):
            if image and "@" not in image and not image.isdigit() and image.lower() not in stages:
                images[image] = None
        stages.add(stage)
    return tuple(images)


def _filled(word: str, values: Mapping[str, str]) -> str:
    """The word with its variables filled in; "" where one has no value, which the engine will say."""

    def value(found: re.Match[str]) -> str:
        return values.get(found["name"] or found["bare"], "") or found["default"] or "$"

    filled = re.sub(r"\$(?:\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}|(?P<bare>\w+))", value, word)
    return "" if "$" in filled else filled
