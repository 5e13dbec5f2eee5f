"""Turns a failed build into the line that matters: whose image, which of the person's files, what to do next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from rigstack.engine.build_progress import PlainProgress
from rigstack.errors import BuildError, HostError
from rigstack.plan.images import Image

# What a step of images/project/Dockerfile reads, by a word in it.
_STEP_FILES = {
    "apt.txt": "apt.txt",
    "postBuild": "postBuild",
    "environment": "environment.yml",
    "install-local": "its own package",
    "link-folders": "mounts in devcontainer.json",
    "install-env": "the setting python",
    "cuda": "the setting cuda",
}


# What install-python ends with: its steps do not add up; a file cannot be installed.
_NO_ADDITION = "rigstack: not an addition"
_CANNOT = "rigstack: cannot install"

# How images/edge/take-caddy begins what it says, and what BuildKit says where there is nothing to take.
_TAKES_CADDY = "take-caddy: "
_NO_CADDY = '"/usr/bin/caddy": not found'

# What pip, uv, apt, curl and git say where something on the way signs for everybody.
_UNTRUSTED = re.compile(
    r"certificate[ _]verif(?:y|ication)[ _]failed|UnknownIssuer|unable to get local issuer|self[- ]signed certificate",
    re.I,
)


def refused_step(reader: PlainProgress) -> str:
    """The image whose packages cannot be installed on top of what an earlier build installed, or ""."""
    for vertex in reader.failed:
        if any(line.startswith(_NO_ADDITION) for line in reader.output.get(vertex, ())):
            return reader.targets.get(vertex, "")
    return ""


def recipes(images: tuple[Image, ...], assets: str) -> dict[str, str]:
    """Image name -> the text of its Dockerfile, for telling whose a step is."""
    texts = {}
    for image in images:
        if image.dockerfile:
            path = Path(assets) / "images" / image.dockerfile / "Dockerfile"
            texts[image.name] = path.read_text(encoding="utf-8") if path.is_file() else ""
        else:
            texts[image.name] = image.dockerfile_text
    return texts


def build_failure(reader: PlainProgress, log: Path, recipes: Mapping[str, str] | None = None) -> BuildError | HostError:
    """The error for what `reader` has read; HostError for a full disk. recipes: image -> its Dockerfile."""
    output = [line for failed in reader.failed for line in reader.output.get(failed, [])[-30:]]
    everything = "\n".join([*reader.errors, *output])
    if re.search(r"no space left on device|have enough free space", everything, re.I):
        return HostError(
            "the disk is full: an image could not be built; what ran before still runs",
            details=(f"the whole log: {log}",),
            remedy="free room (`docker system df` shows what the engine holds), then run it again",
        )
    vertex = next((v for v in reader.failed if reader.output.get(v)), reader.failed[0] if reader.failed else "")
    title = reader.titles.get(vertex, "")
    target = _owner(title, reader.targets.get(vertex, ""), recipes or {})
    told = [line for line in reader.output.get(vertex, []) if line.strip() and not line.startswith(_CANNOT)]
    lines = told[-12:] or reader.errors[-2:]
    kind, _, project = target.partition("-") if re.match("(project|own|base)-", target) else ("", "", "")
    place, cause, remedy = _place(kind, title, project, everything)
    if kind != "own" and _UNTRUSTED.search(everything):  # a person's own Dockerfile sees to that by itself
        cause = "this network looks into TLS, and the build does not trust who signs there"
        remedy = (
            "add its root certificate to this machine (a .crt file in /usr/local/share/ca-certificates, then"
            " update-ca-certificates), or name its file in [images] ca_bundle; then run `rigstack up` again"
        )
    return BuildError(
        f"the image of {project or target or 'the rig'} could not be built{place}; what ran before still runs",
        details=(*lines, f"the whole log: {log}"),
        cause=cause,
        remedy=remedy,
        projects=(project,) if project else (),
    )


def _owner(title: str, target: str, recipes: Mapping[str, str]) -> str:
    """Whose step it is: one that images share is done once, and printed under any of their names."""
    step = re.sub(r"^\[[^]]*\] ", "", title)
    if not step.startswith("RUN ") or target not in recipes:
        return target
    having = [name for name, text in recipes.items() if _squeezed(step) in _squeezed(text)]
    if target in having or not having:
        return target
    project = target.partition("-")[2]
    return next((name for name in having if name in (f"own-{project}", f"base-{project}")), having[0])


def _squeezed(text: str) -> str:
    """Text without continuations and runs of blanks, as buildx prints an instruction."""
    return " ".join(re.sub(r"\\\n(?:[ \t]*#.*\n)*", " ", text).split())


def _place(kind: str, title: str, project: str, everything: str) -> tuple[str, str, str]:
    """Where it is, the likely cause, and what to do."""
    mend = "mend {} of {}, then run `rigstack up` again"
    if kind == "own":
        cause = ""
        if "source metadata" in everything or re.search(r"pull access denied|failed to resolve", everything):
            cause = "the image that its FROM names is not here and no registry gives it"
        return ": Dockerfile", cause, mend.format("the Dockerfile", project)
    if kind == "base":
        return (
            ": adding sshd and JupyterLab to the image of its Dockerfile",
            "that image has no shell, no apt-get, or a Python older than 3.11: Debian 12 and Ubuntu 24.04 do",
            "start the Dockerfile FROM such an image",
        )
    if project and (cannot := re.search(rf"^{_CANNOT} (\S+)$", everything, re.M)):
        return f": {cannot.group(1)}", "", mend.format(cannot.group(1), project)
    if _TAKES_CADDY in everything or _NO_CADDY in everything:
        cause = "that image has no /usr/bin/caddy" if _NO_CADDY in everything else ""
        remedy = "name another in [tls] caddy_image: `docker run --rm IMAGE caddy list-modules` shows what one has"
        return ": the Caddy of [tls] caddy_image", cause, f"{remedy}; docs/tls.md has the recipe"
    for word, file in _STEP_FILES.items():
        if project and word in title:
            return f": {file}", "", mend.format(file.replace("its own", "the own"), project)
    return "", "", "read the lines above; `rigstack host check` tells what this machine lacks"
