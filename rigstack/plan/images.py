"""The images that a rig needs: what goes into each, and the tag that is a hash of exactly that."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from rigstack.config.model import Lock, Project, Rig
from rigstack.plan.cuda import automatic_cuda, spelled_out
from rigstack.plan.dockerfile import base_images
from rigstack.plan.host import Copy, Host, ProjectInputs
from rigstack.render.digest import digest
from rigstack.value import Value

# Staged for every project, empty where it has none, so that each step of the Dockerfile can name its own.
ALWAYS_STAGED = ("apt.txt", "environment.txt", "postBuild", "postCreate", "links", "local/.keep")
# Files whose lines are kept with the image, so that a rebuild can be explained by them.
_KEPT_LINES = 400
_KEPT_FILES = ("requirements.txt", "constraints.txt", "apt.txt", "environment.yml", "postBuild", "Dockerfile")
# A staged file that is called otherwise where it comes from.
_CALLED = {"environment.txt": "environment.yml"}


class Image(Value):
    """An image to be had: its content-hash tag and everything that goes into it.

    name: "base", "gateway", "edge", "ddns", "project-NAME", or for a project with a Dockerfile of its own also
    "own-NAME" (that Dockerfile) and "base-NAME" (what rigstack adds to it).
    context: the folder under images/ that is the build context, or "" when it is staged.
    dockerfile: the folder under images/ whose Dockerfile is used, or "" when dockerfile_text is the Dockerfile.
    staged: file in the context -> text. copies: files that are copied into it as they are; target: its build stage.
    held: an image that its Dockerfile names -> the very one that is meant, by digest.
    parent, parent_tag: the image of this rig that it starts from, or "" for the bootstrap image.
    pinned: the tag is of an image that was rolled back to, and not of these inputs.
    inputs: digests of what goes in, by the name that a person knows it under; why() compares them.
    """

    name: str
    tag: str
    dockerfile: str
    context: str
    staged: tuple[tuple[str, str], ...]
    args: tuple[tuple[str, str], ...]
    parent: str
    inputs: tuple[tuple[str, str], ...]
    parent_tag: str = ""
    copies: tuple[Copy, ...] = ()
    dockerfile_text: str = ""
    target: str = ""
    held: tuple[tuple[str, str], ...] = ()
    pinned: bool = False

    @property
    def built_tag(self) -> str:
        """The tag that the build gives. A project's image gets its own only when it was seen to work (CheckImages)."""
        return f"{self.tag}-unchecked" if self.name.startswith("project-") else self.tag

    def lines(self) -> dict[str, list[str]]:
        """The lines of the short files that went in, by file; no comments, and no credentials of a URL."""
        kept = {}
        for file, text in (*self.staged, ("Dockerfile", self.dockerfile_text)):
            name = _CALLED.get(
                file, re.sub(r"^(pyproject|python/\d)/", "", file)
            )  # of several steps the last one counts
            lines = _lock_lines(text) if name == "uv.lock" else _lines(text)
            if text and len(lines) <= _KEPT_LINES and name in (*_KEPT_FILES, "pyproject.toml", "uv.lock"):
                kept[name] = lines
        return kept


class Bootstrap(Value):
    """The image that all others start from: the registry's with this digest, or without one made of packages."""

    tag: str
    base: str
    release: str
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.base}@{self.digest}" if self.digest else f"packages, {self.tag}"


def _lines(text: str) -> list[str]:
    lines = (re.sub(r"://[^/@\s]+@", "://", line.strip()) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "--hash="))]


def _lock_lines(text: str) -> list[str]:
    """ "name==version" of each package in a uv.lock."""
    return [f"{name}=={version}" for name, version in re.findall(r'^name = "(.+)"\nversion = "(.+)"$', text, re.M)]


def locked_base(rig: Rig, lock: Lock) -> str:
    """What rig.lock says is meant by the base system of [images] (Lock.state), "" when it does not."""
    if lock.base not in ("", rig.images.base):
        return ""
    source = "packages" if lock.state.startswith("packages") else "registry"
    return lock.state if rig.images.source in ("auto", source) else ""


def desire_bootstrap(rig: Rig, lock: Lock) -> Bootstrap:
    """The base system that [images] asks for, in the state that rig.lock names."""
    release = "trixie"
    tag = release if rig.images.base == "debian:trixie-slim" else digest(rig.images.base, length=8)
    state = locked_base(rig, lock)
    locked = state if state.startswith("sha256:") else ""
    if locked:
        tag += "-" + locked.removeprefix("sha256:")[:12]
    else:
        tag += "" if rig.images.source == "auto" else f"-{rig.images.source}"
        serial = state.partition(" ")[2]
        tag += f"-{serial}" if serial else ""
    return Bootstrap(tag=f"rigstack/debian:{tag}", base=rig.images.base, release=release, digest=locked)


def desire_images(rig: Rig, host: Host, bootstrap: Bootstrap) -> tuple[Image, ...]:
    """Every image of the rig, parents before what starts from them."""
    owner = (("UID", str(host.uid)), ("GID", str(host.gid)))
    common = (("DEBIAN", bootstrap.tag), *owner)
    wanted = ["base", "gateway", "edge", *(["ddns"] if rig.ddns else [])]
    images = [_own_image(name, host.image_sources, common) for name in wanted]
    images = [_with_caddy(rig, image, host.lock) if image.name == "edge" else image for image in images]
    base = images[0]
    for project in rig.projects:
        given = host.inputs[project.name]
        parent = base
        if given.dockerfile is not None:
            theirs = _theirs(rig, project, given, host.lock)
            parent = _on_top(rig, project, theirs, host, owner)
            images += [theirs, parent]
        made = _project_image(rig, project, host, parent, bootstrap)
        pin = dict(host.lock.pins).get(project.name)
        images.append(made.replace(tag=pin, pinned=True) if pin and pin != made.tag else made)
    return tuple(images)


