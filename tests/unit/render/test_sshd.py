"""Which key exchanges the gateway takes, and that a change of mind restarts it."""

from __future__ import annotations

from builders import a_desire, a_rig

from rigstack.render.sshd import render_gateway_policy


def test_curve25519_is_the_last_and_only_where_pycharm_must_get_in() -> None:
    assert render_gateway_policy(a_rig("")).endswith(",curve25519-sha256,curve25519-sha256@libssh.org\n")
    assert "sha256,sntrup" in render_gateway_policy(a_rig(""))
    assert ",curve25519-sha256" not in render_gateway_policy(a_rig("[access]\nclients = 'modern'"))


def test_sshd_reads_it_when_it_starts() -> None:
    before, after = (
        {one.name: one.hash for one in a_desire(text).services} for text in ("", "[access]\nclients = 'modern'")
    )
    assert before["gateway"] != after["gateway"]
    assert before["edge"] == after["edge"]
