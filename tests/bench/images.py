"""Building a project's image against the Dockerfiles that people write by hand, from the same base."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from rigstack.value import Value
from tests.live_rig import LiveRig, docker

REQUIREMENTS = "matplotlib\nnumpy\npandas\nscikit-learn\n"
PLAIN = """FROM {base}
RUN apt-get update && apt-get install -y --no-install-recommends {apt} && rm -rf /var/lib/apt/lists/*
COPY requirements.txt /tmp/requirements.txt
RUN --mount=type=secret,id=ca_bundle,mode=0444 {mount} python3 -m venv /opt/plain \\
    && if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi \\
    && /opt/plain/bin/pip install -r /tmp/requirements.txt
COPY code /code
"""
# Small packages that need no other.
GROWING = ("toolz==1.0.0", "click==8.2.1", "iniconfig==2.1.0")
OWN = ("attrs", "wcwidth", "sortedcontainers", "tomli", "idna")
CACHED = "--mount=type=cache,target=/root/.cache/pip,id=rigstack-bench-pip"


class Row(Value):
    """Seconds; theirs: pip in a Dockerfile, and the same with a cache mount."""

    what: str
    ours: float
    plain: float
    cached: float
    goal: float | None = None


class Ours:
    """A rig that is never brought up: only its images are built."""

    def __init__(self, folder: Path, projects: tuple[str, ...]) -> None:
        folder.chmod(0o755)
        self.rig = LiveRig(folder, name=f"bench{os.getpid()}-{len(projects)}i", projects=projects)
        self.rig.set("cuda", '"none"')  # the Dockerfiles by hand have none
        for project in projects:
            self.rig.code(project).mkdir(exist_ok=True)

    def write(self, requirements: str, apt: str = "sqlite3\n") -> None:
        """Into each project; "{}" is a package of its own."""
        for number, folder in enumerate(sorted((self.rig.path / "code").iterdir())):
            (folder / "requirements.txt").write_text(requirements.format(OWN[number]))
            (folder / "apt.txt").write_text(apt)

    def build(self, *, no_cache: bool = False, only: int = 99) -> float:
        """Seconds from looking at the files to images that are there and were seen to work."""
        from rigstack.cli.rig import survey
        from rigstack.config.load import load_rig
        from rigstack.config.rigdir import RigDir
        from rigstack.engine.build import BuildInputs, build_images
        from rigstack.engine.check import check_images
        from rigstack.plan.reconcile import reconcile
        from rigstack.plan.steps import BuildImages, CheckImages

        started = time.perf_counter()
        place = RigDir(path=self.rig.path)
        seen = survey(place, load_rig(place.path))
        secrets = {"ca_bundle": seen.host.ca_bundle} if seen.host.ca_bundle else {}
        for step in reconcile(seen.desired, seen.observed).steps:
            if isinstance(step, BuildImages):
                images = tuple(image for image in step.images if image.name.startswith("project-"))[:only]
                inputs = BuildInputs(assets=seen.host.assets, secrets=secrets, caddy="packages", no_cache=no_cache)
                build_images(self.rig.path, images, inputs, lambda *_: None)
            if isinstance(step, CheckImages):
                check_images(step.images[:only], owner=(seen.host.uid, seen.host.gid))
        self.tags = [image.tag for image in seen.desired.images if image.name.startswith("project-")]
        self.base = seen.desired.image("base").tag
        self.bundle = seen.host.ca_bundle
        return time.perf_counter() - started


def build_plain(
    folder: Path, ours: Ours, *, cached: bool, requirements: str, apt: str, no_cache: bool = False
) -> float:
    """Seconds of `docker build` of the hand-written Dockerfile."""
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "train.py").write_text(f"# {time.time()}\n")
    (folder / "requirements.txt").write_text(requirements)
    (folder / "Dockerfile").write_text(PLAIN.format(base=ours.base, apt=apt, mount=CACHED if cached else ""))
    secret = ["--secret", f"id=ca_bundle,src={ours.bundle}"] if ours.bundle else []
    argv = ["docker", "build", "-q", "-t", f"rigstack/bench-plain:{os.getpid()}", *secret, str(folder)]
    started = time.perf_counter()
    subprocess.run([*argv, *(["--no-cache"] if no_cache else [])], check=True, capture_output=True)
    return time.perf_counter() - started


def look() -> tuple[list[Row], tuple[int, int], float, float]:
    """The rows, the sizes in bytes (ours, theirs), five projects at once against one, and seconds when all is there."""
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as five,
        tempfile.TemporaryDirectory() as hand,
    ):
        ours = Ours(Path(one), ("demo",))
        many = Ours(Path(five), tuple(f"p{number}" for number in range(5)))
        try:
            ours.rig.up()  # so that the base is there
            ours.rig.run("down")
            hand_ = Path(hand)
            rows = [_row("cold: no layer of it is there", ours, hand_, "", "", no_cache=True)]
            grown = ["\n".join(GROWING[: number + 1]) + "\n" for number in range(len(GROWING))]
            rows.append(_median([_row("a requirement added", ours, hand_, more, "") for more in grown], 0.25))
            other = grown[-1].replace("8.2.1", "8.1.8")
            rows.append(_row("a requirement's version changed", ours, hand_, other, ""))
            rows.append(_row("a Debian package added", ours, hand_, other, "tree"))
            (ours.rig.code() / "train.py").write_text("edited\n")
            rows.append(_row("code edited", ours, hand_, other, "tree", same=True))
            sizes = tuple(int(docker("image", "inspect", "--format={{.Size}}", tag)) for tag in (
                ours.tags[0], f"rigstack/bench-plain:{os.getpid()}"))  # fmt: skip
            # Neither finds a layer of its packages, nor packages to fetch.
            many.write(REQUIREMENTS + "toolz==0.11.2\n{}\n")
            many.build(only=1)
            many.write(REQUIREMENTS + "toolz==0.12.0\n{}\n")
            alone = many.build(only=1)
            many.write(REQUIREMENTS + "toolz==0.12.1\n{}\n")
            five_at_once = many.build() / alone
            nothing = statistics.median(ours.build() for _ in range(9))
            return rows, (sizes[0], sizes[1]), five_at_once, nothing
        finally:
            docker("image", "rm", "-f", f"rigstack/bench-plain:{os.getpid()}", check=False)
            ours.rig.destroy()
            many.rig.destroy()


def _row(what: str, ours: Ours, hand: Path, more: str, apt: str, *, no_cache: bool = False, same: bool = False) -> Row:
    requirements = REQUIREMENTS + more
    packages = f"sqlite3 {apt}".strip()
    if not same:
        ours.write(requirements, packages.replace(" ", "\n") + "\n")
    mine = ours.build(no_cache=no_cache)
    plain, cached = (
        build_plain(hand, ours, cached=cached, requirements=requirements, apt=packages, no_cache=no_cache)
        for cached in (False, True)
    )
    return Row(what=what, ours=mine, plain=plain, cached=cached)


def _median(rows: list[Row], goal: float) -> Row:
    def middle(field: str) -> float:
        return statistics.median(getattr(row, field) for row in rows)

    return Row(what=rows[0].what, ours=middle("ours"), plain=middle("plain"), cached=middle("cached"), goal=goal)


def lines(rows: list[Row], sizes: tuple[int, int], five: float, nothing: float) -> list[str]:
    """The section of docs/benchmarks.md."""
    out = [
        "",
        "## Building a project's image",
        "",
        "Against a Dockerfile FROM the same base with `apt-get` and `pip install -r requirements.txt` (matplotlib,",
        "numpy, pandas, scikit-learn), and the same with pip's cache in a cache mount. Download caches are warm.",
        "",
        "| what | ours, s | by hand, s | with a cache mount, s | ratio | goal |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ratio = row.ours / row.plain
        goal = "" if row.goal is None else f"≤ {row.goal}" + ("" if ratio <= row.goal else " (missed)")
        out.append(f"| {row.what} | {row.ours:.2f} | {row.plain:.2f} | {row.cached:.2f} | {ratio:.2f} | {goal} |")
    out += [
        "",
        f"Five similar projects at once take {five:.2f} times one (goal ≤ 1.5{'' if five <= 1.5 else ', missed'}).",
        f"With nothing changed, {nothing * 1000:.0f} ms show that (goal ≤ 50{'' if nothing <= 0.05 else ', missed'}).",
        f"The image is {sizes[0] / 1e6:,.0f} MB, the one by hand {sizes[1] / 1e6:,.0f} MB"
        f" (goal: not larger{'' if sizes[0] <= sizes[1] else ', missed'}).",
    ]
    return out


if __name__ == "__main__":
    print("\n".join(lines(*look())))
