"""UPnP Internet Gateway Device: finds the router by SSDP, reads its description, asks it by SOAP to open ports.

UPnP Device Architecture 1.1 and 2.0; WANIPConnection:1 and :2, WANPPPConnection:1, WANIPv6FirewallControl:1. Everything
that a device says is believed of that device's own address only: a description may not send us anywhere else.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from rigstack.errors import HostError
from rigstack.plan.net import Lan, Opened, Port
from rigstack.value import Value

_SEARCH = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
)
_CONNECTIONS = ("WANIPConnection:2", "WANIPConnection:1", "WANPPPConnection:1")
_FIREWALL = "WANIPv6FirewallControl:1"
_PATIENCE = 1.5  # seconds; routers answer within MX, which is 1
_MOST = 1 << 18  # bytes of a description; real ones have 4 to 20 KB

# WANIPConnection:2, 2.4.16 and 2.5; WANIPv6FirewallControl:1, 2.4
_NO_SUCH_ENTRY = (713, 714)
_ONLY_PERMANENT = 725
_REFUSALS = {
    606: "not authorized: the router lets no device open ports",
    718: "the port is taken",
    729: "it conflicts with another mechanism of the router (its own web page on that port?)",
    702: "its firewall is off",
    703: "it allows no holes",
}


class Refused(Exception):
    """A SOAP fault: the UPnP error code (0 for none) and its words."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{_REFUSALS.get(code, words)} ({code})" if code else words)
        self.code = code


class Service(Value):
    """A service of a router: its full type and where it is asked."""

    type: str
    control: str


class Held(Value):
    """A mapping as the router tells it. lease: seconds left, 0 for no end."""

    client: str
    inside: int
    description: str
    lease: int


