"""SSH connections that are open now: found in the containers' own network namespaces, and ended by their key."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rigstack.engine.containers import run_inside
from rigstack.plan.access import Login, parse_peers
from rigstack.plan.observed import Container

SSH_PORT = 22
_PEERS = ("cat", "/proc/net/tcp", "/proc/net/tcp6")
# Which process holds which socket: sshd hides that from its own account (prctl(2), PR_SET_DUMPABLE).
_SOCKETS = """
for held in /proc/[0-9]*/fd/*; do
    printf '%s %s\\n' "$held" "$(readlink "$held")"
done | grep socket
"""


def open_peers(container: Container) -> frozenset[tuple[str, int]]:
    """(address, port) of every client that is connected to the container's sshd."""
    return frozenset((address, port) for address, port, _ in _peers(container))


def _peers(container: Container) -> frozenset[tuple[str, int, str]]:
    """As parse_peers(), without the health check."""
    _, text = run_inside(container.id, _PEERS)
    return frozenset(peer for peer in parse_peers(text, SSH_PORT) if peer[0] not in ("127.0.0.1", "::1"))


def end_sessions(container: Container, logins: Iterable[Login], keys: frozenset[str]) -> tuple[int, int]:
    """Ends the container's open connections that were opened with one of `keys` (fingerprints).

    logins: of this container. Returns (how many were ended, how many are open whose key the journal does not name).
    """
    by_peer = {(one.address, one.port): one.fingerprint for one in logins}
    peers = _peers(container)
    doomed = {inode for address, port, inode in peers if by_peer.get((address, port)) in keys}
    unknown = sum((address, port) not in by_peer for address, port, _ in peers)
    if doomed:
        _, held = run_inside(container.id, ("/bin/sh", "-c", _SOCKETS), root=True)
        pids = {
            found.group(1)
            for found in re.finditer(r"^/proc/(\d+)/fd/\d+ socket:\[(\d+)\]", held, re.M)
            if found.group(2) in doomed
        }
        run_inside(container.id, ("/bin/sh", "-c", 'kill -TERM "$@"', "sh", *sorted(pids)), root=True)
    return len(doomed), unknown
