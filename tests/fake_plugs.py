"""Fake smart plugs that speak the real ones' HTTP, as their makers document it; each remembers what it was asked."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class FakePlug:
    """kind: "tasmota", "shelly1" or "shelly2". stuck: it takes every word and does nothing."""

    def __init__(self, kind: str, *, stuck: bool = False, password: str = "") -> None:
        self.kind, self.stuck, self.password = kind, stuck, password
        self.on = True
        self.asked: list[str] = []
        self.address = ""

    def answer(self, target: str) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(target)
        words = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.asked.append(target)
        return getattr(self, self.kind)(parts.path, words)  # type: ignore[no-any-return]

    def switch(self, on: bool) -> None:
        if not self.stuck:
            self.on = on

    def tasmota(self, path: str, words: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """tasmota.github.io/docs/Commands: /cm?cmnd=Power%20On, answers {"POWER": "ON"}."""
        if path != "/cm":
            return 404, {}
        if self.password and words.get("password") != self.password:
            return 401, {"WARNING": "Need user=<username>&password=<password>"}
        command = words.get("cmnd", "").lower()
        if command in ("power on", "power off"):
            self.switch(command == "power on")
        elif command != "power":
            return 200, {"Command": "Unknown"}
        return 200, {"POWER": "ON" if self.on else "OFF"}

    def shelly1(self, path: str, words: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """shelly-api-docs.shelly.cloud/gen1: /shelly, /relay/0?turn=on."""
        if path == "/shelly":
            return 200, {"type": "SHPLG-S", "mac": "AABBCCDDEEFF", "auth": False, "fw": "20230913"}
        if path != "/relay/0":
            return 404, {}
        if words.get("turn") in ("on", "off"):
            self.switch(words["turn"] == "on")
        return 200, {"ison": self.on, "has_timer": False, "source": "http"}

    def shelly2(self, path: str, words: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """shelly-api-docs.shelly.cloud/gen2: /shelly, /rpc/Switch.Set, /rpc/Switch.GetStatus."""
        if path == "/shelly":
            return 200, {"id": "shellyplugsg3-x", "gen": 3, "app": "PlugSG3", "auth_en": False}
        if path == "/rpc/Switch.Set" and words.get("id") == "0" and words.get("on") in ("true", "false"):
            was = self.on
            self.switch(words["on"] == "true")
            return 200, {"was_on": was}
        if path == "/rpc/Switch.GetStatus" and words.get("id") == "0":
            return 200, {"id": 0, "source": "HTTP_in", "output": self.on, "apower": 61.2, "voltage": 230.1}
        return 404, {"code": 404, "message": "No handler"}


@contextlib.contextmanager
def fake_plug(kind: str, *, host: str = "127.0.0.1", stuck: bool = False, password: str = "") -> Iterator[FakePlug]:
    """A fake plug on a port of its own; fails the test when nothing asked it."""
    plug = FakePlug(kind, stuck=stuck, password=password)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = plug.answer(self.path)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    plug.address = f"{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield plug
    finally:
        server.shutdown()
        server.server_close()
    assert plug.asked, "the fake plug was not used"
