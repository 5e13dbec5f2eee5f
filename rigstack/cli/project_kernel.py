"""`rigstack project kernel`: a further virtual environment of a project as a kernel in its JupyterLab."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rigstack.cli import console
from rigstack.cli.project import project
from rigstack.cli.rig import known_projects, rig_of
from rigstack.errors import ConfigError

KERNELS = ".local/share/jupyter/kernels"


@project.command()
@click.argument("name")
@click.argument("venv", default=".venv")
@click.option("--title", help="What JupyterLab calls it. Default: the project and the folder.")
@click.option("--remove", "gone", is_flag=True, help="Take the kernel away; the environment stays.")
@click.pass_context
def kernel(context: click.Context, name: str, venv: str, title: str | None, gone: bool) -> None:
    """Offer VENV, a virtual environment in the folder of NAME (default: .venv), as a kernel in JupyterLab."""
    import shutil

    from rigstack.host.facts import code_owner
    from rigstack.host.files import ensure_folder, write_file

    place, rig = rig_of(context)
    known_projects(rig, (name,))
    relative = _inside(place.code / name, venv)
    kernel_name = "venv-" + "-".join(part.strip(".").lower() for part in relative.parts)
    folder = place.homes / name / KERNELS / kernel_name
    if gone:
        shutil.rmtree(folder, ignore_errors=True)
        console.result(f"{kernel_name} is no kernel of {name} any more")
        return
    _ensure_kernel_can_run(place.code / name / relative, relative)
    python = f"/code/{name}/{relative}/bin/python"
    text = json.dumps(
        {
            "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": title or f"{name} ({relative})",
            "language": "python",
            "metadata": {"debugger": True},
        },
        indent=1,
    )
    owner = code_owner(place.path)
    below = place.homes / name
    for part in (*Path(KERNELS).parts, kernel_name):
        below = below / part
        ensure_folder(below, mode=0o755, owner=owner)
    write_file(folder / "kernel.json", text + "\n", mode=0o644, owner=owner)
    console.result(f"{title or f'{name} ({relative})'} is a kernel of {name} now: reload JupyterLab")


def _inside(folder: Path, venv: str) -> Path:
    path = Path(venv)
    if path.is_absolute() and path.is_relative_to(f"/code/{folder.name}"):
        path = path.relative_to(f"/code/{folder.name}")
    if path.is_absolute() or ".." in path.parts or not (folder / path / "pyvenv.cfg").is_file():
        raise ConfigError(
            f"{folder / path} is no virtual environment",
            cause="it has no pyvenv.cfg, or is not in the project's folder",
            remedy=f"make one in the workspace: uv venv {venv} && uv pip install --python {venv} ipykernel",
        )
    return path


def _ensure_kernel_can_run(environment: Path, relative: Path) -> None:
    if not any(environment.glob("lib/python*/site-packages/ipykernel/__init__.py")):
        raise ConfigError(
            f"{environment} has no ipykernel, so no notebook can run in it",
            remedy=f"in the workspace: uv pip install --python {relative} ipykernel",
        )
