"""Runs a new image once before any container is replaced by it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from rigstack import process
from rigstack.errors import BuildError
from rigstack.plan.images import Image

PATIENCE = 120.0


def check_argv(tag: str, uid: int, gid: int) -> tuple[str, ...]:
    """A container of the image that has nothing of the rig: no network, no mounts, a home of its own."""
    return (
        *("docker", "run", "--rm", "--network", "none", "--cap-drop", "ALL", "--user", f"{uid}:{gid}"),
        *("--security-opt", "no-new-privileges", "--tmpfs", f"/run/rigstack:uid={uid},gid={gid},mode=0700"),
        *("--tmpfs", f"/home/dev:uid={uid},gid={gid},exec", "--pull", "never"),
        *("--env", "HOME=/home/dev", "--entrypoint", "/usr/local/lib/rigstack/check-image", tag),
    )


def check_images(images: tuple[Image, ...], *, owner: tuple[int, int]) -> None:
    """Checks all side by side and gives those that work their tag. Raises BuildError for those that fail.

    Without its tag an image does not count: killed before or here, the next `up` builds (from the cache) and checks
    again, instead of starting what nobody has seen to work.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:
        outcomes = list(pool.map(lambda image: _check(image, owner), images))
    failed = [(image, done) for image, done in zip(images, outcomes, strict=True) if not done.ok]
    if failed:
        image, done = failed[0]
        projects = tuple(one.name.removeprefix("project-") for one, _ in failed)
        raise BuildError(
            f"the new image of {', '.join(projects)} was built and does not work; what ran before still runs",
            details=done.tail(8),
            cause="something in the project's files replaced what sshd, JupyterLab or its kernel need",
            remedy=f"look at what changed in postBuild, apt.txt or the Dockerfile of {image.name[8:]}",
            projects=projects,
        )


def _check(image: Image, owner: tuple[int, int]) -> process.Completed:
    done = process.run(check_argv(image.built_tag, *owner), timeout=PATIENCE)
    if done.ok:
        done = process.run(("docker", "image", "tag", image.built_tag, image.tag))
    process.run(("docker", "image", "rm", "--no-prune", image.built_tag))
    return done
