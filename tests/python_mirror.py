"""A mirror of Pythons for builds, with one in it: the very interpreter that runs the tests, packed as uv expects it.

The builds that uv usually fetches are not to be had everywhere; the rest of the way (list, download, unpacking, use) is
the real one.
"""

from __future__ import annotations

import io
import json
import platform
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
ARCHIVE = "/python.tar.gz"


def packed_python() -> bytes:
    """python/bin and python/lib of this interpreter, without packages and tests."""
    top = Path(sys.base_prefix)
    library = top / "lib" / f"python{VERSION}"

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = Path(member.name).parts
        unwanted = {"site-packages", "dist-packages", "test", "tests", "idlelib", "__pycache__"}
        return None if unwanted & set(parts) or member.name.endswith(".a") else member

    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz", compresslevel=1) as archive:
        program = f"bin/python{VERSION}"
        archive.add((top / program).resolve(), f"python/{program}")
        for file in top.glob(f"lib/libpython{VERSION}.so*"):
            archive.add(file, f"python/lib/{file.name}")
        archive.add(library, f"python/lib/python{VERSION}", filter=wanted)
    return held.getvalue()


def described(url: str) -> dict[str, object]:
    """The list of downloads as `uv python install --python-downloads-json-url` reads it."""
    machine, (major, minor, patch) = platform.machine(), sys.version_info[:3]
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
