"""What stands between the rig and the internet: what to open, and what a router's address gives away. Pure."""

from __future__ import annotations

import ipaddress

from rigstack.config.model import Rig
from rigstack.render.edge import tls_mode
from rigstack.value import Value

LEASE = 3600  # RFC 6887, 15: an hour and less is fit for what a timer renews
LONG_LEASE = 604800  # UPnP IGD:2 allows a week at most: for machines where nothing renews


class Lan(Value):
    """The interface that leads to the router.

    addressing: "static" or "dhcp". keeper: who configures it, "netplan", "NetworkManager", "networkd", "ifupdown"
    or "". profile: NetworkManager's name of the connection. dns: servers in use. address6: a global one, or "".
    """

    interface: str
    address: str
    prefix: int
    gateway: str = ""
    mac: str = ""
    addressing: str = "static"
    keeper: str = ""
    profile: str = ""
    dns: tuple[str, ...] = ()
    address6: str = ""
    gateway6: str = ""


class Port(Value):
    """A port that the outside should reach: `outside` at the router leads to `inside` of this machine."""

    outside: int
    inside: int
    transport: str
    what: str

    def __str__(self) -> str:
        return f"{self.outside}/{self.transport}"


class Opened(Value):
    """A port that a router opened for us. family: 4 is a mapping, 6 a hole in the firewall for `client` itself.

    how: the protocol. router: whom it was asked of. until: when it ends, seconds since 1970, 0 for never.
    key: what closing needs: PCP's nonce, a pinhole's number.
    epoch: what the router's own clock said then (PCP, NAT-PMP), at our time `at`; both seconds, 0 when it has none.
    """

    how: str
    family: int
    outside: int
    inside: int
    transport: str
    what: str
    client: str
    router: str
    until: int = 0
    key: str = ""
    epoch: int = 0
    at: int = 0

    def __str__(self) -> str:
        return f"{self.outside}/{self.transport}"

    def fits(self, port: Port) -> bool:
        return (self.outside, self.inside, self.transport) == (port.outside, port.inside, port.transport)


def forgotten(opened: Opened, epoch: int, now: float) -> bool:
    """Whether the router started anew since it opened the port, and so has lost it: its clock, which said `epoch` at
    `now`, is behind (RFC 6886 3.6, RFC 6887 8.5, with the wider tolerance of the former). epoch: -1 where it has none.
    """
    return bool(opened.at) and epoch >= 0 and epoch + 2 < opened.epoch + (now - opened.at) * 7 / 8


class Record(Value):
    """What `rigstack net open` left behind, as the last renewal found it.

    router: the router's own address by its own words, "" when it told none. kind: of Wan, at `net open`.
    at: of the last renewal, seconds since 1970. failures: what the router refused then, one a port.
    """

    opened: tuple[Opened, ...] = ()
    router: str = ""
    kind: str = ""
    at: int = 0
    failures: tuple[str, ...] = ()


class Wan(Value):
    """What the router's own address says.

    kind: "open", "direct", "cgnat", "double nat", "translated", "kept" (on this machine, by bind) or "unknown".
    ways: what to do about it, one a line.
    """

    kind: str
    words: str
    ways: tuple[str, ...] = ()

    @property
    def closed(self) -> bool:
        """No mapping in the router makes the rig reachable."""
        return self.kind in ("cgnat", "double nat", "translated")


def wanted_ports(rig: Rig) -> tuple[Port, ...]:
    """What the router should lead here: the edge, 80 for a certificate by ACME (HTTP-01, RFC 8555 8.3), SSH.

    All have their own number outside: names, certificates and laptops' ssh settings hold it.
    """
    access = rig.access
    ports = [Port(outside=access.https_port, inside=access.https_port, transport="tcp", what="edge")]
    if access.https_port == 443:
        ports.append(Port(outside=443, inside=443, transport="udp", what="edge, HTTP/3"))
    if tls_mode(rig) == "acme" and not rig.tls.dns:
        ports.append(Port(outside=80, inside=access.http_port, transport="tcp", what="certificates"))
    ports.append(Port(outside=access.ssh_port, inside=access.ssh_port, transport="tcp", what="gateway"))
    for project in rig.projects:
        if project.ssh_port is not None:
            own = project.ssh_port
            ports.append(Port(outside=own, inside=own, transport="tcp", what=f"workspace of {project.name}"))
    return tuple(ports)


def wants_pinholes(rig: Rig, lan: Lan) -> bool:
    """Whether the rig answers on the machine's own IPv6 address."""
    return bool(lan.address6) and rig.access.bind in ("", "::", lan.address6)


_SHARED = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598
_PRIVATE = tuple(ipaddress.ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))  # RFC 1918


def is_private(address: str) -> bool:
    """Whether the address is one behind a translator (RFC 1918, RFC 6598)."""
    there = ipaddress.ip_address(address)
    return there in _SHARED or any(there in one for one in _PRIVATE)


