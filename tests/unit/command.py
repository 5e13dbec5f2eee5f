"""Runs rigstack's command line many times for the price of one start.

A process of its own imports all of rigstack once and forks for every command: each still has its own environment,
folder, output and exit code, as from a shell, without half a second of imports. Tests of the start itself (what is
imported, what the entry point prints) start Python anew.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rigstack.process import Completed


def rigstack(*words: str, cwd: Path, env: Mapping[str, str]) -> Completed:
    """`rigstack WORDS...` in that folder; env: added to this process's own environment."""
    order = {"words": words, "cwd": str(cwd), "env": {**os.environ, **env}}
    starter = _starter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        socket.send_fds(starter, [json.dumps(order).encode()], [out.fileno(), err.fileno()])
        status = int(starter.recv(16))
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read())
    return Completed(argv=("rigstack", *words), status=status, stdout=texts[0], stderr=texts[1])


@functools.cache
def _starter() -> socket.socket:
    """The connection to the process that forks; one for each process of tests, ended with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = subprocess.Popen([sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()

    def end() -> None:
        ours.close()
        child.wait(10)

    atexit.register(end)
    return ours


def _serve(orders: socket.socket) -> None:
    import rigstack as package

    for module in pkgutil.walk_packages(package.__path__, "rigstack."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    while True:
        text, outputs, _, _ = socket.recv_fds(orders, 1 << 20, 2)
        if not text:
            return
        child = os.fork()
        if not child:
            orders.close()
            _become(json.loads(text), outputs)
        for one in outputs:
            os.close(one)
        _, status = os.waitpid(child, 0)
        orders.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(order: dict[str, object], outputs: list[int]) -> None:
    """Runs the order in this process, as `python -m rigstack` would."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(outputs[0], 1)
    os.dup2(outputs[1], 2)
    os.closerange(3, 64)
    os.chdir(str(order["cwd"]))
    os.environ.clear()
    os.environ.update(order["env"])  # type: ignore[call-overload]
    sys.argv = ["rigstack", *order["words"]]  # type: ignore[misc]
    runpy.run_module("rigstack", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
