"""Finds out which very images a rig starts from, for rig.lock to name them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from rigstack import process
from rigstack.config.model import Lock, Rig
from rigstack.engine import api
from rigstack.engine.bootstrap import bootstrap_source
from rigstack.errors import EngineError, HostError
from rigstack.plan.images import desire_bootstrap, locked_base

LOCAL = "local "
PATIENCE = 10.0  # seconds in which a registry says something


def lock_base(rig: Rig, lock: Lock, *, move: bool, tell: Callable[[str], None]) -> Lock:
    """The lock with the base system in it: as it is when it is there already, unless `move` asks for the present one.

    Raises EngineError when [images] wants a registry and none gives the image.
    """
    locked = locked_base(rig, lock)
    if locked and not move:
        return lock.replace(base=rig.images.base)
    wanted = rig.images
    if wanted.source != "packages" and (move or not _made_of_packages(rig, lock)):
        digest, refusal = pull(wanted.base)
        if digest:
            return lock.replace(base=wanted.base, state=digest)
        if wanted.source == "registry":
            raise EngineError(
                f"cannot pull {wanted.base}",
                details=(refusal,),
                remedy='check the network and the name, or set images.source = "packages"',
            )
        if locked.startswith("sha256:"):
            tell(f"{wanted.base} stays as it is: {refusal}")
            return lock
        tell(f"no registry gives {wanted.base} ({refusal}): the base system is made of distribution packages")
    serial = time.strftime(" %Y%m%d-%H%M%S") if move else ""
    return lock.replace(base=wanted.base, state=f"packages{serial}")


def lock_images(lock: Lock, images: Iterable[str], *, move: bool, tell: Callable[[str], None]) -> Lock:
    """The lock with `images`, which Dockerfiles name; `move` asks for the present ones.

    What the engine has already is what a build would take, so no registry is asked. An image that is nowhere stays
    out: the build that needs it says so.
    """
    locked = dict(lock.images)
    for image in images:
        state = locked.get(image) or _in_engine(image)
        if not state or (move and not state.startswith(LOCAL)):
            digest, refusal = pull(image)
            if state and not digest:
                tell(f"{image} stays as it is: {refusal}")
            state = digest or state
        if state:
            locked[image] = state
    return lock.replace(images=tuple(sorted(locked.items())))


def follow_local(lock: Lock) -> Lock:
    """The lock with the present ids of images that only this machine has; one that is gone keeps its last."""
    images = [(name, (_in_engine(name) if was.startswith(LOCAL) else "") or was) for name, was in lock.images]
    return lock.replace(images=tuple(images))


def pull(image: str) -> tuple[str, str]:
    """Has the engine get the image that the registry has under this name now: its digest, or "" and why not."""
    try:
        api.get(f"/distribution/{quote(image, safe='/:@')}/json", timeout=PATIENCE)
    except HostError:
        return "", f"no answer within {PATIENCE:.0f} s"
    except EngineError:
        pass  # asked without the person's login, which the client sends; it also has better words
    done = process.run(("docker", "pull", "--quiet", image), timeout=1800)
    state = _in_engine(image) if done.ok else ""
    return ("", (done.tail(1) or ("no answer",))[0]) if not state or state.startswith(LOCAL) else (state, "")


def has_image(tag: str) -> bool:
    """Whether the engine has the image."""
    return bool(_inspect(tag))


def _in_engine(image: str) -> str:
    """The digest of the image that the engine has under this name, "local ID" for one of no registry, "" for none."""
    found = _inspect(image)
    name = image.partition("@")[0]
    name = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    name = name.removeprefix("docker.io/").removeprefix("library/")
    digests = dict(str(one).split("@") for one in found.get("RepoDigests") or ())
    return digests.get(name) or (LOCAL + str(found["Id"]) if found else "")


def _inspect(image: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = api.get(f"/images/{quote(image, safe='')}/json")
    except EngineError:
        return {}
    return found


def _made_of_packages(rig: Rig, lock: Lock) -> bool:
    """Whether no registry answered on this machine before: then there is a base system made of packages."""
    tag = desire_bootstrap(rig, lock).tag
    return has_image(tag) and bootstrap_source(tag) == "packages"
