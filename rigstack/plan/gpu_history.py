"""What GPUs did before: the samples of a ring file, as a plot for a terminal and as CSV. Pure.

A ring file has SLOTS records of 16 bytes; the sample of a moment is in slot (seconds // INTERVAL) % SLOTS, so the file
never grows, needs no pointer, and a sampler that is killed leaves it whole. `rigstack-gpus --record` writes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

from rigstack.value import Value

INTERVAL = 10  # seconds between two samples
SLOTS = 8640  # a day
KEPT = "1d"
RECORD = struct.Struct("<IBBHII")  # time, load, temperature, power, memory used, memory total
_BLOCKS = " ▁▂▃▄▅▆▇█"


class Sample(Value):
    """time: seconds of the epoch. load: percent. temperature: degrees Celsius. power: watts. Memory in MiB.

    None is what the driver did not tell.
    """

    time: int
    load: int | None
    temperature: int | None
    power: int | None
    memory_used: int | None
    memory_total: int | None


def samples(ring: bytes, *, since: int, until: int) -> tuple[Sample, ...]:
    """The samples of a ring file between two moments (seconds of the epoch), in order; damaged records are left out."""
    whole = len(ring) - len(ring) % RECORD.size
    found = []
    for place, (time, load, temperature, power, used, total) in enumerate(RECORD.iter_unpack(ring[:whole])):
        if not since <= time <= until or time // INTERVAL % SLOTS != place or used > total:
            continue
        found.append(
            Sample(
                time=time,
                load=load if load <= 100 else None,
                temperature=temperature if temperature < 150 else None,
                power=power if power < 10_000 else None,
                memory_used=used if total else None,  # memory that is the machine's own is not told
                memory_total=total or None,
            )
        )
    return tuple(sorted(found, key=lambda sample: sample.time))


def plot(history: Mapping[str, Sequence[Sample]], *, since: int, until: int, width: int = 60) -> list[str]:
    """Lines for a terminal: each GPU's load and memory over time in `width` columns of eighths; "·" is no sample."""
    lines = []
    for name, taken in history.items():
        load = _columns(((s.time, s.load / 100) for s in taken if s.load is not None), since, until, width)
        memory = _columns(
            ((s.time, (s.memory_used or 0) / s.memory_total) for s in taken if s.memory_total), since, until, width
        )
        lines += [
            f"GPU {name}",
            f"  load   |{_bars(load)}| {_most(load)}",
            f"  memory |{_bars(memory)}| {_most(memory)}",
        ]
    return lines


def _columns(
    points: Iterable[tuple[int, float]], since: int, until: int, width: int
) -> list[tuple[float, float] | None]:
    """For each column the mean and the highest of its points, None for a column without any."""
    columns: list[list[float]] = [[] for _ in range(width)]
    for time, value in points:
        columns[min((time - since) * width // max(until - since, 1), width - 1)].append(value)
    return [(sum(values) / len(values), max(values)) if values else None for values in columns]


def _bars(columns: Sequence[tuple[float, float] | None]) -> str:
    return "".join("·" if one is None else _BLOCKS[min(round(one[0] * 8), 8)] for one in columns)


def _most(columns: Sequence[tuple[float, float] | None]) -> str:
    known = [one for one in columns if one is not None]
    if not known:
        return "never told"
    return f"mean {sum(mean for mean, _ in known) / len(known):.0%}, most {max(most for _, most in known):.0%}"


def csv(history: Mapping[str, Sequence[Sample]]) -> str:
    """One line a sample with a heading; empty for what was not told."""
    lines = ["time,gpu,load,memory_used_mib,memory_total_mib,temperature,power"]
    for name, taken in history.items():
        for s in taken:
            told = (s.time, name, s.load, s.memory_used, s.memory_total, s.temperature, s.power)
            lines.append(",".join("" if value is None else str(value) for value in told))
    return "\n".join(lines)


def document(history: Mapping[str, Sequence[Sample]], *, since: int, until: int) -> dict[str, object]:
    """The `--json` form (docs/reference/gpus.md)."""
    return {
        "since": since,
        "until": until,
        "interval": INTERVAL,
        "gpus": [
            {
                "gpu": name,
                "samples": [
                    {
                        "time": s.time,
                        "load": s.load,
                        "memory_used": _bytes(s.memory_used),
                        "memory_total": _bytes(s.memory_total),
                        "temperature": s.temperature,
                        "power": s.power,
                    }
                    for s in taken
                ],
            }
            for name, taken in history.items()
        ],
    }


def _bytes(mib: int | None) -> int | None:
    return None if mib is None else mib * 1024**2
