"""A container registry of the machine's own on the loopback, whose plain HTTP every engine accepts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live_rig import docker, free_port, wait_for

CONFIG = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "{address}"}}
"""


class Registry:
    """address: host:port. `pushed` are the images that the engine was given to push."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pushed: list[str] = []

    def push(self, name: str, dockerfile: str) -> str:
        """Builds an image and pushes it as `name`; its digest. The engine forgets it."""
        image = f"{self.address}/{name}"
        subprocess.run(("docker", "build", "-qt", image, "-"), input=dockerfile, text=True, check=True, timeout=300)
        digest = docker("push", image).rpartition("digest: ")[2].split()[0]
        docker("image", "rm", image)
        self.pushed.append(image)
        return digest


@contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """A real registry that keeps its images in `folder`, for the block; the engine keeps none that came from it."""
    made = Registry(f"127.0.0.1:{free_port()}")
    (folder / "config.yml").write_text(CONFIG.format(folder=folder / "images", address=made.address))
    with (folder / "log").open("w") as log:
        served = subprocess.Popen(("docker-registry", "serve", str(folder / "config.yml")), stdout=log, stderr=log)
    try:
        wait_for("the registry", lambda: "listening on" in (folder / "log").read_text())
        yield made
    finally:
        served.kill()
        served.wait()
        kept = docker("image", "ls", "--digests", f"--filter=reference={made.address}/*", "--format={{.ID}}").split()
        if kept:
            docker("image", "rm", "--force", *kept, check=False)
