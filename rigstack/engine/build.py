"""Builds images with one bake call, tells progress by target, and turns a failure into the line that matters."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rigstack.engine.build_failure import build_failure, recipes, refused_step
from rigstack.engine.build_progress import PlainProgress
from rigstack.engine.done_steps import keep_steps, load_steps
from rigstack.errors import HostError
from rigstack.plan.growth import choose_all, ground, lay
from rigstack.plan.images import Image
from rigstack.render.bake import render_bake
from rigstack.value import Value

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
KEPT_LOGS = 10


class BuildInputs(Value):
    """What builds may use besides the images' own files. secrets: id -> file; caddy: "packages" or "image"."""

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
    projects = tuple(image for image in images if image.dockerfile == "project")
    chains = choose_all(projects, {} if inputs.no_cache else load_steps(root))
    log = _new_log(root / "state" / "logs")
    while True:
        laid = tuple(lay(image, chains[image.name]) if image.name in chains else image for image in images)
        reader = _build(root, laid, inputs, on_line, log)
        if reader.succeeded and not reader.failed:
            break
        refused = chains.get(refused_step(reader), ())
        if len(refused) < 2:
            raise build_failure(reader, log, recipes(images, inputs.assets))
        chains = {name: chain[-1:] if chain == refused else chain for name, chain in chains.items()}
    keep_steps(root, [(ground(image), chains[image.name]) for image in projects])


def _build(
    root: Path, images: tuple[Image, ...], inputs: BuildInputs, on_line: Callable[[str, str], None], log: Path
) -> PlainProgress:
    """One bake call, added to the log; what came of it."""
    staging = root / "state" / "build"
    stage(staging, images)
    staging.mkdir(parents=True, exist_ok=True)  # images without a project of their own stage nothing
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
    reader = PlainProgress(on_line=on_line, only=images[0].name if len(images) == 1 else "")
    with log.open("a", encoding="utf-8") as out:
        for line in _bake(bake, inputs.no_cache):
            out.write(line + "\n")
            reader.read(line)
    return reader


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
        for copy in image.copies:
            _copy(Path(copy.source), folder / copy.name)
        folder.mkdir(parents=True, exist_ok=True)
        if not image.dockerfile:
            (staging / f"{image.name}.Dockerfile").write_text(image.dockerfile_text, encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.is_symlink():
            target.symlink_to(os.readlink(source))  # noqa: PTH115
        else:
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
    except OSError as failed:
        raise HostError(f"cannot copy {source} for the build: {failed}", remedy="run it again") from None


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


def _new_log(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("build-*.log"))[: -KEPT_LOGS + 1]:
        old.unlink()
    return folder / f"build-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
