"""Opens the rig's ports in the router and closes exactly those again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from rigstack.errors import HostError
from rigstack.host.net.pcp import NatPmp, Pcp
from rigstack.host.net.upnp import Igd, Pinholes, find_igd
from rigstack.plan.net import Lan, Opened, Port, forgotten, is_private
from rigstack.value import Value


class Speaker(Protocol):
    """One protocol with one router."""

    @property
    def how(self) -> str: ...

    @property
    def family(self) -> int: ...

    @property
    def client(self) -> str: ...

    def open(self, port: Port, lease: int, key: str = "") -> Opened: ...

    def close(self, opened: Opened) -> None: ...


class Router(Value):
    """What the router speaks. maps: protocols that map IPv4 ports; holes: that open its IPv6 firewall, best first.

    address: what it says its own is, "" when it does not tell.
    """

    name: str
    address: str
    igd: Igd | None
    maps: tuple[Any, ...]  # of Speaker
    holes: tuple[Any, ...]

    def speaker(self, opened: Opened) -> Speaker | None:
        """The one that a port was opened by."""
        return next(
            (one for one in (*self.maps, *self.holes) if (one.how, one.family) == (opened.how, opened.family)), None
        )

    def remembers(self, opened: Opened) -> bool:
        """Whether what was opened stands, as far as the router's clock tells: it has lost all when it started anew."""
        speaker = self.speaker(opened)
        return not forgotten(opened, getattr(speaker, "epoch", -1), getattr(speaker, "epoch_at", 0.0))


class Failure(Value):
    """A port that could not be opened or closed, why, and what to do."""

    port: str
    why: str
    remedy: str


def mark(rig_name: str) -> str:
    """The description of our mappings: some routers make dead mappings of odd characters."""
    return f"rigstack-{rig_name}"


def observe_router(lan: Lan, rig_name: str, *, ipv6: bool) -> Router:
    """Asks the router by all three protocols what it can. A machine with an address of its own has none to ask."""
    from concurrent.futures import ThreadPoolExecutor

    four = bool(lan.gateway) and is_private(lan.address)
    six = ipv6 and bool(lan.gateway6)
    with ThreadPoolExecutor(4) as at_once:  # silence takes seconds to be sure of
        igd4 = at_once.submit(find_igd, lan, mark(rig_name)) if four else None
        igd6 = at_once.submit(find_igd, lan, mark(rig_name), family=6) if six else None
        udp: list[Pcp | NatPmp] = []
        udp += [Pcp(lan.gateway, lan.address), NatPmp(lan.gateway, lan.address)] if four else []
        udp += [Pcp(lan.gateway6, lan.address6, lan.interface)] if six else []
        answers = [(one, at_once.submit(one.answers)) for one in udp]
        igd = igd4.result() if igd4 else None
        firewall = igd6.result() if igd6 else None
        spoken = [one for one, answer in answers if answer.result()]
    maps: list[Igd | Pcp | NatPmp] = [*([igd] if igd else []), *(one for one in spoken if one.family == 4)]
    holes = [*([Pinholes(firewall)] if firewall else []), *(one for one in spoken if one.family == 6)]
    addresses = (one.external() for one in maps)
    return Router(
        name=igd.name if igd else "",
        address=next(filter(None, addresses), ""),
        igd=igd,
        maps=tuple(maps),
        holes=tuple(holes),
    )


def open_ports(
    router: Router, ports: Iterable[Port], before: Sequence[Opened], lease: int
) -> tuple[tuple[Opened, ...], tuple[Failure, ...]]:
    """Opens or renews the ports by the best protocol that takes them; closes what was open and is no longer wanted.

    Returns what is open now, and what failed; an opening that failed keeps its entry until it ends by itself.
    """
    ports = tuple(ports)
    opened: list[Opened] = []
    failures: list[Failure] = []
    here = {one.client for one in (*router.maps, *router.holes)}
    moved = [old for old in before if here and old.client not in here]
    close_ports(router, moved)  # this machine's address changed; what a router does not take back ends by itself
    before = [old for old in before if old not in moved]
    for speakers in (router.maps, router.holes):
        # A hole is for the machine's own port: what another port is mapped to has none of its own.
        for port in ports if speakers is router.maps else [one for one in ports if one.outside == one.inside]:
            if speakers:
                result = _open(speakers, port, before, lease)
                (opened if isinstance(result, Opened) else failures).append(result)  # type: ignore[arg-type]
    for old in before:
        same = any(
            (one.family, one.outside, one.transport) == (old.family, old.outside, old.transport) for one in opened
        )
        if same:
            continue
        if any(old.fits(port) for port in ports):
            opened += [old] if old.until == 0 or old.until > time.time() else []
        else:
            failures += close_ports(router, [old])
    return tuple(opened), tuple(failures)


def _open(speakers: Sequence[Speaker], port: Port, before: Sequence[Opened], lease: int) -> Opened | Failure:
    failed: HostError | None = None
    for one in speakers:
        keys = (old.key for old in before if (old.how, old.family) == (one.how, one.family) and old.fits(port))
        try:
            return one.open(port, lease, next(keys, ""))
        except HostError as refused:
            failed = failed or refused
    assert failed is not None
    return Failure(port=str(port), why=failed.what, remedy=failed.remedy)


def close_ports(router: Router, opened: Iterable[Opened]) -> tuple[Failure, ...]:
    """Closes what was opened. What has ended by itself, or what the router no longer speaks of, is closed already."""
    failures = []
    for one in opened:
        if one.until and one.until < time.time():
            continue
        speaker = router.speaker(one)
        try:
            if speaker is None:
                raise HostError(f"the router does not speak {one.how} any more")
            speaker.close(one)
        except HostError as failed:
            ends = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.until)) if one.until else ""
            remedy = f"it ends by itself at {ends}" if ends else "take it away in the router's pages"
            failures.append(Failure(port=str(one), why=failed.what, remedy=remedy))
    return tuple(failures)
