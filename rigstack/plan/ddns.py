"""What the DDNS sidecar says of itself, and what a person should know of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rigstack.value import Value


class DdnsReport(Value):
    """The sidecar's state.json. Times are seconds since 1970, 0 for never; addresses are "" when not known.

    state: current, waiting, trouble, refused, lost, deregistered or starting. words: why, when it is not current.
    public_address: as somebody outside sees it. address: what the provider was told last and took.
    answer: the provider's last words. sent: updates sent since the name was set up.
    dns_*: what the zone's own server says, asked past all caches.
    next_at: when the next look is, or the next try while the provider is in trouble; 0 when it waits for a person.
    """

    state: str = "starting"
    words: str = ""
    hostname: str = ""
    provider: str = ""
    public_address: str = ""
    public_address6: str = ""
    address: str = ""
    address6: str = ""
    answer: str = ""
    dns_server: str = ""
    dns_address: str = ""
    dns_address6: str = ""
    dns_error: str = ""
    looked_at: int = 0
    updated_at: int = 0
    answered_at: int = 0
    next_at: int = 0
    dns_asked_at: int = 0
    sent: int = 0

    def document(self) -> dict[str, Any]:
        """The same for `--json`, times as ISO 8601 in UTC or ""."""
        return {
            "hostname": self.hostname,
            "provider": self.provider,
            "report": self.state,
            "words": self.words,
            "address": self.address,
            "address6": self.address6,
            "public_address": self.public_address,
            "public_address6": self.public_address6,
            "answer": self.answer,
            "sent": self.sent,
            "dns": {
                "server": self.dns_server,
                "address": self.dns_address,
                "address6": self.dns_address6,
                "error": self.dns_error,
                "asked": iso(self.dns_asked_at),
            },
            "looked": iso(self.looked_at),
            "updated": iso(self.updated_at),
            "answered": iso(self.answered_at),
            "next": iso(self.next_at),
        }


def read_report(document: Mapping[str, Any]) -> DdnsReport:
    """The report in the sidecar's JSON object; what is missing or of another type stays unknown."""
    given: dict[str, Any] = {}
    for name, kind in DdnsReport.__annotations__.items():
        value = document.get(name)
        if isinstance(value, {"str": str, "int": int}[kind]) and not isinstance(value, bool):
            given[name] = value
    return DdnsReport(**given)


def iso(seconds: int) -> str:
    """Seconds since 1970 as ISO 8601 in UTC; "" for 0."""
    if seconds <= 0:
        return ""
    import datetime  # 3 ms that a rig without DDNS does not pay

    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ddns_problem(report: DdnsReport) -> tuple[str, str] | None:
    """(what, remedy) when the name is not kept as it should be; None when all is well."""
    said = f' (it said "{report.answer}")' if report.answer else ""
    match report.state:
        case "refused":
            return (
                f"ddns: {report.provider} refused{said}; nothing more is sent, so as not to be banned",
                "mend [ddns] in rig.toml or the password file, then rigstack up; or try as it is: rigstack ddns update",
            )
        case "trouble":
            return f"ddns: {report.words}{said}", "it tries again by itself; to try at once: rigstack ddns update"
        case "waiting" | "deregistered" | "lost":
            remedy = "rigstack ddns update" if report.state == "deregistered" else "rigstack logs ddns"
            return f"ddns: {report.words}", remedy
    for told, dns in ((report.address, report.dns_address), (report.address6, report.dns_address6)):
        if told and report.dns_asked_at > report.updated_at + 300 and not report.dns_error and dns != told:
            return (
                f"ddns: {report.hostname} is {dns or 'no address'} at {report.dns_server}, and should be {told}",
                "see whether something else sets that name; then rigstack ddns update",
            )
    return None
