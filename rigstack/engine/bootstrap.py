"""The base system that every image starts from: the registry's that rig.lock names, or one made of packages."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rigstack import process
from rigstack.engine import api
from rigstack.errors import EngineError, HostError
from rigstack.plan.images import Bootstrap

SOURCE_LABEL = "rigstack.source"


def mmdebstrap_argv(release: str, tarball: str, mirror: str) -> tuple[str, ...]:
    """mmdebstrap knows its default mirror; `mirror` is only for those who set one."""
    return ("mmdebstrap", "--variant=minbase", release, tarball, *((mirror,) if mirror else ()))


def ensure_bootstrap(bootstrap: Bootstrap, *, mirror: str) -> None:
    """Makes bootstrap.tag exist. Raises EngineError or HostError with what was tried."""
    if not bootstrap.digest:
        _from_packages(bootstrap, mirror)
        return
    image = f"{bootstrap.base.partition('@')[0]}@{bootstrap.digest}"
    labelled = process.run(
        ("docker", "build", "--quiet", "--tag", bootstrap.tag, "--label", f"{SOURCE_LABEL}=registry", "-"),
        stdin=f"FROM {image}\n",
        timeout=900,
    )
    if not labelled.ok:
        raise EngineError(
            f"cannot get {image}, the base system that rig.lock names",
            details=labelled.tail(1),
            cause="the registry does not answer, or has forgotten that image",
            remedy="check the network; `rigstack image update` moves on to the one that it has now",
        )


def bootstrap_source(tag: str) -> str:
    """How the base system came to be: "registry" or "packages"."""
    from urllib.parse import quote

    labels = api.get(f"/images/{quote(tag, safe='')}/json").get("Config", {}).get("Labels") or {}
    return str(labels.get(SOURCE_LABEL, "packages"))


def _from_packages(bootstrap: Bootstrap, mirror: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rigstack-") as folder:
        tarball = str(Path(folder) / "system.tar")
        argv = mmdebstrap_argv(bootstrap.release, tarball, mirror)
        try:
            made = process.run(argv, timeout=900)
        except FileNotFoundError:
            raise HostError(
                "mmdebstrap, which makes the base system of packages, is not installed",
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
