"""Ports of a project's programs on this laptop, kept through cuts of the network."""

from __future__ import annotations

import socket
import time

from rigstack.errors import HostError, ReachError
from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome
from rigstack.laptop.kept import Kept, last_lines, list_kept, start_kept, stop_kept
from rigstack.laptop.rigs import Target

PATIENCE = 30.0  # seconds for a first connection
A_TIMEOUT = 10.0  # what takes longer to fail was not refused: ssh gives up connecting after 15 s


def tunnel_argv(home: LaptopHome, direct: str, remote: int, local: int) -> tuple[str, ...]:
    """An ssh that does nothing but forward: 127.0.0.1:local here is 127.0.0.1:remote in the workspace."""
    return ssh.client_argv(
        home,
        *("-N", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"),
        *("-L", f"127.0.0.1:{local}:127.0.0.1:{remote}"),
        direct,
    )


def is_free(port: int) -> bool:
    """Whether this laptop's 127.0.0.1:port can be listened on now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether something listens on 127.0.0.1:port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def pick_port(wanted: int) -> int:
    """`wanted` when it is free here, else the next one that is. Raises HostError when a hundred are taken."""
    start = wanted if wanted >= 1024 else wanted + 10000
    for port in range(start, min(start + 100, 65536)):
        if is_free(port):
            return port
    raise HostError(f"port {wanted} and the hundred after it are taken here", remedy="name a local port: 6006:16006")


def find_tunnel(home: LaptopHome, alias: str, remote: int) -> Kept | None:
    """The tunnel to that port of the project, if one is kept."""
    for one in list_kept(home, "tunnel"):
        if one.alias == alias and one.about["remote"] == str(remote):
            return one
    return None


def start_tunnel(home: LaptopHome, target: Target, remote: int, local: int) -> Kept:
    """Starts and waits until the port listens. Raises ReachError with what ssh said when it does not."""
    kept = Kept(
        kind="tunnel",
        id=f"tunnel-{target.alias}-{remote}",
        alias=target.alias,
        about={"remote": str(remote), "local": str(local)},
        argv=tunnel_argv(home, target.direct, remote, local),
    )
    return start_forward(home, kept, target)


def start_forward(home: LaptopHome, wanted: Kept, target: Target) -> Kept:
    """Starts an ssh that forwards a port, and waits until it listens. Raises ReachError with what ssh said."""
    kept = start_kept(home, wanted)
    began = time.monotonic()
    while not answers(int(kept.about["local"])):
        said = [line for line in last_lines(home, kept, 20) if "again in" in line]
        waited = time.monotonic() - began
        # A refusal gets a second try; after a timeout of ssh's own nothing answers, and a second one tells no more.
        if len(said) >= 2 or (said and waited > A_TIMEOUT) or waited > PATIENCE:
            lines = last_lines(home, kept)
            stop_kept(home, kept)
            raise ReachError(
                f"no tunnel to port {kept.about['remote']} of {target.project.name}",
                details=lines,
                remedy=f"rigstack ssh {target.project.name} says what is wrong",
            )
        time.sleep(0.05)
    return kept
