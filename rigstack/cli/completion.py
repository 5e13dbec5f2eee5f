"""`rigstack completion`: the script that makes your shell complete rigstack's words."""

from __future__ import annotations

import os

import click

from rigstack.cli import console


@click.command()
@click.argument("shell", required=False, type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str | None) -> None:
    """Print the completion script for SHELL (default: yours).

    bash: rigstack completion bash > ~/.local/share/bash-completion/completions/rigstack
    """
    from click.shell_completion import get_completion_class

    from rigstack.cli import cli

    chosen = shell or os.path.basename(os.environ.get("SHELL", "bash"))  # noqa: PTH119
    kind = get_completion_class(chosen)
    if kind is None:
        raise click.UsageError(f"no completion for {chosen}: name bash, zsh or fish")
    console.result(kind(cli, {}, "rigstack", "_RIGSTACK_COMPLETE").source())
