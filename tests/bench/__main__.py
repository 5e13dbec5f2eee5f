"""`make bench`: rigstack against docker compose and devcontainer on this machine; writes docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import gpus, images
from tests.bench.pairs import Pair, command, measure
from tests.live_rig import RIGSTACK, LiveRig, docker

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
RUNS = int(os.environ.get("BENCH_RUNS", "15"))
MANY = 20


@contextmanager
def rig_of(*projects: str) -> Iterator[LiveRig]:
    """A rig that is up, gone at the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        rig = LiveRig(Path(folder), name=f"bench{os.getpid()}-{len(projects)}", projects=projects)
        try:
            rig.up()
            rig.pin_host_keys()
            yield rig
        finally:
            rig.destroy()


def rigstack(rig: LiveRig, *words: str) -> tuple[str, ...]:
    return (*RIGSTACK, "--rig", str(rig.path), *words)


def compose(rig: LiveRig, *words: str) -> tuple[str, ...]:
    """docker compose on the same files, as `rigstack compose` runs it."""
    from rigstack.assets import assets_dir
    from rigstack.engine.containers import compose_argv

    return compose_argv(rig.path, str(assets_dir()), *words)


def no_change(rig: LiveRig) -> list[tuple[str, str, Pair, float]]:
    """The commands that people run all day, each against compose's own."""
    up = compose(rig, "up", "--detach", "--no-build", "--pull", "never")
    return [
        ("`rigstack up`, nothing changed", "`docker compose up -d`", _pair(rigstack(rig, "up"), up), 1.0),
        ("`rigstack status`", "`docker compose ps`", _pair(rigstack(rig, "status"), compose(rig, "ps")), 1.0),
        ("`rigstack --help`", "`docker compose --help`", _pair((*RIGSTACK, "--help"), HELP), 1.2),
    ]


HELP = ("docker", "compose", "--help")


def _pair(ours: tuple[str, ...], theirs: tuple[str, ...]) -> Pair:
    return measure(command(ours), command(theirs), runs=RUNS)


def first_up(rig: LiveRig) -> dict[str, float]:
    """Seconds from `rigstack up` on a rig that is down to a working shell, a working notebook, and its own end."""
    rig.run("down")
    times: dict[str, float] = {}
    started = time.perf_counter()

    def watch(what: str, works: object) -> None:
        while time.perf_counter() - started < 120:
            if works():  # type: ignore[operator]
                times[what] = time.perf_counter() - started
                return
            time.sleep(0.02)

    checks = {
        "shell": lambda: rig.ssh("demo", "true").returncode == 0,
        "notebook": lambda: rig.curl("/p/demo/api").stdout.startswith('{"version"'),
    }
    threads = [threading.Thread(target=watch, args=pair) for pair in checks.items()]
    for thread in threads:
        thread.start()
    rig.up()
    times["end"] = time.perf_counter() - started
    for thread in threads:
        thread.join()
    return times


def devcontainer_up(rig: LiveRig, cli: Path) -> float:
    """Seconds of `devcontainer up` for a container of the same image, which ends with a shell to exec into."""
    image = rig.status()["projects"][0]["image"]
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / ".devcontainer" / "devcontainer.json"
        settings.parent.mkdir()
        settings.write_text(json.dumps({"image": image, "overrideCommand": True, "remoteUser": "dev"}))
        label = f"rigstack.bench={os.getpid()}"
        started = time.perf_counter()
        done = subprocess.run(
            [str(cli), "up", "--workspace-folder", folder, "--id-label", label], capture_output=True, text=True
        )
        seconds = time.perf_counter() - started
        assert done.returncode == 0, done.stdout + done.stderr
        for container in docker("ps", "-aq", f"--filter=label={label}").split():
            docker("rm", "-f", container)
        for extra in docker("image", "ls", "-q", f"--filter=reference=vsc-{Path(folder).name}*").split():
            docker("image", "rm", "-f", extra)
    return seconds


def page(rows: list[tuple[str, str, Pair, float]], first: dict[str, float], devcontainer: float | None) -> str:
    lines = [
        "# Measurements",
        "",
        f"Written by `make bench` on {os.cpu_count()} cores, Python {platform.python_version()}, engine "
        f"{docker('version', '--format={{.Server.Version}}')}. Each pair runs in turn, A B A B;",
        "the ratio is the median of the ratios run by run. Ratios carry over to other machines, milliseconds do not.",
        "",
        "| rigstack | against | ours, ms | theirs, ms | ratio | goal | runs |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for ours, theirs, pair, goal in rows:
        verdict = "" if pair.ratio <= goal else " (missed)"
        lines.append(
            f"| {ours} | {theirs} | {pair.ours * 1000:.0f} | {pair.theirs * 1000:.0f} | {pair.ratio:.2f} "
            f"| ≤ {goal}{verdict} | {pair.runs} |"
        )
    lines += [
        "",
        "## From nothing running to working",
        "",
        "Images built, containers gone. `devcontainer up` (npm package @devcontainers/cli) starts one container of the",
        "same image and ends with a shell to exec into: no sshd, no TLS, no notebook.",
        "",
        "| what | seconds |",
        "| --- | --- |",
        f"| `rigstack up`: a command over `ssh -J` answers | {first['shell']:.2f} |",
        f"| `rigstack up`: JupyterLab answers over HTTPS | {first['notebook']:.2f} |",
        f"| `rigstack up` ends, all four containers healthy | {first['end']:.2f} |",
    ]
    if devcontainer is not None:
        lines.append(f"| `devcontainer up` ends | {devcontainer:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    with rig_of("demo") as one:
        rows = no_change(one)
        with rig_of(*(f"p{number}" for number in range(MANY))) as many:
            pair = _pair(rigstack(many, "up"), rigstack(one, "up"))
        rows.append((f"`rigstack up`, nothing changed, {MANY} projects", "the same with 1 project", pair, 1.5))
        times = [first_up(one) for _ in range(3)]
        first = {what: sorted(run[what] for run in times)[1] for what in times[0]}
        devcontainer = None
        with tempfile.TemporaryDirectory() as folder:
            got = subprocess.run(["npm", "install", "--silent", "--prefix", folder, "@devcontainers/cli"])
            if got.returncode == 0:
                cli = Path(folder) / "node_modules" / ".bin" / "devcontainer"
                devcontainer = sorted(devcontainer_up(one, cli) for _ in range(3))[1]
    section = gpus.lines(gpus.look(RUNS), gpus.sampler_share())
    section += images.lines(*images.look())
    text = page(rows, first, devcontainer) + "\n".join(section) + "\n"
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
