"""The only module that prints: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TextIO

from rigstack.errors import RigstackError

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def colours(stream: TextIO) -> bool:
    """Whether `stream` takes colour: a terminal, and nobody said NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """`text` in a style of _STYLES where the stream (stdout by default) takes colour."""
    if not colours(stream or sys.stdout):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def result(text: str = "") -> None:
    """One line (or block) of what the person asked for."""
    print(text)


def redraw(page: str) -> None:
    """A page in the place of the last one; where stdout is no terminal, below it."""
    if sys.stdout.isatty():
        print("\x1b[H\x1b[2J" + page, flush=True)
    else:
        print(page + "\n", flush=True)


def result_json(document: Mapping[str, object]) -> None:
    """The `--json` answer: one object with its schema number first."""
    import json

    print(json.dumps({"schema": 1, **document}, indent=2))


def note(text: str) -> None:
    """Progress and remarks."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def line_of_progress() -> Iterator[Callable[[str], None] | None]:
    """What shows words on one line of a terminal, each in the place of the last; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        yield lambda words: print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Something that works but that the person should know."""
    print(paint("warning: ", "yellow", sys.stderr) + text, file=sys.stderr, flush=True)


def error(failure: RigstackError) -> None:
    """An expected failure: what, evidence, cause, remedy."""
    first, *rest = failure.lines()
    head, _, what = first.partition(" ")
    print(paint(head, "red", sys.stderr) + " " + what, *rest, sep="\n", file=sys.stderr, flush=True)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under headers in aligned columns; cells may hold colour."""
    widths = [max(_width(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    lines = [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [[paint(h, "bold") for h in headers], *rows]
    ]
    return "\n".join(lines)


def _width(cell: str) -> int:
    if "\x1b" not in cell:
        return len(cell)
    import re

    return len(re.sub(r"\x1b\[[0-9;]*m", "", cell))


def confirm(question: str, *, yes: bool) -> bool:
    """Asks on the terminal; `yes` answers for the person; without a terminal the answer is no."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    import click

    return click.confirm(question, default=False, err=True)
