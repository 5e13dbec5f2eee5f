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
    """What a process of one thread has run, to the nanosecond (proc(5), schedstat): ticks would miss most samples."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


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
        f"| the sampler of `[gpu] history`, share of one core | {share:.3%} |",
    ]


if __name__ == "__main__":
    print("\n".join(lines(look(int(os.environ.get("BENCH_RUNS", "15"))), sampler_share())))
