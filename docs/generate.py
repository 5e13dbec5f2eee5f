"""Writes the reference pages from what they describe: the commands' own help, the annotated rig.toml, the errors.

`make docs` runs it; a unit test fails when a page and its source have parted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from rigstack.cli import COMMANDS, cli
from rigstack.cli.config import REFERENCE
from rigstack.errors import all_errors

FOLDER = Path(__file__).parent / "reference"
WIDTH = 100


def pages() -> dict[str, str]:
    """File name -> text of every generated page."""
    return {"commands.md": commands_page(), "config.md": config_page(), "exit-codes.md": exit_codes_page()}


def commands_page() -> str:
    """Every command with its help, in the order of `rigstack --help`."""
    parts = ["# Commands\n\nWritten from `--help` by `make docs`.\n"]
    root = click.Context(cli, info_name="rigstack", terminal_width=WIDTH, max_content_width=WIDTH)
    parts.append(_block("rigstack", cli.get_help(root)))
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        parts += [_block(title, text) for title, text in _helps(command, root, name)]
    return "\n".join(parts)


def _helps(command: click.Command, parent: click.Context, name: str) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            below = command.get_command(context, child)
            assert below is not None
            yield from _helps(below, context, child)


def _block(title: str, text: str) -> str:
    body = "\n".join(line.rstrip() for line in text.splitlines())
    return f"## {title}\n\n```text\n{body}\n```\n"


def config_page() -> str:
    """The annotated rig.toml, as `rigstack config reference` prints it."""
    text = REFERENCE.read_text(encoding="utf-8")
    return f"""# rig.toml

Every setting, its default and what it is for: `rigstack config reference` prints this, `rigstack init` writes it.

A project may carry its own settings in its `pyproject.toml`, in a table `[tool.rigstack]` with the keys of
`[projects.NAME]`; what `rig.toml` says wins.

```toml
{text}```
"""


def exit_codes_page() -> str:
    """Every exit code and what it means, from rigstack/errors.py."""
    rows = "".join(f"| {error.exit_code} | {(error.__doc__ or '').splitlines()[0]} |\n" for error in all_errors())
    return f"""# Exit codes

| code | meaning |
| --- | --- |
| 0 | Done, or nothing to do. |
{rows}
`rigstack status` exits with 5 when something that should run does not. Every error says on stderr what happened, the
likely cause, and what to do next; stdout is for results only.
"""


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