class Igd:
    """One gateway device, asked from this machine's address `client`. `description` marks our mappings."""

    how = "UPnP IGD"

    def __init__(self, location: str, client: str, description: str) -> None:
        self.location, self.client, self.description = location, client, description
        self.router = urlsplit(location).hostname or ""
        self.family = 6 if ":" in client else 4
        tree = _parse(_fetch(location, client))
        self.name = " ".join((tree.findtext(".//{*}friendlyName") or "a router").split())[:60]
        base = tree.findtext("{*}URLBase") or location
        self._services = {
            (one.findtext("{*}serviceType") or "").rpartition("service:")[2]: Service(
                type=one.findtext("{*}serviceType") or "",
                control=urljoin(base, (one.findtext("{*}controlURL") or "").strip()),
            )
            for one in tree.iter()
            if one.tag.rpartition("}")[2] == "service"
        }
        there = [self._services[one] for one in _CONNECTIONS if one in self._services]
        # A DSL router has both kinds, of which one is up.
        up = [one for one in there if self._status(one) == "Connected"] if len(there) > 1 else there
        self._connection = next(iter(up or there), None)
        self.firewall = self._services.get(_FIREWALL)

    @property
    def maps(self) -> bool:
        return self._connection is not None

    def external(self) -> str:
        """The router's own address, "" when it has or tells none."""
        try:
            said = self._connect("GetExternalIPAddress").get("NewExternalIPAddress", "")
            return said if not ipaddress.ip_address(said).is_unspecified else ""
        except (Refused, ValueError):
            return ""

    def held(self, port: Port | Opened) -> Held | None:
        """Who has the port at the router, None for nobody. Raises HostError."""
        try:
            said = self._connect("GetSpecificPortMappingEntry", **_named(port))
        except Refused as refused:
            if refused.code in _NO_SUCH_ENTRY:
                return None
            raise self._failed(f"does not tell who has port {port}", refused) from None
        return _held(said)

    def ours(self) -> tuple[Opened, ...]:
        """Every mapping with our description that leads to this machine."""
        found = []
        for number in range(512):
            try:
                said = self._connect("GetGenericPortMappingEntry", NewPortMappingIndex=number)
            except Refused:
                break
            one = _held(said)
            if (one.client, one.description) == (self.client, self.description):
                outside, transport = int(said["NewExternalPort"]), said["NewProtocol"].lower()
                port = Port(outside=outside, inside=one.inside, transport=transport, what="")
                found.append(self._opened(port, one.lease))
        return tuple(found)

    def open(self, port: Port, lease: int, key: str = "") -> Opened:
        """Maps the port here, or renews the mapping. Raises HostError."""
        words = {
            **_named(port),
            "NewInternalPort": port.inside,
            "NewInternalClient": self.client,
            "NewEnabled": 1,
            "NewPortMappingDescription": self.description,
        }
        held = self.held(port)
        if held is not None and (held.client, held.description) == (self.client, self.description):
            if held.inside != port.inside:
                self.close(self._opened(port, lease))
        elif held is not None and (held.client, held.inside) != (self.client, port.inside):
            remedy = "take it away in the router's pages, or take another port in rig.toml"
            to = f"{held.client}:{held.inside} ({held.description or 'no description'})"
            raise HostError(f"port {port} of the router already leads to {to}", remedy=remedy)
        try:
            try:
                self._connect("AddPortMapping", **words, NewLeaseDuration=lease)
            except Refused as refused:
                if refused.code != _ONLY_PERMANENT:
                    raise
                lease = 0
                self._connect("AddPortMapping", **words, NewLeaseDuration=lease)
        except Refused as refused:
            raise self._failed(f"refuses port {port}", refused) from None
        return self._opened(port, lease)

    def close(self, opened: Opened) -> None:
        """Takes a mapping away, unless somebody else has the port by now. Raises HostError."""
        held = self.held(opened)
        if held is None or held.client != opened.client:
            return
        try:
            self._connect("DeletePortMapping", **_named(opened))
        except Refused as refused:
            if refused.code not in _NO_SUCH_ENTRY:
                raise self._failed(f"does not close port {opened}", refused) from None

    def _opened(self, port: Port, lease: int) -> Opened:
        return Opened(
            how=self.how,
            family=self.family,
            outside=port.outside,
            inside=port.inside,
            transport=port.transport,
            what=port.what,
            client=self.client,
            router=self.router,
            until=int(time.time()) + lease if lease else 0,
        )

    def _failed(self, what: str, refused: Refused) -> HostError:
        remedy = "allow it in the router's pages, often called UPnP or port sharing by devices"
        return HostError(f"the router {what}: {refused}", remedy=remedy)

    def _status(self, service: Service) -> str:
        try:
            return self._ask(service, "GetStatusInfo").get("NewConnectionStatus", "")
        except Refused:
            return ""

    def _connect(self, action: str, **words: object) -> dict[str, str]:
        if self._connection is None:
            raise Refused(0, "it offers no connection service")
        return self._ask(self._connection, action, **words)

    def _ask(self, service: Service, action: str, **words: object) -> dict[str, str]:
        """One action of a service: name -> value of what comes back. Raises Refused."""
        arguments = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in words.items())
        body = (
            '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
            f'<u:{action} xmlns:u="{escape(service.type)}">{arguments}</u:{action}></s:Body></s:Envelope>\r\n'
        )
        try:
            tree = _parse(_fetch(service.control, self.client, body, f'"{service.type}#{action}"', self.router))
        except HostError as failed:
            raise Refused(0, failed.what) from None
        code = tree.findtext(".//{*}errorCode")
        if code is not None or tree.find(".//{*}Fault") is not None:
            number = int(code) if code and code.strip().isdigit() else 0
            raise Refused(number, tree.findtext(".//{*}errorDescription") or "it failed without words")
        return {one.tag.rpartition("}")[2]: (one.text or "").strip() for one in tree.iter()}


class Pinholes:
    """The same device's IPv6 firewall; only the machine itself may ask for holes to itself."""

    how = "UPnP IGD"
    family = 6

    def __init__(self, igd: Igd) -> None:
        self._igd = igd
        self.client = igd.client

    def open(self, port: Port, lease: int, key: str = "") -> Opened:
        """Makes a hole (AddPinhole), or keeps the hole number `key` open (UpdatePinhole). Raises HostError."""
        igd = self._igd
        try:
            if key:
                self._ask("UpdatePinhole", UniqueID=key, NewLeaseTime=min(lease, 86400))
        except Refused:
            key = ""
        try:
            key = key or self._ask(
                "AddPinhole",
                RemoteHost="",
                RemotePort=0,
                InternalClient=igd.client,
                InternalPort=port.inside,
                Protocol={"tcp": 6, "udp": 17}[port.transport],
                LeaseTime=min(lease, 86400),
            ).get("UniqueID", "")
        except Refused as refused:
            raise igd._failed(f"makes no hole in its IPv6 firewall for port {port}", refused) from None
        return igd._opened(port, min(lease, 86400)).replace(key=key)

    def close(self, opened: Opened) -> None:
        try:
            self._ask("DeletePinhole", UniqueID=opened.key)
        except Refused as refused:
            # No such hole; or a router that started anew does not know the number, which is the only argument.
            if refused.code not in (704, 402):
                raise self._igd._failed(f"does not close the hole for port {opened}", refused) from None

    def _ask(self, action: str, **words: object) -> dict[str, str]:
        if self._igd.firewall is None:
            raise Refused(0, "it offers no IPv6 firewall control")
        return self._igd._ask(self._igd.firewall, action, **words)


