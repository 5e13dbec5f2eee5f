"""Builds images with one bake call, tells progress by target, and turns a failure into the line that matters."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rigstack.errors import BuildError, HostError
from rigstack.plan.desired import Image
from rigstack.render.bake import render_bake
from rigstack.value import Value

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
KEPT_LOGS = 10


class BuildInputs(Value):
    """What builds may use besides the images' own files. secrets: id -> file; caddy: "packages" or "registry"."""

    assets: str
    secrets: Mapping[str, str]
    caddy: str
    no_cache: bool = False


def build_images(
    root: Path, images: tuple[Image, ...], inputs: BuildInputs, on_line: Callable[[str, str], None]
) -> None:
    """Builds `images` side by side; on_line gets (image, what the build says).

    Raises BuildError with the failing step's own last lines, HostError when the disk is full. Images that
    exist already stay as they are.
    """
    staging = root / "state" / "build"
    stage(staging, images)
    bake = staging / "bake.json"
    bake.write_text(
        render_bake(
            images,
            assets=inputs.assets,
            staging=str(staging),
            secrets=inputs.secrets,
            arguments={"CADDY": inputs.caddy},
            network_arguments={name: os.environ[name] for name in PROXIES if name in os.environ},
        )
    )
    log = _new_log(root / "state" / "logs")
    reader = PlainProgress(on_line=on_line, only=images[0].name if len(images) == 1 else "")
    with log.open("w", encoding="utf-8") as out:
        for line in _bake(bake, inputs.no_cache):
            out.write(line + "\n")
            reader.read(line)
    if not reader.failed and reader.succeeded:
        return
    raise _failure(reader, log)


def stage(staging: Path, images: tuple[Image, ...]) -> None:
    """Writes each project image's build context: only the files that its tag is made of.

    Their times are the present: BuildKit takes a file of the same path, size and time for the one that it
    got the last time, and would build with the old text under the new tag.
    """
    for image in images:
        if image.context:
            continue
        folder = staging / image.name
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in image.staged:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755 if name == "postBuild" else 0o644)


def _bake(bake: Path, no_cache: bool) -> Iterator[str]:
    """The lines that the build prints; its last one is "exit: N"."""
    from python_on_whales import DockerClient
    from python_on_whales.exceptions import DockerException

    # Bake asks before it reads files outside the current folder; the secrets and contexts are such, and are ours.
    os.environ["BUILDX_BAKE_ENTITLEMENTS_FS"] = "0"
    client = DockerClient()
    rest = ""
    try:
        stream = client.buildx.bake(files=[str(bake)], progress="plain", cache=not no_cache, stream_logs=True)
        for piece in stream:
            text = piece[1].decode(errors="replace") if isinstance(piece, tuple) else str(piece)
            *lines, rest = (rest + text).split("\n")
            yield from lines
    except DockerException as failed:
        if rest:
            yield rest
        yield f"exit: {failed.return_code}"
        return
    if rest:
        yield rest
    yield "exit: 0"


@dataclass(kw_only=True)
class PlainProgress:
    """Reads buildx's plain progress: "#7 [target 3/9] RUN ...", "#7 1.23 output", "#7 ERROR: ...".

    only: the one target of the build, if there is but one; buildx then leaves its name out.
    """

    on_line: Callable[[str, str], None]
    only: str = ""
    targets: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    output: dict[str, list[str]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    succeeded: bool = False

    def read(self, line: str) -> None:
        """Takes one line."""
        if line == "exit: 0":
            self.succeeded = True
            return
        found = re.match(r"#(\d+) (.*)", line)
        if found is None:
            if line.startswith("ERROR:"):
                self.errors.append(line.removeprefix("ERROR:").strip())
            return
        vertex, words = found.groups()
        title = re.match(r"\[([\w.-]+)(?: ([\w.-]+))?(?: +\d+/\d+)?\] (.*)", words)
        if title:
            if self.titles.get(vertex) == words:
                return  # said again when the output goes back to this step
            self.targets[vertex] = self.only or title.group(1)
            self.titles[vertex] = words
            self.output.pop(vertex, None)  # numbers start anew when the build proper begins
            if not title.group(3).startswith(("load ", "exporting")):
                self.on_line(self.targets[vertex], brief(title.group(3)))
        elif words.startswith("ERROR:"):
            self.failed.append(vertex)
            self.errors.append(words.removeprefix("ERROR:").strip())
        elif not re.match(r"(DONE|CACHED|CANCELED|sha256:|transferring|\.\.\.$)", words):
            self.output.setdefault(vertex, []).append(re.sub(r"^\d+\.\d+ ", "", words))


def brief(instruction: str) -> str:
    """A Dockerfile instruction as a person wants to see it go by: no mounts, one line."""
    words = " ".join(re.sub(r"--mount=\S+", " ", instruction).split())
    return words if len(words) <= 100 else words[:97] + "..."


def _failure(reader: PlainProgress, log: Path) -> BuildError | HostError:
    output = [line for failed in reader.failed for line in reader.output.get(failed, [])[-30:]]
    everything = "\n".join([*reader.errors, *output])
    if re.search(r"no space left on device|have enough free space", everything, re.I):
        return HostError(
            "the disk is full: an image could not be built; what ran before still runs",
            details=(f"the whole log: {log}",),
            remedy="free room (`docker system df` shows what the engine holds), then run it again",
        )
    vertex = next((v for v in reader.failed if reader.output.get(v)), reader.failed[0] if reader.failed else "")
    target = reader.targets.get(vertex, "")
    title = reader.titles.get(vertex, "")
    lines = [line for line in reader.output.get(vertex, []) if line.strip()][-12:] or reader.errors[-2:]
    project = target.removeprefix("project-") if target.startswith("project-") else ""
    place, remedy = _place(title, project)
    return BuildError(
        f"the image of {project or target or 'the rig'} could not be built{place}; what ran before still runs",
        details=(*lines, f"the whole log: {log}"),
        remedy=remedy,
    )


# What a step of images/project/Dockerfile reads, by a word in it.
_STEP_FILES = {
    "requirements.txt": "requirements.txt",
    "apt.txt": "apt.txt",
    "postBuild": "postBuild",
    "pyproject": "pyproject.toml",
    "cuda": "the setting cuda",
}


def _place(title: str, project: str) -> tuple[str, str]:
    for word, file in _STEP_FILES.items():
        if project and word in title:
            return f": {file}", f"mend {file} of {project}, then run `rigstack up` again"
    return "", "read the lines above; `rigstack host check` tells what this machine lacks"


def _new_log(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("build-*.log"))[: -KEPT_LOGS + 1]:
        old.unlink()
    return folder / f"build-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
