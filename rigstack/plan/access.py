"""Who logged in, and who tried: the journals of sshd and the edge read into logins and failures. Pure.

A journal line of sshd is "SECONDS MESSAGE" (images/gateway/record), one of the edge is Caddy's JSON (caddy/Caddyfile).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rigstack.value import Value

_ACCEPTED = re.compile(r"(\d+) Accepted \S+ for (\S+) from (\S+) port (\d+) ssh2: \S+ (SHA256:\S+)$")
_ENDED = re.compile(
    r"(\d+) (?:Disconnected from|Connection (?:closed|reset) by|Timeout, client not responding from)"
    r" (?:user \S+ )?(\S+) port (\d+)\b"
)
# A client may send any name, also one that looks like this message: the address is at the end.
_FAILED = re.compile(r"(\d+) .*? (?:authenticating|invalid) user .* (\S+) port \d+(?: \[preauth\])?$")
_NOTEBOOK = re.compile(r"/p/([^/]+)/(login|api/events/subscribe)$")
# JupyterLab opens its socket anew after each hiccup; that is still one visit.
_GAP = 60.0


class Login(Value):
    """Somebody who got in. where: "gateway", "workspace", "notebook" or "list" (the edge's project list).

    who: the key's comment, or how it was proven at a notebook ("password", "cookie"). fingerprint: the key's, else "".
    began: seconds since 1970. seconds: how long it lasted; None while it is open or when that is not known.
    port: the client's, for telling open ones from ended ones. seen: whether somebody wrote it down who is out of the
    reach of those who log in; a workspace's own word is not that.
    """

    where: str
    project: str
    who: str
    fingerprint: str
    address: str
    began: float
    seconds: float | None = None
    port: int = 0
    open: bool = False
    seen: bool = True


class Failure(Value):
    """All failed tries of one address at one place. first, last: seconds since 1970."""

    where: str
    address: str
    tries: int
    first: float
    last: float


def read_sshd(lines: Iterable[str], *, where: str, project: str, who: Mapping[str, str]) -> tuple[Login, ...]:
    """Logins in a journal of sshd, oldest first. who: fingerprint -> comment of the keys that are known now."""
    logins: list[Login] = []
    begun: dict[tuple[str, int], int] = {}
    for line in lines:
        if found := _ACCEPTED.match(line):
            began, _, address, port, key = found.groups()
            begun[address, int(port)] = len(logins)
            logins.append(
                Login(
                    where=where,
                    project=project,
                    who=who.get(key, ""),
                    fingerprint=key,
                    address=address,
                    began=float(began),
                    port=int(port),
                )
            )
        elif found := _ENDED.match(line):
            place = begun.pop((found.group(2), int(found.group(3))), None)
            if place is not None:
                login = logins[place]
                logins[place] = login.replace(seconds=float(found.group(1)) - login.began)
    return tuple(logins)


def read_edge(lines: Iterable[str]) -> tuple[tuple[Login, ...], tuple[Failure, ...]]:
    """Logins and failed tries in the edge's journal: passwords given, and notebook pages that were open."""
    import json

    logins: list[Login] = []
    failures: list[Failure] = []
    for line in lines:
        try:
            entry = json.loads(line)
            request, status, ended = entry["request"], int(entry["status"]), float(entry["ts"])
            address, uri, took = str(request["remote_ip"]), str(request["uri"]), float(entry.get("duration") or 0)
        except (ValueError, KeyError, TypeError):
            continue
        found = _NOTEBOOK.match(uri)
        project, what = found.groups() if found else ("", "list")
        where = "notebook" if found else "list"
        if status in (401, 429):
            failures.append(Failure(where=where, address=address, tries=1, first=ended, last=ended))
        elif (what == "login" and status == 302) or (what == "list" and status < 400):
            logins.append(_visit(where, project, "password", address, ended, None))
        elif what not in ("login", "list") and status == 101:
            logins.append(_visit(where, project, "cookie", address, ended - took, took))
    return _merged(logins), tuple(failures)


def _visit(where: str, project: str, who: str, address: str, began: float, seconds: float | None) -> Login:
    return Login(where=where, project=project, who=who, fingerprint="", address=address, began=began, seconds=seconds)


def _merged(logins: Iterable[Login]) -> tuple[Login, ...]:
    """Visits of one client to one place that overlap or follow at once are one."""
    merged: list[Login] = []
    last: dict[tuple[str, str, str, str], int] = {}
    for one in sorted(logins, key=lambda login: login.began):
        key = (one.where, one.project, one.who, one.address)
        place = last.get(key)
        if place is not None and one.who != "password":
            before = merged[place]
            ended = before.began + (before.seconds or 0)
            if one.began <= ended + _GAP:
                ended = max(ended, one.began + (one.seconds or 0))
                merged[place] = before.replace(seconds=ended - before.began)
                continue
        last[key] = len(merged)
        merged.append(one)
    return tuple(merged)


def read_failures(lines: Iterable[str], *, where: str) -> tuple[Failure, ...]:
    """Failed tries in sshd's journal of them, one by one."""
    found = (_FAILED.match(line) for line in lines)
    return tuple(
        Failure(where=where, address=one.group(2), tries=1, first=float(one.group(1)), last=float(one.group(1)))
        for one in found
        if one
    )


def summarise(failures: Iterable[Failure], since: float = 0) -> tuple[Failure, ...]:
    """One line for each place and address, who tried most first; only tries at or after `since`."""
    summed: dict[tuple[str, str], Failure] = {}
    for one in failures:
        if one.last < since:
            continue
        before = summed.get((one.where, one.address))
        summed[one.where, one.address] = (
            one
            if before is None
            else before.replace(
                tries=before.tries + one.tries, first=min(before.first, one.first), last=max(before.last, one.last)
            )
        )
    return tuple(sorted(summed.values(), key=lambda one: (-one.tries, one.where, one.address)))


def with_addresses(logins: Iterable[Login]) -> tuple[Login, ...]:
    """Each workspace login with what the gateway saw: a login there with the same key, around it.

    A workspace sees the gateway's address; the client's is that of the gateway login. It stays as it is when no
    gateway login fits (only the workspace has seen that one), or when several with different addresses do.
    """
    known = tuple(logins)
    jumps = [one for one in known if one.where == "gateway"]

    def fits(jump: Login, one: Login) -> bool:
        ended = float("inf") if jump.seconds is None else jump.began + jump.seconds
        return jump.fingerprint == one.fingerprint and jump.began <= one.began <= ended

    def resolved(one: Login) -> Login:
        if one.where != "workspace":
            return one
        addresses = {jump.address for jump in jumps if fits(jump, one)}
        address = addresses.pop() if len(addresses) == 1 else one.address
        return one.replace(address=address, seen=any(fits(jump, one) for jump in jumps))

    return tuple(resolved(one) for one in known)


def parse_peers(text: str, port: int) -> frozenset[tuple[str, int, str]]:
    """(address, port, inode) of whoever is connected to `port`, from /proc/net/tcp and tcp6 (proc(5))."""
    import ipaddress

    found = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 10 or fields[3] != "01" or int(fields[1].rpartition(":")[2], 16) != port:
            continue
        digits, _, peer = fields[2].rpartition(":")
        words = (digits[at : at + 8] for at in range(0, len(digits), 8))
        address = ipaddress.ip_address(b"".join(bytes.fromhex(word)[::-1] for word in words))
        mapped = getattr(address, "ipv4_mapped", None)
        found.add((str(mapped or address), int(peer, 16), fields[9]))
    return frozenset(found)
