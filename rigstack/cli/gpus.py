"""`rigstack gpus`: who uses the GPUs, and which are free."""

from __future__ import annotations

import time
from typing import Any

import click

from rigstack.cli import console
from rigstack.errors import ConfigError, HostError, RigstackError

_STATES = {"free": "green", "busy": "yellow", "lost": "red", "unknown": "dim", "split": "dim"}


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Look again every --interval seconds, until Ctrl-C.")
@click.option("--interval", default=2.0, show_default=True, help="Seconds between two looks of --watch.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object (docs/reference/gpus.md), with --watch one a look."
)
@click.option("--since", metavar="AGE", help="What they did since then ([gpu] history in rig.toml): 30m, 1h, 1d.")
@click.option("--csv", "as_csv", is_flag=True, help="With --since: every sample as a line of CSV.")
@click.pass_context
def gpus(context: click.Context, watch: bool, interval: float, as_json: bool, since: str | None, as_csv: bool) -> None:
    """Who uses the GPUs of this machine, and which are free by what really runs on them.

    Every process is shown with its project and container, or with the user it belongs to. Needs no rig.
    Exits 3 when the NVIDIA driver is there and does not work.
    """
    if since is not None:
        _history(context, since, as_json=as_json, as_csv=as_csv)
        return
    while True:
        document = look()
        if as_json:
            console.result_json(document)
        else:
            page = _page(document)
            if watch:
                console.redraw(page)
            else:
                console.result(page)
        if not watch:
            break
        try:
            time.sleep(max(interval, 0.1))
        except KeyboardInterrupt:
            break
    if document["state"] == "broken":
        context.exit(HostError.exit_code)


def look() -> dict[str, Any]:
    """One look at the GPUs and at whose processes are on them."""
    from rigstack.host.gpu_processes import observe_holders
    from rigstack.host.nvml import observe_gpus
    from rigstack.plan.gpu import GpuReading
    from rigstack.plan.gpu_report import report

    reading = observe_gpus()
    if not isinstance(reading, GpuReading):
        return report(reading, (), {})
    from rigstack.engine.neighbours import observe_neighbours

    remarks: tuple[str, ...] = ()
    try:
        neighbours = observe_neighbours()
    except RigstackError as silent:
        neighbours, remarks = None, (f"containers cannot be told apart: {silent.what}",)
    pids = [process.pid for unit in reading.units for one in (unit, *unit.instances) for process in one.processes]
    holders = observe_holders(pids, neighbours.owners if neighbours else {})
    return report(reading, neighbours.claims if neighbours else (), holders, remarks)


def _page(document: dict[str, Any]) -> str:
    from rigstack.plan import gpu_report

    lines = [gpu_report.headline(document)]
    if document["remedy"]:
        lines.append(f"  next: {document['remedy']}")
    if document["gpus"]:
        rows = [[*row[:2], console.paint(row[2], _STATES[row[2]]), *row[3:]] for row in gpu_report.rows(document)]
        lines += ["", console.table(gpu_report.HEADERS, rows)]
        if processes := gpu_report.process_rows(document):
            lines += ["", console.table(gpu_report.PROCESS_HEADERS, processes)]
    for remark in gpu_report.remarks(document):
        lines += ["", f"{console.paint('!', 'yellow')} {remark}"]
    return "\n".join(lines)


def _history(context: click.Context, age: str, *, as_json: bool, as_csv: bool) -> None:
    """Shows what the GPUs did. Raises ConfigError where nothing is kept, or for an age that is none."""
    from rigstack.cli.rig import rig_of
    from rigstack.host.gpu_history import load_rings
    from rigstack.plan import gpu_history
    from rigstack.plan.age import seconds_of

    place, rig = rig_of(context)
    try:
        seconds = seconds_of(age, most=gpu_history.KEPT)
    except ValueError as wrong:
        raise ConfigError(f"--since {age} is not right; expected {wrong}") from None
    until = int(time.time())
    since = until - seconds
    rings = load_rings(place.path)
    if not rings:
        on = rig.gpu_history
        raise ConfigError(
            "no history of the GPUs was kept",
            cause="the service that writes it has not seen a GPU yet" if on else "[gpu] history is off in rig.toml",
            remedy="rigstack up; rigstack logs history"
            if on
            else "set history = true in its [gpu] table, then: rigstack up",
        )
    history = {uuid: gpu_history.samples(ring, since=since, until=until) for uuid, ring in rings.items()}
    if as_json:
        console.result_json(gpu_history.document(history, since=since, until=until))
    elif as_csv:
        console.result(gpu_history.csv(history))
    else:
        clock = [time.strftime("%H:%M", time.localtime(moment)) for moment in (since, until)]
        lines = gpu_history.plot(history, since=since, until=until)
        console.result("\n".join([*lines, f"         {clock[0]}{clock[1]:>{57}}"]))
