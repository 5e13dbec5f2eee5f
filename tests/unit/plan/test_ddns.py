"""What the sidecar's report comes to in words, and that a broken report is no report."""

from __future__ import annotations

import pytest

from rigstack.plan.ddns import DdnsReport, ddns_problem, iso, read_report

GOOD = {
    "schema": 1,
    "state": "current",
    "hostname": "rig.example.net",
    "provider": "no-ip",
    "public_address": "203.0.113.9",
    "address": "203.0.113.9",
    "answer": "good 203.0.113.9",
    "dns_server": "ns1.example.net",
    "dns_address": "203.0.113.9",
    "updated_at": 1_000_000_000,
    "dns_asked_at": 1_000_000_400,
}


def problem(**changed: object) -> str:
    return " / ".join(ddns_problem(read_report({**GOOD, **changed})) or ())


def test_a_name_that_is_kept() -> None:
    report = read_report(GOOD)
    assert ddns_problem(report) is None
    document = report.document()
    assert (document["public_address"], document["updated"]) == ("203.0.113.9", "2001-09-09T01:46:40Z")
    assert (document["dns"]["server"], document["next"]) == ("ns1.example.net", "")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"state": "refused", "answer": "badauth"}, ('no-ip refused (it said "badauth")', "rigstack ddns update")),
        (
            {"state": "trouble", "words": "the provider is in trouble", "answer": "911"},
            ("in trouble", '"911"', "again"),
        ),
        ({"state": "deregistered", "words": "taken back"}, ("taken back", "rigstack ddns update")),
        ({"state": "lost", "words": "nobody says"}, ("nobody says", "rigstack logs ddns")),
        ({"dns_address": "198.51.100.7"}, ("is 198.51.100.7 at ns1.example.net, and should be 203.0.113.9",)),
        ({"dns_address": ""}, ("is no address at",)),
    ],
)
def test_what_is_wrong_is_told_with_a_remedy(changed: dict[str, object], words: tuple[str, ...]) -> None:
    for word in words:
        assert word in problem(**changed)


def test_a_fresh_update_and_a_silent_name_server_are_no_disagreement() -> None:
    assert problem(dns_address="198.51.100.7", dns_asked_at=1_000_000_100) == ""
    assert problem(dns_address="", dns_error="it does not answer") == ""


def test_nonsense_in_the_report_stays_unknown() -> None:
    assert read_report({"state": 3, "answer": None, "sent": "many", "looked_at": True, "more": 1}) == DdnsReport()
    assert iso(0) == ""