def judge_wan(lan: Lan, router: str | None, outside: str, beyond: str = "") -> Wan:
    """router: the address that the router says it has, "" when it tells none, None when it speaks no protocol.

    outside: as somebody out there sees us. beyond: of the next router after ours. "" when not known.
    """
    if ipaddress.ip_address(lan.address).is_loopback:
        return Wan(
            kind="kept", words=f"[access] bind keeps the rig on this machine ({lan.address}): nobody is led there"
        )
    if not is_private(lan.address) and outside in ("", lan.address):
        return Wan(kind="direct", words=f"{lan.address} is this machine's own public address: there is nothing to map")
    seen = f"; the world sees {outside}" if outside else ""
    if not router:
        return _judge_silent(lan, router, seen, beyond)
    if ipaddress.ip_address(router) in _SHARED:
        words = f"the router's own address, {router}, is shared (carrier-grade NAT, RFC 6598){seen}"
        return Wan(kind="cgnat", words=f"{words}: no mapping leads here from outside", ways=_ways(lan))
    if is_private(router):
        words = f"the router's own address, {router}, is private{seen}: there is another router behind it"
        return Wan(kind="double nat", words=words, ways=(_BRIDGE + router, *_ways(lan)))
    if outside and outside != router:
        words = f"the router says {router}, the world sees {outside}: something between them translates, or a VPN is on"
        return Wan(kind="translated", words=words, ways=_ways(lan))
    agree = ", and so does the world" if outside else ""
    return Wan(kind="open", words=f"the router says {router}{agree}")


NO_ADDRESS = "it had a public address at `rigstack net open`, and tells none now"


def router_problem(record: Record, public: str, told_at: int, now: float) -> tuple[str, str] | None:
    """(what, remedy) when what `net open` opened leads here no more, by what is on disk; None when it should.

    public: the address that the world sees, by the DDNS sidecar, which told it at told_at; "" and 0 when not known.
    A renewal from before that time says nothing: the address may have changed since.
    """
    if record.failures:
        return f"router: {'; '.join(record.failures)}", "rigstack net status says what the router and the world see"
    ends = [one.until for one in record.opened if one.until]
    if ends and min(ends) < now:
        late = f"router: what was opened ended {(now - min(ends)) / 60:.0f} minutes ago, and nothing renewed it"
        return late, "rigstack net open asks the router again, and says what renews"
    four = [one for one in record.opened if one.family == 4]
    if four and not record.router and record.kind == "open":
        return f"router: {NO_ADDRESS}", "rigstack net status says what the router and the world see"
    if four and record.router:
        lan = Lan(interface="", address=four[0].client, prefix=0)
        wan = judge_wan(lan, record.router, public if record.at > told_at else "")
        if wan.closed and wan.kind != record.kind:
            return f"router: {wan.words}", "rigstack net status tells ways out"
    return None


_BRIDGE = "if that box is yours, switch it to bridge (modem) mode, or make it forward the same ports to "


def _judge_silent(lan: Lan, router: str | None, seen: str, beyond: str) -> Wan:
    """A router tells no address where it has no public one; but one that speaks no protocol proves nothing by silence.

    Providers number their own routers from private blocks too, so that `beyond` alone is no proof either.
    """
    if not beyond or not is_private(beyond):
        return Wan(kind="unknown", words=f"the router does not tell its address{seen}")
    shared = ipaddress.ip_address(beyond) in _SHARED
    next_one = (
        f"the next router after it is {beyond}, {'shared (carrier-grade NAT, RFC 6598)' if shared else 'private'}"
    )
    if router is None:
        look = "compare the address in the router's pages with it: if they differ, no mapping leads here from outside"
        return Wan(kind="unknown", words=f"the router does not tell its address; {next_one}{seen}; {look}")
    words = f"the router tells no public address of its own, and {next_one}{seen}: no mapping leads here from outside"
    if shared:
        return Wan(kind="cgnat", words=words, ways=_ways(lan))
    return Wan(kind="double nat", words=words, ways=(_BRIDGE + "this router", *_ways(lan)))


def _ways(lan: Lan) -> tuple[str, ...]:
    """Ways out where no IPv4 mapping can work, the cheapest first."""
    six = (
        f"IPv6: this machine has {lan.address6}; give the name an AAAA record ([ddns] ipv6 = true); rigstack net open "
        "opens the router's firewall"
        if lan.address6
        else "IPv6: ask the provider for it; with it this machine has an address of its own"
    )
    return (
        six,
        "ask the provider for a public IPv4 address (some give one for the asking, some for a fee)",
        "a VPN between laptop and rig, such as Tailscale or WireGuard by a machine with a public address: then "
        "`rigstack connect` with the address that the rig has in it",
        "a relay host with a public address: on the rig, ssh -N -R "
        "'*:22222:127.0.0.1:SSH_PORT' relay (GatewayPorts clientspecified there)",
    )