def _own_image(name: str, sources: Mapping[str, Mapping[str, str]], args: tuple[tuple[str, str], ...]) -> Image:
    files = ((folder, file, sum_) for folder in (name, "shared") for file, sum_ in sources[folder].items())
    inputs = tuple(sorted((f"images/{folder}/{file}", sum_) for folder, file, sum_ in files))
    inputs += tuple((f"build argument {key}", value) for key, value in args)
    return Image(
        name=name,
        tag=f"rigstack/{name}:{digest(json.dumps(inputs))}",
        dockerfile=name,
        context=name,
        staged=(),
        args=args,
        parent="",
        inputs=inputs,
    )


def _with_caddy(rig: Rig, edge: Image, lock: Lock) -> Image:
    """The edge with the Caddy of [tls] caddy_image, in the state that rig.lock names."""
    image = rig.tls.caddy_image
    if not image:
        return edge
    state = dict(lock.images).get(image, "")
    args = (("CADDY", "image"), ("CADDY_IMAGE", image), ("DNS_MODULE", rig.tls.dns.partition(" ")[0]))
    inputs = (*edge.inputs, (f"FROM {image}", state), *((f"build argument {key}", value) for key, value in args))
    return edge.replace(
        tag=f"rigstack/edge:{digest(json.dumps(inputs))}",
        args=edge.args + args,
        inputs=inputs,
        held=((image, state),) if state.startswith("sha256:") else (),
    )


def own_bases(given: ProjectInputs) -> tuple[str, ...]:
    """The images of elsewhere that a project's own Dockerfile names; none without one."""
    return base_images(given.dockerfile.text, dict(given.dockerfile.args)) if given.dockerfile else ()


def _theirs(rig: Rig, project: Project, given: ProjectInputs, lock: Lock) -> Image:
    """The image that the project's own Dockerfile describes, from the very images that rig.lock names."""
    own = given.dockerfile
    assert own is not None
    named = own_bases(given)
    locked = [(image, state) for image, state in lock.images if image in named]
    inputs = (
        (own.name, digest(own.text)),
        *((f"FROM {image}", state) for image, state in locked),
        *sorted((copy.name, copy.digest) for copy in own.copies),
        *((f"build argument {key}", value) for key, value in own.args),
        *((("build stage", own.target),) if own.target else ()),
    )
    return Image(
        name=f"own-{project.name}",
        tag=f"rigstack/{rig.name}-{project.name}.own:{digest(json.dumps(inputs))}",
        dockerfile="",
        context="",
        staged=(),
        args=own.args,
        parent="",
        inputs=inputs,
        copies=own.copies,
        dockerfile_text=own.text,
        target=own.target,
        held=tuple((image, state) for image, state in locked if state.startswith("sha256:")),
    )


def _on_top(rig: Rig, project: Project, theirs: Image, host: Host, owner: tuple[tuple[str, str], ...]) -> Image:
    """What rigstack adds to their image: the same recipe as its own base, on their system."""
    made = _own_image("base", host.image_sources, (("DEBIAN", theirs.tag), *owner))
    return made.replace(
        name=f"base-{project.name}",
        tag=f"rigstack/{rig.name}-{project.name}.base:{made.tag.rpartition(':')[2]}",
        parent=theirs.name,
        parent_tag=theirs.tag,
        inputs=(*(pair for pair in made.inputs if pair[0] != "build argument DEBIAN"), *theirs.inputs),
    )


def _project_image(rig: Rig, project: Project, host: Host, parent: Image, bootstrap: Bootstrap) -> Image:
    given = host.inputs[project.name]
    staged = dict(given.files)
    if project.apt:
        staged["apt.txt"] = staged.get("apt.txt", "") + "\n".join(["", *project.apt, ""])
    for always in ALWAYS_STAGED:
        staged.setdefault(always, "")
    setting = project.cuda or rig.images.cuda
    cuda = automatic_cuda(host) if setting == "auto" else spelled_out(setting)
    theirs = given.dockerfile is not None
    settings = (
        ("cuda", cuda),
        ("project name", project.name),
        *((("python", project.python or given.python),) if project.python or given.python else ()),
        *((("index", " ".join(project.index)),) if project.index else ()),
    )
    named = dict(settings)
    args = (
        ("BASE", parent.tag),
        ("CUDA", cuda),
        ("PROJECT", project.name),
        *((("WANTED_PYTHON", named.get("python", "image")),) if theirs or "python" in named else ()),
        *((("UV_INDEX", named["index"]),) if "index" in named else ()),
    )
    own = host.image_sources["project"]
    inputs = (
        *sorted((f"images/project/{file}", sum_) for file, sum_ in own.items()),
        *sorted(
            (_CALLED.get(file, file.removeprefix("local/")), digest(text)) for file, text in staged.items() if text
        ),
        *sorted((copy.name, copy.digest) for copy in given.copies),
        *(parent.inputs if theirs else (("base image", parent.tag),)),
        *settings,
    )
    return Image(
        name=f"project-{project.name}",
        tag=f"rigstack/{rig.name}-{project.name}:{digest(json.dumps([inputs, parent.tag]))}",
        dockerfile="project",
        context="",
        staged=tuple(sorted(staged.items())),
        args=args,
        parent=parent.name,
        parent_tag=parent.tag,
        inputs=inputs if theirs else (*inputs, ("base system", str(bootstrap))),  # which parent.tag is made of
        copies=given.copies,
        dockerfile_text=given.dockerfile.text if given.dockerfile else "",
    )
