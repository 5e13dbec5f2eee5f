"""NAT-PMP (RFC 6886) and its successor PCP (RFC 6887): two small UDP protocols by which a router opens a port."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
import time

from rigstack.errors import HostError
from rigstack.plan.net import Opened, Port

SERVER_PORT = 5351
_TRANSPORT = {"tcp": 6, "udp": 17}  # IANA protocol numbers
_NATPMP_REFUSALS = {1: "unsupported version", 2: "refused", 3: "network failure", 4: "out of resources"}
_PCP_REFUSALS = {
    1: "unsupported version",
    2: "not authorized",
    3: "malformed request",
    4: "unsupported operation",
    6: "malformed option",
    7: "network failure",
    8: "no resources",
    9: "unsupported protocol",
    10: "quota exceeded",
    11: "the port is taken",
    12: "address mismatch: there is another router between",
}


class Pcp:
    """PCP with the router `gateway` on behalf of this machine's `client` address; both of one family."""

    how = "PCP"

    def __init__(self, gateway: str, client: str, interface: str = "") -> None:
        self.gateway, self.client, self.interface = gateway, client, interface
        self.family = 6 if ":" in client else 4
        self.epoch, self.epoch_at = -1, 0.0

    def answers(self) -> bool:
        """Whether the router speaks it (ANNOUNCE, RFC 6887 14.1)."""
        reply = self._ask(struct.pack("!BBHI16s", 2, 0, 0, 0, _sixteen(self.client)))
        spoken = len(reply) >= 4 and reply[0] == 2 and reply[3] in (0, 4)
        if spoken and len(reply) >= 12:
            (self.epoch,), self.epoch_at = struct.unpack_from("!I", reply, 8), time.time()
        return spoken

    def external(self) -> str:
        """PCP tells the address with a mapping only."""
        return ""

    def open(self, port: Port, lease: int, key: str = "") -> Opened:
        """Maps the port, or renews the mapping whose nonce is `key`, for `lease` seconds. Raises HostError."""
        nonce = bytes.fromhex(key) if key else secrets.token_bytes(12)
        reply = self._map(port.transport, port.inside, port.outside, lease, nonce)
        granted, epoch = struct.unpack_from("!II", reply, 4)
        (outside,) = struct.unpack_from("!H", reply, 42)
        opened = Opened(
            how=self.how,
            family=self.family,
            outside=outside,
            inside=port.inside,
            transport=port.transport,
            what=port.what,
            client=self.client,
            router=self.gateway,
            until=int(time.time()) + granted,
            key=nonce.hex(),
            epoch=epoch,
            at=int(time.time()),
        )
        if outside != port.outside:
            self.close(opened)
            raise HostError(f"the router has given port {port} to another machine", remedy=_taken(port))
        return opened

    def close(self, opened: Opened) -> None:
        """Ends the mapping (lifetime 0, RFC 6887 15.1), or has it end as soon as the router lets it. Raises HostError.

        miniupnpd 2.3 on nftables refuses to delete a hole in the IPv6 firewall, and takes a shorter life.
        """
        nonce = bytes.fromhex(opened.key)
        try:
            self._map(opened.transport, opened.inside, 0, 0, nonce)
        except HostError:
            self._map(opened.transport, opened.inside, opened.outside, 1, nonce)

    def _map(self, transport: str, inside: int, outside: int, lease: int, nonce: bytes) -> bytes:
        anywhere = b"\0" * 16 if self.family == 6 else _sixteen("0.0.0.0")
        head = struct.pack("!BBHI16s", 2, 1, 0, lease, _sixteen(self.client))
        body = struct.pack("!12sB3xHH16s", nonce, _TRANSPORT[transport], inside, outside, anywhere)
        prefer_failure = b"\x02\0\0\0" if lease else b""  # this port or none (13.2); a deletion takes no such wish
        reply = self._ask(head + body + prefer_failure)
        if len(reply) < 60 or reply[0] != 2 or reply[1] != 0x81 or reply[24:36] != nonce:
            raise HostError(f"the router at {self.gateway} gave no answer of PCP")
        if reply[3]:
            words = _PCP_REFUSALS.get(reply[3], f"result {reply[3]}")
            remedy = "allow it in the router's pages, often called PCP, UPnP or port sharing"
            raise HostError(f"the router refuses port {outside or inside}/{transport}: {words}", remedy=remedy)
        return reply

    def _ask(self, request: bytes) -> bytes:
        return _ask(self.gateway, self.client, self.interface, request)


