"""What the world sees of this machine: its public address, and whether the LAN reaches it by that (hairpin)."""

from __future__ import annotations

import http.client
import ipaddress
import re
import select
import socket
import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

from rigstack.plan.net import Lan

IP_RECVERR = 11  # <linux/in.h>; Python has no name for it
_ADDRESS = {
    4: r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])",
    6: r"(?i)(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])",
}


def public_address(places: Iterable[str], client: str) -> str:
    """Our address as the first place that answers sees it, or ""; asked from the address `client`, in its family."""
    family = 6 if ":" in client else 4
    for place in places:
        for text in re.findall(_ADDRESS[family], _page(place, client)):
            try:
                return str(ipaddress.ip_address(text))
            except ValueError:
                continue
    return ""


def _page(place: str, client: str) -> str:
    """The first 4 KB of a page, or "" when it cannot be had."""
    url = urlsplit(place if "//" in place else f"http://{place}")
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    try:
        talk = kind(url.hostname or "", url.port, timeout=5, source_address=(client, 0))
        try:
            talk.request("GET", url.path or "/", headers={"User-Agent": "rigstack"})
            answer = talk.getresponse()
            return answer.read(4096).decode("latin-1") if answer.status == 200 else ""
        finally:
            talk.close()
    except (OSError, http.client.HTTPException, ValueError):
        return ""


def router_after(lan: Lan) -> str:
    """The address of the router after ours, "" when it keeps silent.

    A packet that may take two hops dies there, and its death is told to the socket (RFC 792; ip(7), IP_RECVERR).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((lan.address, 0))
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 2)
            probe.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            for _ in range(3):
                probe.sendto(b"", ("1.1.1.1", 33435))  # traceroute's port; the packet gets nowhere near it
                died = select.poll()
                died.register(probe, select.POLLERR)
                if not died.poll(700):
                    continue
                for _, kind, told in probe.recvmsg(512, 512, socket.MSG_ERRQUEUE)[1]:
                    # struct sock_extended_err, then the sockaddr_in of who sent it: ICMP 11 is time exceeded.
                    if kind == IP_RECVERR and len(told) >= 24 and told[4:6] == b"\x02\x0b":
                        return socket.inet_ntoa(told[20:24])
        except OSError:
            return ""
    return ""


def hairpin(name: str, local: str, public: str, port: int) -> str:
    """Whether `public` leads from here to what `local` serves on the port: "yes", "no", or "" when that cannot be told.

    It compares certificates, for many routers answer on their public address themselves.
    """
    own = _certificate(name, local, port)
    if not own:
        return ""
    return "yes" if _certificate(name, public, port) == own else "no"


def _certificate(name: str, address: str, port: int) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # compared, not trusted
    try:
        with (
            socket.create_connection((address, port), 4) as raw,
            context.wrap_socket(raw, server_hostname=name) as tls,
        ):
            return tls.getpeercert(binary_form=True) or b""
    except (OSError, ValueError):
        return b""
