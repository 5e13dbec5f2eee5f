"""Measures the laptop's side against plain ssh, rsync and sshfs, and writes docs/benchmarks-laptop.md.

Run as root: it makes a laptop (namespaces) and a rig. Each pair runs in turn, A B A B.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.e2e.laptop import Laptop, connected_rig
from tests.live_rig import LiveRig, free_port

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks-laptop.md"
BULK = 512  # MiB
FILES = 300
ROUNDS = 5
DISTANCES = (0, 20)  # ms of round trip


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def pair(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The medians of both, run in turn after one of each to warm up."""
    ours(), theirs()
    times = [(timed(ours), timed(theirs)) for _ in range(rounds)]
    return statistics.median(one for one, _ in times), statistics.median(one for _, one in times)


def plain_config(laptop: Laptop, rig: LiveRig) -> str:
    """What a person writes by hand: names, a jump, accepted host keys, and nothing else."""
    text = f"""Host hand-gateway
    HostName {laptop.rig_address}
    Port {rig.ssh_port}
    User jump
Host hand-demo
    HostName demo
    User dev
    ProxyJump hand-gateway
Host *
    StrictHostKeyChecking accept-new
"""
    laptop.path("hand").write_text(text)
    return str(laptop.path("hand"))


def must(laptop: Laptop, *words: str, timeout: float = 120) -> str:
    """A program there, without what `run` does before it: that is no part of what is measured."""
    argv = laptop.argv(*words)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


@contextlib.contextmanager
def distance(laptop: Laptop, rig: LiveRig, milliseconds: int) -> Iterator[None]:
    """The rig is that much of a round trip away."""
    if not milliseconds:
        yield
        return
    port = free_port()
    words = (laptop.rig_address, str(port), str(rig.ssh_port), str(milliseconds / 2000))
    relay = subprocess.Popen([sys.executable, "-m", "tests.bench.far", *words])
    laptop.run("ssh", "-O", "exit", "box-demo")
    laptop.detour(rig.ssh_port, port)
    try:
        _wait(lambda: laptop.run("ssh", "box-demo.direct", "true").returncode == 0)
        yield
    finally:
        laptop.run("ssh", "-O", "exit", "box-demo")
        laptop.redirect_no_more()
        relay.terminate()
        relay.wait()


def copy(laptop: Laptop, *words: str, to: Path) -> None:
    """Copies to a place where nothing is: rsync would have nothing to do."""
    to.unlink(missing_ok=True)
    must(laptop, *words)
    assert to.stat().st_size == BULK << 20


