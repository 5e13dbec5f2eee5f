"""A client of a project's notebook, by a browser's whole way: the edge, its TLS, the login, a kernel's websocket."""

from __future__ import annotations

import json
import re
import ssl
import urllib.request
import uuid
from http.cookiejar import CookieJar
from typing import Any

from websocket import create_connection

from tests.live_rig import LiveRig

PATIENCE = 120.0


class Jupyter:
    """Logged in to a project's JupyterLab with the rig's password, trusting the rig's own authority alone."""

    def __init__(self, rig: LiveRig, project: str) -> None:
        self._origin = f"https://localhost:{rig.https_port}"
        self._base = f"{self._origin}/p/{project}/"
        self._tls = ssl.create_default_context(cafile=str(rig.root_certificate))
        self._cookies = CookieJar()
        self._open = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=self._tls), urllib.request.HTTPCookieProcessor(self._cookies)
        ).open
        self._open(self._base + "login", timeout=PATIENCE)
        self._open(self._base + "login", f"_xsrf={self._xsrf}&password={rig.password}".encode(), timeout=PATIENCE)

    @property
    def _xsrf(self) -> str:
        return next(one.value or "" for one in self._cookies if one.name == "_xsrf")

    def api(self, path: str, method: str = "GET", given: object = None) -> Any:
        """What the REST API answers, https://jupyter-server.readthedocs.io/en/latest/developers/rest-api.html."""
        data = None if given is None else json.dumps(given).encode()
        request = urllib.request.Request(f"{self._base}api/{path}", data, {"X-XSRFToken": self._xsrf}, method=method)
        with self._open(request, timeout=PATIENCE) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def kernels(self) -> dict[str, str]:
        """The kernels that JupyterLab offers: name -> title."""
        return {name: one["spec"]["display_name"] for name, one in self.api("kernelspecs")["kernelspecs"].items()}

    def start(self, kernel: str = "project") -> str:
        """A kernel like one of a notebook in the project's folder; its id."""
        return str(self.api("kernels", "POST", {"name": kernel})["id"])

    def stop(self, kernel_id: str) -> None:
        self.api(f"kernels/{kernel_id}", "DELETE")

    def run(self, code: str, kernel: str = "project") -> str:
        """What a cell with `code` prints in a kernel of its own; fails with the cell's error."""
        kernel_id = self.start(kernel)
        try:
            return self.cell(kernel_id, code)
        finally:
            self.stop(kernel_id)

    def cell(self, kernel_id: str, code: str) -> str:
        """What a cell with `code` prints in that kernel."""
        session = uuid.uuid4().hex
        socket = create_connection(
            f"wss{self._base.removeprefix('https')}api/kernels/{kernel_id}/channels?session_id={session}",
            timeout=PATIENCE,
            sslopt={"context": self._tls},
            origin=self._origin,
            cookie="; ".join(f"{one.name}={one.value}" for one in self._cookies),
        )
        try:
            asked = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": session, "username": "test"}
            content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}}
            message = {"header": {**asked, "version": "5.3", "date": ""}, "parent_header": {}, "metadata": {}}
            socket.send(json.dumps({**message, "content": content, "channel": "shell", "buffers": []}))
            printed = ""
            while True:
                said = json.loads(socket.recv())
                if said["parent_header"].get("msg_id") != asked["msg_id"]:
                    continue
                kind, content = said["msg_type"], said["content"]
                if kind == "stream":
                    printed += content["text"]
                elif kind == "error":
                    trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(content["traceback"]))
                    raise AssertionError(f"{printed}\n{trace}")
                elif kind == "status" and content["execution_state"] == "idle":
                    return printed
        finally:
            socket.close()