def find_igd(lan: Lan, description: str, *, family: int = 4) -> Igd | None:
    """The gateway device on the LAN, or None. The router itself is preferred to anyone else who answers."""
    client = lan.address if family == 4 else lan.address6
    best: Igd | None = None
    for location in _search(lan, family):
        try:
            found = Igd(location, client, description)
        except (HostError, ElementTree.ParseError):
            continue
        usable = found.maps if family == 4 else found.firewall is not None
        if usable and found.router in (lan.gateway, lan.gateway6):
            return found
        best = best or (found if usable else None)
    return best


def _search(lan: Lan, family: int) -> tuple[str, ...]:
    """SSDP (UDA 1.1, 1.3): places of gateway devices. The router is also asked alone: for Wi-Fi without multicast."""
    groups = ("239.255.255.250",) if family == 4 else ("ff02::c", "ff05::c")
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    found: list[str] = []
    with socket.socket(kind, socket.SOCK_DGRAM) as talk:
        try:
            index = socket.if_nametoindex(lan.interface)
            if family == 4:
                talk.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(lan.address))
                talk.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
                talk.bind((lan.address, 0))
            else:
                talk.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                talk.bind((lan.address6, 0))
        except OSError:
            return ()
        targets = [*groups, *([lan.gateway] if family == 4 and lan.gateway else [])]
        for target in targets:
            for kind_of_device in _SEARCH:
                host = f"[{target}]" if ":" in target else target
                fields = f'HOST: {host}:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: {kind_of_device}\r\n\r\n'
                text = f"M-SEARCH * HTTP/1.1\r\n{fields}"
                try:
                    talk.sendto(text.encode(), (target, 1900) if family == 4 else (target, 1900, 0, index))
                except OSError:
                    continue
        end = time.monotonic() + _PATIENCE
        while (left := end - time.monotonic()) > 0:
            talk.settimeout(left)
            try:
                reply, sender = talk.recvfrom(4096)
            except OSError:
                break
            location = _location(reply.decode("latin-1"))
            host = urlsplit(location).hostname or ""
            if location and location not in found and _neighbour(lan, host, sender[0], family):
                found.append(location)
                if host == lan.gateway or family == 6:
                    break
    return tuple(found)


def _neighbour(lan: Lan, host: str, sender: str, family: int) -> bool:
    """Whether a device speaks of itself: IPv4 by the address it sends from; IPv6 by any of this site."""
    try:
        there = ipaddress.ip_address(host)
        if family == 4:
            return there == ipaddress.ip_address(sender)
        own = ipaddress.ip_network(f"{lan.address6}/64", strict=False)
        return there in own or there in ipaddress.ip_network("fc00::/7")
    except ValueError:
        return False


def _location(reply: str) -> str:
    first, *lines = reply.split("\r\n")
    if not first.startswith("HTTP/1.1 200"):
        return ""
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    location = fields.get("location", "")
    return location if location.startswith("http://") else ""


def _fetch(url: str, client: str, body: str = "", action: str = "", router: str = "") -> bytes:
    """GET, or POST of a SOAP action; what was answered, error pages included. Raises HostError."""
    place = urlsplit(url)
    if router and place.hostname != router:
        raise HostError(f"the router at {router} sends us to {place.hostname}: not followed")
    path = (place.path or "/") + (f"?{place.query}" if place.query else "")
    try:
        with_headers = {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": action} if action else {}
        talk = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=8, source_address=(client, 0))
        try:
            talk.request("POST" if action else "GET", path, body=body.encode() or None, headers=with_headers)
            return talk.getresponse().read(_MOST)
        finally:
            talk.close()
    except (OSError, http.client.HTTPException, ValueError) as failed:
        raise HostError(f"the router at {place.hostname} does not answer: {failed or type(failed).__name__}") from None


def _parse(text: bytes) -> ElementTree.Element:
    """XML of a device; none of the protocol's documents has a DTD, and one with entities could be a bomb."""
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise HostError("the router's answer has a document type, which UPnP knows none of")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError:
        raise HostError("the router's answer is no XML") from None


def _named(port: Port | Opened) -> dict[str, object]:
    return {"NewRemoteHost": "", "NewExternalPort": port.outside, "NewProtocol": port.transport.upper()}


def _held(said: dict[str, str]) -> Held:
    def number(name: str) -> int:
        return int(said[name]) if said.get(name, "").isdigit() else 0

    return Held(
        client=said.get("NewInternalClient", ""),
        inside=number("NewInternalPort"),
        description=said.get("NewPortMappingDescription", ""),
        lease=number("NewLeaseDuration"),
    )
