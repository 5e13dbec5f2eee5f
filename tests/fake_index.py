"""A fake package index, behind a password or public, with one made-up package; for tests of builds."""

from __future__ import annotations

import base64
import hashlib
import io
import secrets
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PACKAGE = "rigstack-fake-package"
MODULE = "rigstack_fake_package"


class FakeIndex:
    """`served` are the paths that were given to who knew the password, `refused` those asked for without. A username ""
    lets everybody in.

    Its package has another version each time, so that no cache of an earlier test has it.
    """

    def __init__(self, username: str, password: str) -> None:
        self.username, self.password = username, password
        self.served: list[str] = []
        self.refused: list[str] = []
        self.port = 0
        self.version = f"1.{secrets.randbelow(10**9)}"
        wheel, file = made_up_wheel(self.version), f"{MODULE}-{self.version}-py3-none-any.whl"
        link = f'<a href="/{file}#sha256={hashlib.sha256(wheel).hexdigest()}">{file}</a>'
        self.pages = {
            f"/simple/{PACKAGE}/": ("text/html", f"<!doctype html><html><body>{link}</body></html>".encode()),
            f"/{file}": ("application/octet-stream", wheel),
        }

    def url(self, host: str) -> str:
        who = f"{self.username}:{self.password}@" if self.username else ""
        return f"http://{who}{host}:{self.port}/simple/"

    def allows(self, authorization: str) -> bool:
        return (
            not self.username
            or authorization == "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        )


def made_up_wheel(version: str) -> bytes:
    info = f"{MODULE}-{version}.dist-info"
    files = {
        f"{MODULE}.py": "ORIGIN = 'the fake index'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return held.getvalue()


@contextmanager
def fake_index(username: str, password: str) -> Iterator[FakeIndex]:
    """The fake on a free port of all addresses, so that builds reach it through the engine's bridge."""
    fake = FakeIndex(username, password)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, body = fake.pages.get(self.path, ("text/plain", b""))
            if not fake.allows(self.headers.get("Authorization", "")):
                fake.refused.append(self.path)
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="fake"')
                body = b""
            else:
                fake.served.append(self.path)
                self.send_response(200 if body else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    fake.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
