"""An image whose Caddy has a DNS module, as people make one with xcaddy: compiled once for this machine, and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live_rig import docker

HERE = Path(__file__).parent
MODULE = "rfc2136_of_tests"


def caddy() -> Path:
    """The program, made where it is not there yet: three minutes on two cores."""
    sources = b"".join((HERE / name).read_bytes() for name in ("build", "main.go"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rigstack-tests"
    cache.mkdir(parents=True, exist_ok=True)
    program = cache / f"caddy-{hashlib.sha256(sources).hexdigest()[:12]}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            for old in cache.glob("caddy-*"):
                old.unlink()
            subprocess.run([str(HERE / "build"), str(program)], check=True, timeout=1500)
    return program


@contextmanager
def caddy_image(name: str, folder: Path) -> Iterator[str]:
    """The image, with nothing else in it; only this machine has it."""
    shutil.copyfile(caddy(), folder / "caddy")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY --chmod=0755 caddy /usr/bin/caddy\n")
    docker("build", "--quiet", "--tag", name, str(folder))
    (folder / "caddy").unlink()
    try:
        yield name
    finally:
        docker("image", "rm", "--force", name, check=False)
