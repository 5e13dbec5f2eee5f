"""TP-Link's plugs, Kasa and Tapo, by python-kasa: an extra of its own, since nobody else needs what it brings along."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rigstack.errors import ConfigError, HostError, ReachError

if TYPE_CHECKING:
    from kasa import DeviceConfig

PATIENCE = 10  # seconds for each answer


def tplink_is_on(kind: str, address: str, *, switch: bool | None = None) -> bool:
    """Whether the plug is on; `switch` turns it on or off before. kind: "kasa" or "tapo".

    kasa: the local protocol of the first generation (TCP 9999), which asks for no account. tapo: KLAP over HTTP, with
    the account of the Tapo app in RIGSTACK_PLUG_USER and RIGSTACK_PLUG_PASSWORD.
    Raises HostError without python-kasa, ConfigError without the account, ReachError.
    """
    import asyncio

    try:
        from kasa import AuthenticationError, Device, KasaException
    except ImportError:
        raise HostError(
            "Kasa and Tapo plugs need python-kasa, which is not installed",
            remedy="pip install 'rigstack[kasa]'",
        ) from None
    config = _config(kind, address)

    async def ask() -> bool:
        device = await Device.connect(config=config)
        try:
            if switch is not None:
                await (device.turn_on() if switch else device.turn_off())
                await device.update()
            return device.is_on
        finally:
            await device.disconnect()

    try:
        return asyncio.run(ask())
    except AuthenticationError:
        raise ReachError(
            f"the plug at {address} does not take that account",
            remedy="RIGSTACK_PLUG_USER and RIGSTACK_PLUG_PASSWORD are those of the Tapo app, in its very letters",
        ) from None
    except (KasaException, OSError, ValueError, KeyError) as failed:
        raise ReachError(
            f"the plug at {address} does not answer as it should: {failed}",
            cause="it has another address now, or this laptop is not on its LAN",
            remedy='give the plug a fixed address; a Kasa plug of newer firmware speaks as a Tapo does: "tapo:ADDRESS"',
        ) from None


def _config(kind: str, address: str) -> DeviceConfig:
    from kasa import Credentials, DeviceConfig, DeviceConnectionParameters, DeviceEncryptionType, DeviceFamily

    host, _, port = address.partition(":")
    plain = DeviceConfig(host=host, timeout=PATIENCE, port_override=int(port) if port else None)
    if kind == "kasa":
        return plain
    try:
        user, password = os.environ["RIGSTACK_PLUG_USER"], os.environ["RIGSTACK_PLUG_PASSWORD"]
    except KeyError as missing:
        raise ConfigError(
            f"a Tapo plug asks for the account of its app, and {missing.args[0]} is not set",
            remedy="export RIGSTACK_PLUG_USER=me@example.net RIGSTACK_PLUG_PASSWORD=...",
        ) from None
    return DeviceConfig(
        host=host,
        timeout=PATIENCE,
        port_override=plain.port_override,
        credentials=Credentials(user, password),
        connection_type=DeviceConnectionParameters(
            DeviceFamily.SmartTapoPlug, DeviceEncryptionType.Klap, login_version=2
        ),
    )
