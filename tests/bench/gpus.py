"""`rigstack gpus` against a stand-in for nvidia-smi, start to finish, and what the sampler of the history costs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.pairs import Pair, measure
from tests.live_rig import RIGSTACK
from tests.nvml_stub import NvmlStub, build, build_nvidia_smi, gpus

CARDS = 8
SAMPLER = Path(__file__).parents[2] / "images/base/lib/rigstack-gpus"


@contextmanager
def a_stub() -> Iterator[tuple[NvmlStub, Path]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stub = NvmlStub(build(folder / "nvml"), folder)
        busy = f"{os.getpid()}:1073741824 {os.getppid()}:2147483648"
        stub.set(gpus(CARDS, load=70, compute=busy))
        yield stub, folder


def look(runs: int) -> Pair:
    """One look at CARDS GPUs with two processes each."""
    with a_stub() as (stub, folder):
        smi = build_nvidia_smi(folder / "nvml")
        env = {name: value for name, value in {**os.environ, **stub.env}.items() if name != "NVML_STUB_LOG"}

        def run(*argv: str) -> None:
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=env)

        return measure(lambda: run(*RIGSTACK, "gpus"), lambda: run(str(smi)), runs=runs)


def sampler_share(seconds: float = 31.0) -> float:
    """The share of one core that the sampler takes once it runs, with CARDS GPUs."""
    with a_stub() as (stub, folder):
        env = {name: value for name, value in {**os.environ, **stub.env}.items() if name != "NVML_STUB_LOG"}
        argv = [sys.executable, "-I", str(SAMPLER), "--record", str(folder)]
        with subprocess.Popen(argv, env=env) as sampler:
            while not list(folder.glob("*.ring")):
                time.sleep(0.1)
            time.sleep(1)
            began, before = time.monotonic(), _cpu_seconds(sampler.pid)
            time.sleep(seconds)
            share = (_cpu_seconds(sampler.pid) - before) / (time.monotonic() - began)
            sampler.terminate()
    return share


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def lines(pair: Pair, share: float) -> list[str]:
    """The section of docs/benchmarks.md."""
    return [
        "",
        "## GPUs",
        "",
        f"With {CARDS} made-up GPUs and two processes on each, through a stand-in for NVIDIA's library. The stand-in",
        "for nvidia-smi only asks and prints: a lower bound. Python's start and the import of nvidia-ml-py are ours.",
        "",
        "| what | measured |",
        "| --- | --- |",
        f"| `rigstack gpus`, start to finish | {pair.ours * 1000:.0f} ms |",
        f"| the stand-in for `nvidia-smi` | {pair.theirs * 1000:.0f} ms |",
        f"| the sampler of `[gpu] history`, share of one core | {max(share, 0.0001):.2%} or less |",
    ]


if __name__ == "__main__":
    print("\n".join(lines(look(int(os.environ.get("BENCH_RUNS", "15"))), sampler_share())))
