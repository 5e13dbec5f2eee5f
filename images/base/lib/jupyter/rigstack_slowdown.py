"""How long a client that fails to log in must wait before its next try is looked at. Pure: the caller brings the clock.

Nobody is ever locked out: a wait has an end, and a try that comes after it counts. The first failures cost nothing
(people mistype), each further one doubles the wait, and old failures fade.
"""

from __future__ import annotations

import ipaddress

FREE = 3  # failures without a wait
LONGEST = 30.0  # seconds: two tries a minute are 86,000 a month, against a hash and ten characters at least
HALF_LIFE = 600.0  # seconds in which half of a client's failures are forgotten
WAITING = 3  # tries of one client that may wait at the same time; further ones are refused at once
CLIENTS = 10_000  # whom to remember; who has failed least is forgotten first


def client_of(address: str) -> str:
    """Who is one client: an IPv4 address, or the /64 that one IPv6 customer has (RFC 6177)."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


class Slowdown:
    """Failures by client. Times are seconds of any clock that never goes back."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[float, float]] = {}  # client -> (failures, when that was so)
        self._waiting: dict[str, int] = {}

    def wait(self, client: str, now: float) -> float:
        """Seconds until a try of this client, made now, may be looked at."""
        failures = round(self._faded(client, now))
        return 0.0 if failures < FREE else min(LONGEST, 2.0 ** (failures - FREE))

    def enter(self, client: str) -> bool:
        """Takes one of the client's places to wait in; False when all are taken. Each True needs a leave()."""
        if self._waiting.get(client, 0) >= WAITING:
            return False
        self._waiting[client] = self._waiting.get(client, 0) + 1
        return True

    def leave(self, client: str) -> None:
        """Gives a place back."""
        left = self._waiting.pop(client, 1) - 1
        if left:
            self._waiting[client] = left

    def failed(self, client: str, now: float) -> None:
        """Counts a wrong password."""
        self._failures[client] = (self._faded(client, now) + 1, now)
        if len(self._failures) > CLIENTS:
            del self._failures[min(self._failures, key=lambda one: self._faded(one, now))]

    def succeeded(self, client: str) -> None:
        """Forgets what this client did: it knows the password."""
        self._failures.pop(client, None)

    def _faded(self, client: str, now: float) -> float:
        failures, since = self._failures.get(client, (0.0, now))
        return failures * float(0.5 ** ((now - since) / HALF_LIFE))
