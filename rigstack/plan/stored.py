"""The images that the engine keeps for rigs: which is a project's previous one, and which may go. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rigstack.value import Value


class StoredImage(Value):
    """An image in the engine. size in bytes; tagged: when it got its tag, seconds since 1970.

    kind: "project-NAME", "own-NAME", "base-NAME", or an image of the rig itself.
    """

    tag: str
    kind: str
    size: int
    tagged: float
    inputs: Mapping[str, str] = {}
    lines: Mapping[str, tuple[str, ...]] = {}

    @property
    def project(self) -> str:
        """The project it is of, or "" for the rig's own images."""
        kind, _, name = self.kind.partition("-")
        return name if kind in ("project", "own", "base") else ""


def previous(images: Iterable[StoredImage], project: str, deployed: str) -> StoredImage | None:
    """The image of the project that was there before the deployed one, or None."""
    mine = sorted((one for one in images if one.kind == f"project-{project}"), key=lambda one: one.tagged)
    now = next((one.tagged for one in mine if one.tag == deployed), float("inf"))
    earlier = [one for one in mine if one.tagged < now and one.tag != deployed]
    return earlier[-1] if earlier else None


def prunable(images: Iterable[StoredImage], kept: frozenset[str], projects: frozenset[str]) -> tuple[StoredImage, ...]:
    """What nothing needs: not in `kept` (tags deployed or wanted), nor the one before of one of `projects`."""
    everything = list(images)
    newest = sorted(everything, key=lambda one: one.tagged, reverse=True)
    spared = set(kept)
    for project in projects:
        for kind in (f"project-{project}", f"own-{project}", f"base-{project}"):
            rest = [one.tag for one in newest if one.kind == kind and one.tag not in kept]
            spared.update(rest[:1])
    return tuple(one for one in everything if one.project and one.tag not in spared)


def prunable_shared(images: Iterable[StoredImage], kept: frozenset[str], before: float) -> tuple[StoredImage, ...]:
    """Images that the machine's rigs share and none needs: not in `kept`, and nothing in `images` is built on them.

    before: those made later, in seconds since 1970, stay: a rig may be about to start them.
    """
    everything = list(images)
    below = {value for one in everything for value in one.inputs.values()}
    return tuple(one for one in everything if not one.project and one.tagged < before and one.tag not in kept | below)
