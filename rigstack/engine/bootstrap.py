"""The base system that every image starts from: pulled where a registry answers, else made of packages."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from rigstack import process
from rigstack.engine import api
from rigstack.errors import EngineError, HostError
from rigstack.plan.images import Bootstrap

SOURCE_LABEL = "rigstack.source"


def mmdebstrap_argv(release: str, tarball: str, mirror: str) -> tuple[str, ...]:
    """mmdebstrap knows its default mirror; `mirror` is only for those who set one."""
    return ("mmdebstrap", "--variant=minbase", release, tarball, *((mirror,) if mirror else ()))


def ensure_bootstrap(bootstrap: Bootstrap, *, mirror: str, tell: Callable[[str], None]) -> None:
    """Makes bootstrap.tag exist. Raises EngineError or HostError with what was tried."""
    if bootstrap.source != "packages":
        refusal = _pull(bootstrap)
        if not refusal:
            return
        if bootstrap.source == "registry":
            raise EngineError(
                f"cannot pull {bootstrap.base}",
                details=(refusal,),
                remedy='check the network and the name, or set images.source = "packages"',
            )
        tell(f"no registry answers for {bootstrap.base}: making the base system of distribution packages instead")
    _from_packages(bootstrap, mirror)


def bootstrap_source(tag: str) -> str:
    """How the base system came to be: "registry" or "packages"."""
    from urllib.parse import quote

    labels = api.get(f"/images/{quote(tag, safe='')}/json").get("Config", {}).get("Labels") or {}
    return str(labels.get(SOURCE_LABEL, "packages"))


def observe_digest(bootstrap: Bootstrap) -> str:
    """The digest under which the registry gave the base, "" when it was made of packages."""
    if bootstrap_source(bootstrap.tag) != "registry":
        return ""
    shown = process.run(("docker", "image", "inspect", "--format={{index .RepoDigests 0}}", bootstrap.base))
    return shown.stdout.strip().rpartition("@")[2] if shown.ok else ""


def _pull(bootstrap: Bootstrap) -> str:
    """Pulls, labels and tags the base; returns "" or why not."""
    image = f"{bootstrap.base.partition(':')[0]}@{bootstrap.digest}" if bootstrap.digest else bootstrap.base
    pulled = process.run(("docker", "pull", "--quiet", image), timeout=900)
    if not pulled.ok:
        return (pulled.tail(1) or ("no answer",))[0]
    labelled = process.run(
        ("docker", "build", "--quiet", "--tag", bootstrap.tag, "--label", f"{SOURCE_LABEL}=registry", "-"),
        stdin=f"FROM {image}\n",
    )
    return "" if labelled.ok else (labelled.tail(1) or ("the image cannot be tagged",))[0]


def _from_packages(bootstrap: Bootstrap, mirror: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rigstack-") as folder:
        tarball = str(Path(folder) / "system.tar")
        argv = mmdebstrap_argv(bootstrap.release, tarball, mirror)
        try:
            made = process.run(argv, timeout=900)
        except FileNotFoundError:
            raise HostError(
                "mmdebstrap is not installed, and no registry answers",
                remedy="sudo apt-get install mmdebstrap gpg debian-archive-keyring",
            ) from None
        if not made.ok:
            raise HostError(
                f"{process.quote(argv)} failed",
                details=made.tail(6),
                cause="no package mirror answers, or the disk is full",
                remedy="check the network; images.apt_mirror names another mirror",
            )
        _import(tarball, bootstrap.tag)


def _import(tarball: str, tag: str) -> None:
    import docker

    client = docker.APIClient(base_url=f"unix://{api.engine_socket()}", timeout=600)
    repository, _, version = tag.partition(":")
    changes = [f"LABEL {SOURCE_LABEL}=packages", 'CMD ["bash"]']
    with open(tarball, "rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        if not size:
            raise HostError("mmdebstrap made an empty system", remedy="run it again")
        try:
            client.import_image_from_file(tarball, repository=repository, tag=version, changes=changes)
        except docker.errors.DockerException as failed:
            raise EngineError(f"the engine cannot import the base system: {failed}") from None
