"""JupyterLab's login as a rig wants it: guessers are slowed down, a new password counts at once and ends old logins.

Jupyter itself verifies as many passwords a second as it can, and reads its password's hash at the start only. This is a
server extension; run-notebook switches it on, and names LoginHandler as the one that takes passwords.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import gc
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.base.handlers import APIVersionHandler, JupyterHandler
from jupyter_server.serverapp import ServerApp
from rigstack_slowdown import Slowdown, client_of
from tornado.ioloop import PeriodicCallback
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler

HASH = Path("/etc/rigstack/notebook/jupyter_server_config.json")
LOOK_SECONDS = 1  # how soon a new password counts

# A browser that has logged in before is a client of its own, whatever others at its address do: a guesser behind the
# same router does not slow the owner down (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").
DEVICE = "rigstack-device"
DEVICE_DAYS = 365

slowdown = Slowdown()
turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


def policy(*connect: str) -> str:
    """The Content-Security-Policy of Jupyter's pages. connect: other servers that scripts may talk to.

    Scripts, styles and pictures of plots come from anywhere, and JupyterLab itself needs inline scripts and eval. But a
    page talks to its own server only (fetch, WebSocket, beacon), sends forms there, and is framed by nobody else.
    JupyterLab's viewer of PDF files is an <object> with a blob.
    """
    return "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' https:",
            "style-src 'self' 'unsafe-inline' https:",
            "font-src 'self' data: https:",
            "img-src 'self' data: blob: https:",
            "media-src 'self' data: blob: https:",
            "frame-src 'self' data: blob: https:",
            " ".join(("connect-src 'self' data: blob:", *connect)),
            "worker-src 'self' blob:",
            "object-src 'self' blob:",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )


class Slowed(JupyterHandler):
    """What both ways to give a password share."""

    def client(self) -> str:
        """Who tries. The edge says from where, and lets nobody else say it (X-Real-Ip)."""
        device = self.get_signed_cookie(DEVICE, max_age_days=DEVICE_DAYS)
        return f"device {device.decode()}" if device else client_of(self.request.remote_ip or "")

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Holds the client's turn to be looked at, after its wait. Raises 429 when too many of it wait already."""
        if not slowdown.enter(client):
            self.set_header("Retry-After", str(int(slowdown.wait(client, time.monotonic())) + 1))
            raise HTTPError(429, "Too many tries: wait a moment")
        try:
            lock = turns.setdefault(client, asyncio.Lock())
            async with lock:
                await asyncio.sleep(slowdown.wait(client, time.monotonic()))
                yield
        finally:
            slowdown.leave(client)

    def count(self, client: str, *, right: bool) -> None:
        if not right:
            slowdown.failed(client, time.monotonic())
            return
        slowdown.succeeded(client)
        if not client.startswith("device "):
            self.set_signed_cookie(
                DEVICE,
                secrets.token_hex(8),
                expires_days=DEVICE_DAYS,
                path=self.base_url,
                httponly=True,
                secure=self.request.protocol == "https",
                samesite="Strict",
            )


class LoginHandler(Slowed, LoginFormHandler):
    """The login form."""

    @allow_unauthenticated
    async def post(self) -> None:
        async with self.turn(self.client()):
            super().post()
            if self.get_status() == 401:
                self.count(self.client(), right=False)

    def _redirect_safe(self, url: str, default: str | None = None) -> None:
        """How a login ends that went well; afterwards no cookie can be set any more."""
        if self.request.method == "POST":
            self.count(self.client(), right=True)
        super()._redirect_safe(url, default)


class ListHandler(Slowed):
    """Whether the edge may show the list of projects: HTTP Basic with the same password, and the same waits."""

    @allow_unauthenticated
    async def get(self) -> None:
        password = self._password()
        if password is not None:
            client = self.client()
            async with self.turn(client):
                right = self.identity_provider.passwd_check(password)
                self.count(client, right=right)
            if right:
                return
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="rig", charset="UTF-8"')

    def _password(self) -> str | None:
        kind, _, given = self.request.headers.get("Authorization", "").partition(" ")
        try:
            return base64.b64decode(given).decode().partition(":")[2] if kind.lower() == "basic" else None
        except (binascii.Error, UnicodeDecodeError):
            return None


class Watch:
    """Takes a new password hash from its file, with no restart: kernels go on, logins with the old one do not."""

    def __init__(self, app: ServerApp) -> None:
        self.app = app
        self.seen = self._stamp()

    def _stamp(self) -> tuple[int, int]:
        try:
            found = HASH.stat()
        except OSError:
            return (0, 0)
        return (found.st_ino, found.st_mtime_ns)

    def look(self) -> None:
        stamp, provider = self._stamp(), self.app.identity_provider
        if stamp == self.seen:
            return
        try:
            hashed = json.loads(HASH.read_text())["PasswordIdentityProvider"]["hashed_password"]
        except (OSError, ValueError, KeyError):
            return  # the next look finds it whole
        self.seen = stamp
        if hashed == provider.hashed_password:
            return
        provider.hashed_password = hashed
        self.app.web_app.settings["cookie_secret"] = self._cookie_secret()
        # Whoever has a page open was let in by the old password.
        for one in gc.get_objects():
            if isinstance(one, WebSocketHandler):
                one.close(1008, "the password changed")
        self.app.log.info("rigstack: the password changed; logins with the old one have ended")

    def _cookie_secret(self) -> bytes:
        """As ServerApp makes it at its next start, so that logins outlive that too."""
        mixed = hmac.new(Path(self.app.cookie_secret_file).read_bytes(), digestmod=hashlib.sha256)
        mixed.update(self.app.password.encode())
        return bytes(self.app.identity_provider.cookie_secret_hook(mixed).digest())


class QuietVersion(APIVersionHandler):
    """GET /api, which health checks need: the version is for those who are logged in."""

    @allow_unauthenticated
    def get(self) -> None:
        if self.current_user:
            super().get()
        else:
            self.finish({"version": ""})


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "rigstack_login"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    app.web_app.settings.setdefault("headers", {}).setdefault("Content-Security-Policy", policy())
    app.web_app.add_handlers(".*$", [(f"{app.base_url}api", QuietVersion), (r"/rigstack/list-login", ListHandler)])
    PeriodicCallback(Watch(app).look, LOOK_SECONDS * 1000).start()
