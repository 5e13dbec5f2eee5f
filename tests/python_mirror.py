"""A mirror of Pythons for builds, with one in it: this machine's own /usr/bin/python3, packed as uv expects it.

The builds that uv usually fetches are not to be had everywhere; the rest of the way (list, download, unpacking, use) is
the real one.
"""

from __future__ import annotations

import io
import json
import platform
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PYTHON = Path("/usr/bin/python3").resolve()
VERSION = PYTHON.name.removeprefix("python") if PYTHON.is_file() else ""  # "3.11"
ARCHIVE = "/python.tar.gz"


def packed_python() -> bytes:
    """python/bin and python/lib of it, without packages and tests. A distribution's needs no libpython."""

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = Path(member.name).parts
        unwanted = {"site-packages", "dist-packages", "test", "tests", "idlelib", "__pycache__"}
        outside = member.issym() and member.linkname.startswith("/")  # uv takes no archive with such a link
        return None if unwanted & set(parts) or outside or member.name.endswith(".a") else member

    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz", compresslevel=1) as archive:
        archive.add(PYTHON, f"python/bin/{PYTHON.name}")
        archive.add(f"/usr/lib/{PYTHON.name}", f"python/lib/{PYTHON.name}", filter=wanted)
    return held.getvalue()


def described(url: str) -> dict[str, object]:
    """The list of downloads as `uv python install --python-downloads-json-url` reads it."""
    asked = subprocess.run((PYTHON, "-c", "import sys; print(*sys.version_info[:3])"), capture_output=True, check=True)
    machine, (major, minor, patch) = platform.machine(), map(int, asked.stdout.split())
    one = {
        **{"name": "cpython", "os": "linux", "libc": "gnu", "arch": {"family": machine, "variant": None}},
        **{"major": major, "minor": minor, "patch": patch, "prerelease": "", "variant": None},
        **{"url": url, "sha256": None},
    }
    return {f"cpython-{major}.{minor}.{patch}-linux-{machine}-gnu": one}


class PythonMirror:
    """`asked` are the paths that were asked for."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []

    def url(self, host: str) -> str:
        return f"http://{host}:{self.port}/{host}/list.json"


@contextmanager
def python_mirror() -> Iterator[PythonMirror]:
    """The mirror on a free port of all addresses, so that builds reach it through the engine's bridge."""
    mirror, archive = PythonMirror(), packed_python()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.asked.append(self.path)
            host = self.path.split("/")[1]
            listed = json.dumps(described(f"http://{host}:{mirror.port}{ARCHIVE}")).encode()
            body = archive if self.path == ARCHIVE else listed
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    mirror.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
