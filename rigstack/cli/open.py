"""`rigstack open`: a project's notebook in the browser."""

from __future__ import annotations

import os
import shutil
import sys
from urllib.parse import quote

import click

from rigstack import process
from rigstack.cli import console
from rigstack.laptop.home import laptop_home
from rigstack.laptop.rigs import find_project


@click.command()
@click.argument("project")
@click.argument("path", required=False)
@click.option("--print", "only_print", is_flag=True, help="Print the address, and open nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the address, and what opens it.")
def open(project: str, path: str | None, only_print: bool, as_json: bool) -> None:
    """Open PROJECT's JupyterLab in the browser, at PATH in the project; prints the address too."""
    target = find_project(laptop_home(), project)
    url = target.connection.notebook_url(target.project)
    if path:
        url += "lab/tree/" + quote(path.removeprefix(target.project.folder).strip("/"))
    opener = None if only_print else opener_argv()
    if as_json:
        console.result_json({"url": url, "opener": opener[0] if opener else None})
    else:
        console.result(url)
    if opener and not process.run((*opener, url), timeout=20).ok:
        console.warn(f"{opener[0]} could not open it")


def opener_argv() -> tuple[str, ...] | None:
    """What opens an address on this machine; None where there is no screen or no such program."""
    if sys.platform == "darwin":
        return ("open",)
    if shutil.which("wslview"):
        return ("wslview",)
    if (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and shutil.which("xdg-open"):
        return ("xdg-open",)
    return None
