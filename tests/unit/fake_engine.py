"""A fake of the engine's HTTP API on a real unix socket, for tests that must not need an engine."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

EMPTY: dict[str, object] = {"/containers/json": [], "/images/json": []}


class FakeEngine:
    """Answers GET by the path before "?": a JSON value, or bytes that are sent as they are; anything else is a 404.

    asked: the resources that were asked for, in order.
    hold: answers wait until it is set; it is set from the beginning.
    """

    def __init__(self, answers: dict[str, object], path: Path) -> None:
        self.answers, self.path = answers, path
        self.asked: list[str] = []
        self.hold = threading.Event()
        self.hold.set()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def answer(self, resource: str) -> bytes:
        self.asked.append(resource)
        self.hold.wait(10)
        found = self.answers.get(resource.partition("?")[0])
        if isinstance(found, bytes):
            return found
        if found is None:
            return http(404, {"message": f"page not found: {resource}"})
        return http(200, found)


def http(status: int, body: object) -> bytes:
    """A whole HTTP/1.0 answer with a JSON body."""
    return f"HTTP/1.0 {status} X\r\nContent-Type: application/json\r\n\r\n{json.dumps(body)}".encode()


@contextlib.contextmanager
def fake_engine(folder: Path, answers: dict[str, object] | None = None) -> Iterator[FakeEngine]:
    """A fake engine at `folder`/engine.sock for the block; with no answers it has no containers and no images."""
    engine = FakeEngine(EMPTY if answers is None else answers, folder / "engine.sock")

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = self.rfile.readline().decode()
            while self.rfile.readline().strip():
                pass
            self.wfile.write(engine.answer(request.split(" ")[1]))

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that gave up is what some tests are about."""

    with Server(str(engine.path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield engine
        finally:
            engine.hold.set()
            server.shutdown()
            thread.join()
    assert engine.asked, "the fake engine was never asked"
