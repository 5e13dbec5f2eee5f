"""Times two commands in turn, A B A B, so that a machine whose speed drifts slows both alike."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence

from rigstack.value import Value


class Pair(Value):
    """Medians in seconds, and the median of the ratios run by run."""

    ours: float
    theirs: float
    ratio: float
    runs: int


def command(argv: Sequence[str]) -> Callable[[], None]:
    """A run of this command, output thrown away; a failure ends the benchmark."""

    def run() -> None:
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    return run


def timed(run: Callable[[], None]) -> float:
    """Wall seconds of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(ours: Callable[[], None], theirs: Callable[[], None], *, runs: int, warmup: int = 2) -> Pair:
    """Runs both `runs` times in turn after `warmup` uncounted rounds."""
    for _ in range(warmup):
        ours()
        theirs()
    times = [(timed(ours), timed(theirs)) for _ in range(runs)]
    return Pair(
        ours=statistics.median(a for a, _ in times),
        theirs=statistics.median(b for _, b in times),
        ratio=statistics.median(a / b for a, b in times),
        runs=runs,
    )
