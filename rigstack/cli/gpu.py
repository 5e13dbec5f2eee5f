"""`rigstack gpu check`: whether a project's GPUs really compute, and how fast."""

from __future__ import annotations

import json
from typing import Any

import click

from rigstack.cli import console
from rigstack.errors import EngineError, HostError, UnhealthyError

PATIENCE = 900.0  # seconds; jax alone compiles for a while


@click.group()
def gpu() -> None:
    """Try a project's GPUs."""


@gpu.command()
@click.argument("project")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/reference/gpus.md).")
@click.pass_context
def check(context: click.Context, project: str, as_json: bool) -> None:
    """Compute on the GPUs of PROJECT, in its own workspace, and hold the figures against the card's datasheet.

    The driver compiles and runs a kernel on each GPU, which needs nothing in the project; nvcc, torch, jax and cupy are
    tried where they are installed.
    Exits 3 when there is no GPU, 5 when something does not compute.
    """
    from rigstack.plan.datasheet import assess_check

    found = _probe(context, project)
    document = assess_check(found)
    if as_json:
        console.result_json({"project": project, **document})
    else:
        console.result(_page(project, document))
    if any(one["state"] == "failed" for one in document["checks"]):
        context.exit(UnhealthyError.exit_code)


def _probe(context: click.Context, project: str) -> dict[str, Any]:
    """What programs/gpu-check.py says in the project's workspace. Raises HostError without a GPU."""
    from pathlib import Path

    from rigstack import process
    from rigstack.cli.rig import known_projects, rig_of, survey

    place, rig = rig_of(context)
    known_projects(rig, (project,))
    seen = survey(place, rig, causes=False)
    if not seen.choice.given[project]:
        why = seen.host.gpu.why or 'gpus is "none" in rig.toml'
        raise HostError(f"{project} has no GPU: {why}")
    workspace = seen.observed.containers.get(f"{project}-workspace")
    if workspace is None or workspace.state != "running":
        raise EngineError(f"the workspace of {project} does not run", remedy=f"rigstack up {project}")
    program = (Path(seen.host.assets) / "programs/gpu-check.py").read_text(encoding="utf-8")
    argv = ("docker", "exec", "--interactive", workspace.id, "python", "-")
    done = process.run(argv, stdin=program, timeout=PATIENCE)
    try:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise EngineError(
            f"the check did not run in the workspace of {project}",
            details=done.tail(5),
            remedy=f"rigstack logs {project}",
        ) from None
    if not found["gpu"]:
        raise HostError(
            f"{project} has no working GPU: {found['why']}",
            remedy="rigstack gpus and rigstack host check show whether the machine sees it; where only the container"
            f" does not: docker restart {workspace.id[:12]}, which ends what runs in it",
        )
    return found


def _page(project: str, document: dict[str, Any]) -> str:
    from rigstack.plan.datasheet import check_rows

    devices = [f"{one['name']} ({one['memory'] / 1024**3:.0f} GiB)" for one in document["devices"]]
    lines = [f"{project} has {', '.join(devices)}", ""]
    lines.append(console.table(("CHECK", "STATE", "FIGURE", "OF THE DATASHEET"), check_rows(document)))
    for problem in document["problems"]:
        lines += ["", f"{console.paint('!', 'yellow')} {problem}"]
    return "\n".join(lines)
