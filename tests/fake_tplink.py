"""Fake Kasa and Tapo plugs that speak TP-Link's local protocols; each remembers what it was asked.

Kasa: JSON under an autokey XOR with a length before it, on TCP (softScheck, "Reverse Engineering the TP-Link HS110").
Tapo: KLAP, a handshake of hashes over HTTP and then JSON under AES-128-CBC with a signature.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import socketserver
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class FakeTpLink:
    """stuck: it takes every word and does nothing."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.stuck, self.on = stuck, True
        self.asked: list[str] = []
        self.address = ""

    def switch(self, on: bool) -> None:
        if not self.stuck:
            self.on = on

    def kasa(self, request: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        for command, words in request["system"].items():
            self.asked.append(f"{command} {json.dumps(words)}")
            if command == "set_relay_state":
                self.switch(bool(words["state"]))
                answer[command] = {"err_code": 0}
            elif command == "get_sysinfo":
                answer[command] = {
                    "err_code": 0,
                    "model": "HS100(EU)",
                    "mic_type": "IOT.SMARTPLUGSWITCH",
                    "alias": "rig",
                    "dev_name": "Smart Wi-Fi Plug",
                    "deviceId": "00" * 20,
                    "mac": "00:11:22:33:44:55",
                    "sw_ver": "1.5.4",
                    "hw_ver": "1.0",
                    "feature": "TIM",
                    "rssi": -50,
                    "led_off": 0,
                    "on_time": 60,
                    "relay_state": int(self.on),
                }
            else:
                answer[command] = {"err_code": -2, "err_msg": "member not support"}
        others = {name: {"err_code": -1, "err_msg": "module not support"} for name in request if name != "system"}
        return {"system": answer, **others}

    def tapo(self, request: dict[str, Any]) -> dict[str, Any]:
        method, words = request["method"], request.get("params", {})
        if method == "multipleRequest":
            return {"error_code": 0, "result": {"responses": [self.tapo(one) for one in words["requests"]]}}
        self.asked.append(f"{method} {json.dumps(words)}")
        told: dict[str, Any] = {
            "component_nego": {"component_list": [{"id": "device", "ver_code": 2}]},
            "get_connect_cloud_state": {"status": 1},
            "get_device_info": {
                "device_id": "00" * 20,
                "type": "SMART.TAPOPLUG",
                "model": "P100",
                "nickname": "cmln",
                "mac": "00-11-22-33-44-55",
                "fw_ver": "1.4.0",
                "hw_ver": "1.20.0",
                "device_on": self.on,
            },
        }
        if method == "set_device_info":
            self.switch(words["device_on"])
            return {"method": method, "error_code": 0, "result": {}}
        if method in told:
            return {"method": method, "error_code": 0, "result": told[method]}
        return {"method": method, "error_code": -1001}


def _keyed(data: bytes, *, back: bool) -> bytes:
    key, out = 171, bytearray()
    for byte in data:
        out.append(key ^ byte)
        key = byte if back else out[-1]
    return bytes(out)


@contextlib.contextmanager
def fake_kasa(*, stuck: bool = False) -> Iterator[FakeTpLink]:
    """A fake Kasa plug on a port of its own; fails the test when nothing asked it."""
    plug = FakeTpLink(stuck=stuck)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.read(4):
                request = json.loads(_keyed(self.rfile.read(struct.unpack(">I", head)[0]), back=True))
                body = _keyed(json.dumps(plug.kasa(request)).encode(), back=False)
                self.wfile.write(struct.pack(">I", len(body)) + body)

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler), plug):
        yield plug


class _Session:
    """One handshake of KLAP v2: what both sides derive from their seeds and the account."""

    def __init__(self, local: bytes, account: bytes) -> None:
        self.local, self.remote, self.account = local, secrets.token_bytes(16), account
        self.proved = False

    def proof(self, first: bytes, second: bytes) -> bytes:
        return hashlib.sha256(first + second + self.account).digest()

    def _derived(self, word: bytes) -> bytes:
        return hashlib.sha256(word + self.local + self.remote + self.account).digest()

    def cipher(self, number: int) -> Cipher[modes.CBC]:
        vector = self._derived(b"iv")[:12] + struct.pack(">i", number)
        return Cipher(algorithms.AES(self._derived(b"lsk")[:16]), modes.CBC(vector))

    def signed(self, number: int, text: bytes) -> bytes:
        return hashlib.sha256(self._derived(b"ldk")[:28] + struct.pack(">i", number) + text).digest() + text


@contextlib.contextmanager
def fake_tapo(user: str, password: str) -> Iterator[FakeTpLink]:
    """A fake Tapo plug with that account; fails the test when nothing asked it."""
    plug = FakeTpLink()
    halves = [hashlib.sha1(one.encode()).digest() for one in (user, password)]
    account = hashlib.sha256(b"".join(halves)).digest()
    sessions: dict[str, _Session] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if parts.path == "/app/handshake1":
                session, name = _Session(body, account), secrets.token_hex(8)
                sessions[name] = session
                proof = session.proof(session.local, session.remote)
                self._answer(200, session.remote + proof, cookie=f"TP_SESSIONID={name};TIMEOUT=1440")
                return
            cookie = self.headers.get("Cookie", "").partition("TP_SESSIONID=")[2].partition(";")[0]
            found = sessions.get(cookie)
            if found and parts.path == "/app/handshake2":
                found.proved = body == found.proof(found.remote, found.local)
                self._answer(200 if found.proved else 403, b"")
            elif found and found.proved and parts.path == "/app/request":
                number = int(parse_qs(parts.query)["seq"][0])
                if body != found.signed(number, body[32:]):
                    self._answer(403, b"")
                    return
                opened = found.cipher(number).decryptor()
                plain = padding.PKCS7(128).unpadder()
                text = plain.update(opened.update(body[32:]) + opened.finalize()) + plain.finalize()
                padder, sealed = padding.PKCS7(128).padder(), found.cipher(number).encryptor()
                padded = padder.update(json.dumps(plug.tapo(json.loads(text))).encode()) + padder.finalize()
                self._answer(200, found.signed(number, sealed.update(padded) + sealed.finalize()))
            else:
                self._answer(403, b"")

        def _answer(self, status: int, body: bytes, *, cookie: str = "") -> None:
            self.send_response(status)
            if cookie:
                self.send_header("Set-Cookie", cookie)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler), plug):
        yield plug


@contextlib.contextmanager
def _serving(server: socketserver.TCPServer, plug: FakeTpLink) -> Iterator[None]:
    server.daemon_threads = True  # type: ignore[attr-defined]
    plug.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
    assert plug.asked, "the fake plug was not used"
