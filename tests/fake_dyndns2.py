"""A fake dyndns2 server (and a fake page that tells the caller's address), for tests of the DDNS client."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ADDRESS = "203.0.113.7"  # RFC 5737: documentation


class FakeDyndns2:
    """Takes updates of one account; `updates` and `refused` hold what it was asked, `looks` counts address look-ups."""

    def __init__(self, username: str, password: str) -> None:
        self.account = f"{username}:{password}"
        self.updates: list[dict[str, str]] = []
        self.refused: list[dict[str, str]] = []
        self.refusal_status = 401  # some say badauth with 200
        self.looks = 0
        self.port = 0

    def answer(self, path: str, authorization: str) -> tuple[int, str]:
        place = urlsplit(path)
        if place.path == "/":
            self.looks += 1
            return 200, f"<html><body>Current IP Address: {ADDRESS}</body></html>"
        if place.path != "/nic/update":
            return 404, "notfound"
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        if authorization != "Basic " + base64.b64encode(self.account.encode()).decode():
            self.refused.append(asked)
            return self.refusal_status, "badauth"
        told = any(one == asked for one in self.updates)
        self.updates.append(asked)
        return 200, f"{'nochg' if told else 'good'} {asked.get('myip', '')}"


@contextmanager
def fake_dyndns2(username: str, password: str) -> Iterator[FakeDyndns2]:
    """The fake on a free port of all addresses, so that containers reach it through a bridge's."""
    fake = FakeDyndns2(username, password)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = fake.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

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
