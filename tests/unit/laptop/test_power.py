"""Wake-on-LAN packets and smart plugs, against servers that speak the plugs' own HTTP."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from test_rigs import a_connection

from rigstack.config import schema
from rigstack.errors import ConfigError, HostError, ReachError
from rigstack.host.facts import mac_address
from rigstack.laptop.power import broadcast_addresses, magic_packet, plug_is_on, plug_of, switch_plug
from tests.fake_plugs import fake_plug
from tests.fake_tplink import fake_kasa, fake_tapo

KINDS = {"tasmota": "tasmota", "shelly1": "shelly", "shelly2": "shelly"}


def test_the_packet() -> None:
    packet = magic_packet("00:11:22:33:44:55")
    assert len(packet) == 102
    assert packet == b"\xff" * 6 + b"\x00\x11\x22\x33\x44\x55" * 16


def test_where_it_is_sent() -> None:
    assert broadcast_addresses(a_connection()) == ("255.255.255.255", "192.168.1.255")


@pytest.mark.parametrize("kind", KINDS)
def test_a_plug_is_switched_and_asked(kind: str) -> None:
    with fake_plug(kind) as plug:
        assert plug_is_on(KINDS[kind], plug.address)
        switch_plug(KINDS[kind], plug.address, on=False)
        assert not plug.on
        assert not plug_is_on(KINDS[kind], plug.address)
        switch_plug(KINDS[kind], plug.address, on=True)
        assert plug.on


@pytest.mark.parametrize("kind", KINDS)
def test_a_plug_that_does_not_obey(kind: str) -> None:
    with fake_plug(kind, stuck=True) as plug, pytest.raises(ReachError, match="is still on"):
        switch_plug(KINDS[kind], plug.address, on=False)


def test_a_tasmota_with_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_plug("tasmota", password="s3 cret&") as plug:
        monkeypatch.delenv("RIGSTACK_PLUG_PASSWORD", raising=False)
        with pytest.raises(ReachError):
            plug_is_on("tasmota", plug.address)
        monkeypatch.setenv("RIGSTACK_PLUG_PASSWORD", "wrong")
        with pytest.raises(ReachError) as caught:
            plug_is_on("tasmota", plug.address)
        assert "wrong" not in str(caught.value.lines())
        monkeypatch.setenv("RIGSTACK_PLUG_PASSWORD", "s3 cret&")
        assert plug_is_on("tasmota", plug.address)


def test_a_kasa_plug_by_its_own_library() -> None:
    with fake_kasa() as plug:
        assert plug_is_on("kasa", plug.address)
        switch_plug("kasa", plug.address, on=False)
        assert not plug.on
        assert not plug_is_on("kasa", plug.address)
        switch_plug("kasa", plug.address, on=True)
        assert plug.on
    with fake_kasa(stuck=True) as plug, pytest.raises(ReachError, match="is still on"):
        switch_plug("kasa", plug.address, on=False)
    with pytest.raises(ReachError, match="does not answer as it should"):
        plug_is_on("kasa", "127.0.0.1:1")


def test_a_tapo_plug_asks_for_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIGSTACK_PLUG_USER", raising=False)
    with fake_tapo("me@example.net", "s3cret") as plug:
        with pytest.raises(ConfigError, match="RIGSTACK_PLUG_USER is not set"):
            plug_is_on("tapo", plug.address)
        monkeypatch.setenv("RIGSTACK_PLUG_USER", "me@example.net")
        monkeypatch.setenv("RIGSTACK_PLUG_PASSWORD", "wrong")
        with pytest.raises(ReachError, match="does not take that account") as caught:
            plug_is_on("tapo", plug.address)
        assert "wrong" not in str(caught.value.lines())
        assert not plug.asked
        monkeypatch.setenv("RIGSTACK_PLUG_PASSWORD", "s3cret")
        assert plug_is_on("tapo", plug.address)
        switch_plug("tapo", plug.address, on=False)
        assert not plug.on


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kasa", None)
    with pytest.raises(HostError) as caught:
        plug_is_on("kasa", "10.0.0.9")
    assert caught.value.remedy == "pip install 'rigstack[kasa]'"


def test_what_is_no_plug() -> None:
    with fake_plug("shelly1") as other, pytest.raises(ReachError, match="does not answer as it should"):
        plug_is_on("tasmota", other.address)
    with pytest.raises(ReachError, match="does not answer"):
        plug_is_on("shelly", "127.0.0.1:1")


def test_a_rig_without_a_plug_says_where_to_name_it() -> None:
    with pytest.raises(ConfigError) as caught:
        plug_of(a_connection())
    assert "[power] plug" in caught.value.remedy
    plugged = a_connection()
    plugged = plugged.replace(rig=plugged.rig.replace(plug="shelly:10.0.0.9:8080"))
    assert plug_of(plugged) == ("shelly", "10.0.0.9:8080")


@pytest.mark.parametrize("value", ["hue:10.0.0.1", "tasmota:", "tasmota:10.0.0.1/x", "10.0.0.1", 3])
def test_settings_that_are_no_plug(value: object) -> None:
    with pytest.raises(ValueError, match="tasmota:ADDRESS"):
        schema.plug(value)


def test_addresses_of_network_cards(tmp_path: Path) -> None:
    assert schema.mac("AA-BB-CC-00-11-22") == "aa:bb:cc:00:11:22"
    for wrong in ("aa:bb", "zz:bb:cc:00:11:22", 5):
        with pytest.raises(ValueError):
            schema.mac(wrong)
    assert mac_address(tmp_path) == ""
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/route").write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n"
        "eno1\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\n"
    )
    (tmp_path / "sys/class/net/eno1").mkdir(parents=True)
    (tmp_path / "sys/class/net/eno1/address").write_text("00:11:22:33:44:55\n")
    assert mac_address(tmp_path) == "00:11:22:33:44:55"