class NatPmp:
    """NAT-PMP with the router `gateway`; it maps to the address that the request comes from."""

    how = "NAT-PMP"
    family = 4

    def __init__(self, gateway: str, client: str) -> None:
        self.gateway, self.client = gateway, client
        self.epoch, self.epoch_at = -1, 0.0
        self._address: str | None = None

    def answers(self) -> bool:
        self._address = self._external()
        return self._address is not None

    def external(self) -> str:
        """The router's own address (RFC 6886 3.2), "" when it does not say."""
        return (self._address if self._address is not None else self._external()) or ""

    def _external(self) -> str | None:
        reply = self._ask(b"\0\0")
        if len(reply) < 4 or reply[0] != 0 or reply[1] != 128:
            return None
        if len(reply) >= 8:
            (self.epoch,), self.epoch_at = struct.unpack_from("!I", reply, 4), time.time()
        return socket.inet_ntoa(reply[8:12]) if reply[2:4] == b"\0\0" and len(reply) >= 12 else ""

    def open(self, port: Port, lease: int, key: str = "") -> Opened:
        """Maps the port for `lease` seconds. Raises HostError."""
        epoch, outside, granted = self._map(port.transport, port.inside, port.outside, lease)
        opened = Opened(
            how=self.how,
            family=4,
            outside=outside,
            inside=port.inside,
            transport=port.transport,
            what=port.what,
            client=self.client,
            router=self.gateway,
            until=int(time.time()) + granted,
            epoch=epoch,
            at=int(time.time()),
        )
        if outside != port.outside:
            self.close(opened)
            raise HostError(f"the router has given port {port} to another machine", remedy=_taken(port))
        return opened

    def close(self, opened: Opened) -> None:
        """Ends the mapping (lifetime and external port 0, RFC 6886 3.4). Raises HostError."""
        self._map(opened.transport, opened.inside, 0, 0)

    def _map(self, transport: str, inside: int, outside: int, lease: int) -> tuple[int, int, int]:
        """The router's clock, the port outside, and for how long."""
        code = {"udp": 1, "tcp": 2}[transport]
        reply = self._ask(struct.pack("!BBHHHI", 0, code, 0, inside, outside, lease))
        if len(reply) < 4 or reply[1] != 128 + code:
            raise HostError(f"the router at {self.gateway} gave no answer of NAT-PMP")
        (result,) = struct.unpack_from("!H", reply, 2)
        if result or len(reply) < 16:
            words = _NATPMP_REFUSALS.get(result, f"result {result}")
            remedy = "allow it in the router's pages, often called NAT-PMP, UPnP or port sharing"
            raise HostError(f"the router refuses port {outside or inside}/{transport}: {words}", remedy=remedy)
        epoch, _, given, lifetime = struct.unpack_from("!IHHI", reply, 4)
        return int(epoch), int(given), int(lifetime)

    def _ask(self, request: bytes) -> bytes:
        return _ask(self.gateway, self.client, "", request)


def _taken(port: Port) -> str:
    return f"see in the router's pages who has {port}; or take another port in rig.toml"


def _sixteen(address: str) -> bytes:
    """The address in 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 6887, 5)."""
    given = ipaddress.ip_address(address)
    return given.packed if given.version == 6 else b"\0" * 10 + b"\xff\xff" + given.packed


def _ask(gateway: str, client: str, interface: str, request: bytes) -> bytes:
    """Sends up to four times in 3.75 s (RFC 6886 3.1, shortened) and hears the gateway only; b"" is no answer."""
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    scope = f"%{interface}" if gateway.lower().startswith("fe80:") else ""
    try:
        place = socket.getaddrinfo(gateway + scope, SERVER_PORT, family, socket.SOCK_DGRAM)[0][4]
        with socket.socket(family, socket.SOCK_DGRAM) as talk:
            talk.bind((client, 0))
            talk.connect(place)  # answers of others never arrive, and a closed port is an error at once
            for wait in (0.25, 0.5, 1.0, 2.0):
                talk.settimeout(wait)
                talk.send(request)
                try:
                    return talk.recv(1100)
                except TimeoutError:
                    continue
    except OSError:
        return b""
    return b""