def bench(laptop: Laptop, rig: LiveRig) -> list[tuple[str, str, str, str]]:
    hand = plain_config(laptop, rig)
    laptop.hand_over()
    rows = []

    def row(what: str, ours: float, theirs: float, unit: str = "s") -> None:
        rows.append((what, f"{ours:.3f} {unit}", f"{theirs:.3f} {unit}", f"{theirs / ours:.1f}"))
        print(rows[-1], flush=True)

    row(
        "`ssh rig-demo true`, a shared connection there",
        *pair(
            lambda: must(laptop, "ssh", "box-demo", "true"),
            lambda: must(laptop, "ssh", "-F", hand, "hand-demo", "true"),
            2 * ROUNDS,
        ),
    )
    row(
        "the same, the first connection",
        *pair(
            lambda: must(laptop, "ssh", "box-demo.direct", "true"),
            lambda: must(laptop, "ssh", "-F", hand, "hand-demo", "true"),
            2 * ROUNDS,
        ),
    )
    send = f"head -c {BULK}M /dev/zero | ssh"
    row(
        f"{BULK} MiB through ssh into the workspace",
        *pair(
            lambda: must(laptop, "sh", "-c", f"{send} box-demo 'cat > /dev/null'"),
            lambda: must(laptop, "sh", "-c", f"{send} -F {hand} hand-demo 'cat > /dev/null'"),
            ROUNDS,
        ),
    )
    if not laptop.path("big.bin").exists():
        laptop.path("big.bin").write_bytes(os.urandom(BULK << 20))
        laptop.hand_over()
    ours = (sys.executable, "-m", "rigstack", "cp")
    theirs = ("scp", "-q", "-F", hand)
    there, back = rig.code() / "big.bin", laptop.path("back.bin")
    row(
        f"a file of {BULK} MiB to the rig: `rigstack cp`, against `scp`",
        *pair(
            lambda: copy(laptop, *ours, "big.bin", "demo:", to=there),
            lambda: copy(laptop, *theirs, "big.bin", "hand-demo:/code/demo/", to=there),
            ROUNDS,
        ),
    )
    row(
        "the same file from the rig",
        *pair(
            lambda: copy(laptop, *ours, "demo:big.bin", "back.bin", to=back),
            lambda: copy(laptop, *theirs, "hand-demo:/code/demo/big.bin", "back.bin", to=back),
            ROUNDS,
        ),
    )
    shutil.rmtree(rig.code() / "many", ignore_errors=True)
    (rig.code() / "many").mkdir()
    for number in range(FILES):
        (rig.code() / f"many/{number}.txt").write_text("x" * 2000)
    must(laptop, "mkdir", "-p", "hand-mount")
    must(laptop, "sshfs", "-F", hand, "hand-demo:/code/demo", "hand-mount")
    assert laptop.rigstack("mount", "demo", "our-mount").returncode == 0
    read = "find {} -type f -exec cat {{}} + > /dev/null"
    row(
        f"reading {FILES} small files on a mount, again and again",
        *pair(
            lambda: must(laptop, "sh", "-c", read.format("our-mount/many")),
            lambda: must(laptop, "sh", "-c", read.format("hand-mount/many")),
            ROUNDS,
        ),
    )
    laptop.rigstack("unmount", "--force")
    laptop.run("fusermount3", "-u", "-z", "hand-mount")
    laptop.path("work").mkdir(exist_ok=True)
    laptop.path("work/a.py").write_text("")
    assert laptop.rigstack("sync", "demo", "work").returncode == 0
    saves = [saved(laptop, rig) for _ in range(10)]
    laptop.rigstack("sync", "--stop")
    loop = laptop.start(
        "sh", "-c", f"while :; do rsync -a -e 'ssh -F {hand}' work/ hand-demo:/code/demo/; sleep 1; done"
    )
    loops = [saved(laptop, rig) for _ in range(10)]
    os.killpg(loop.pid, 15)
    row(
        "saved here to seen there, against rsync in a loop with `sleep 1`",
        statistics.median(saves),
        statistics.median(loops),
    )
    return rows


def saved(laptop: Laptop, rig: LiveRig) -> float:
    text = f"{time.monotonic()}\n" + "#" * (time.monotonic_ns() % 997)
    laptop.path("work/a.py").write_text(text)
    there = rig.code() / "a.py"
    return timed(lambda: _wait(lambda: there.exists() and there.read_text() == text))


def _wait(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def main() -> None:
    laptop = Laptop()
    rigs: list[LiveRig] = []

    def make(*, projects: tuple[str, ...]) -> LiveRig:
        folder = Path(tempfile.mkdtemp(prefix="rigstack-bench-"))
        folder.chmod(0o755)
        rigs.append(LiveRig(folder, name=f"b{os.getpid()}", projects=projects))
        return rigs[-1]

    try:
        rig = connected_rig(make, laptop)
        tables = []
        for milliseconds in DISTANCES:
            with distance(laptop, rig, milliseconds):
                tables.append((milliseconds, bench(laptop, rig)))
    finally:
        laptop.destroy()
        for rig in rigs:
            rig.destroy()
    lines = [
        "# Measurements on the laptop",
        "",
        f"Written by `python -m tests.bench.laptop` on {os.cpu_count()} cores, Python {platform.python_version()}:",
        "a laptop and a rig on one machine, with no distance between them and with 20 ms of round trip, which a relay",
        "adds to every byte. By hand is a plain `ssh_config` with a jump, and the tools' own defaults. Medians; each",
        "pair ran in turn, A B A B. Ratios carry over to other machines, times do not: both ends and the relay share",
        "the cores. At 20 ms one SSH channel carries no more than its window, 2 MiB a round trip, whatever the cipher:",
        "a pipe through `ssh` is the same for all. `rigstack cp` pours big new files (`laptop/bulk.py`), and takes",
        "several connections from afar (`programs/lanes.py`). At 20 ms the relay itself has its share of the cores.",
    ]
    for milliseconds, rows in tables:
        lines += ["", f"## {milliseconds} ms", "", "| what | rigstack | by hand | times as fast |"]
        lines += ["| --- | --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
