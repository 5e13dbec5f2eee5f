"""The rig's power from afar: a Wake-on-LAN packet, and smart plugs on the LAN."""

from __future__ import annotations

import http.client
import json
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from rigstack.errors import ConfigError, ReachError
from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome
from rigstack.plan.remote import Connection

WOL_PORT = 9  # discard: what every tool and router uses
PATIENCE = 10.0  # seconds for a plug's answer
TPLINK = ("kasa", "tapo")


def magic_packet(mac: str) -> bytes:
    """Six bytes of 255 and sixteen times the address (AMD, "Magic Packet Technology", 1995)."""
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16


def broadcast_addresses(connection: Connection) -> tuple[str, ...]:
    """Where to send: the network that this laptop is in, and the rig's own as far as its address tells (a /24)."""
    nets = [address.rpartition(".")[0] + ".255" for address in connection.rig.addresses if ":" not in address]
    return ("255.255.255.255", *nets)


def send_packet(mac: str, addresses: tuple[str, ...]) -> None:
    """Broadcasts the packet. Raises ReachError when no address could be sent to."""
    failed: OSError | None = None
    sent = 0
    for address in addresses:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            try:
                out.sendto(magic_packet(mac), (address, WOL_PORT))
                sent += 1
            except OSError as refused:
                failed = refused
    if not sent:
        raise ReachError(
            f"no packet could be sent to {', '.join(addresses)}: {failed}",
            remedy="away from the rig's LAN name a machine there that is always on: rigstack wake --via ALIAS",
        )


def send_via_argv(home: LaptopHome, alias: str, mac: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Has another machine send it: by Python, or by the usual tools of small ones (routers, NAS)."""
    where = ", ".join(repr(address) for address in addresses)
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); "
        f"p = bytes([255] * 6) + bytes.fromhex('{mac.replace(':', '')}') * 16\n"
        f"for a in [{where}]:\n try: s.sendto(p, (a, {WOL_PORT}))\n except OSError: pass"
    )
    text = (
        f'if command -v python3 > /dev/null; then python3 -c "{code}"; '
        f"elif command -v wakeonlan > /dev/null; then wakeonlan {mac}; "
        f"elif command -v etherwake > /dev/null; then etherwake -b {mac}; "
        f"elif command -v ether-wake > /dev/null; then ether-wake -b {mac}; "
        "else echo 'no python3, wakeonlan or etherwake there' >&2; exit 3; fi"
    )
    return ssh.client_argv(home, "-o", "BatchMode=yes", alias, text)


def is_awake(home: LaptopHome, connection: Connection) -> bool:
    """Whether the gateway lets us in now."""
    done = ssh.run_ssh(ssh.client_argv(home, "-o", "BatchMode=yes", "-o", "ConnectTimeout=3", connection.gateway))
    return done.ok


def plug_of(connection: Connection) -> tuple[str, str]:
    """The kind and address of the rig's plug. Raises ConfigError when it has none."""
    if not connection.rig.plug:
        raise ConfigError(
            f"the rig {connection.name} has no smart plug",
            remedy='on the host: [power] plug = "tasmota:ADDRESS" (or shelly, kasa, tapo), rigstack up; '
            f"here: rigstack refresh {connection.name}",
        )
    kind, _, address = connection.rig.plug.partition(":")
    return kind, address


def plug_is_on(kind: str, address: str) -> bool:
    """Asks the plug. Raises ReachError; HostError and ConfigError as rigstack.laptop.kasa says."""
    if kind in TPLINK:
        from rigstack.laptop.kasa import tplink_is_on

        return tplink_is_on(kind, address)
    if kind == "tasmota":
        return _tasmota(address, "Power")
    if _generation(address) == 1:
        return bool(_ask(address, "/relay/0")["ison"])
    return bool(_ask(address, "/rpc/Switch.GetStatus?id=0")["output"])


def switch_plug(kind: str, address: str, *, on: bool) -> None:
    """Switches, and looks whether it is so. Raises ReachError.

    Tasmota: docs/Commands, "Power". Shelly: Gen1 /relay/0, Gen2 and later the RPC Switch.Set.
    """
    if kind in TPLINK:
        from rigstack.laptop.kasa import tplink_is_on

        tplink_is_on(kind, address, switch=on)
    elif kind == "tasmota":
        _tasmota(address, f"Power {'On' if on else 'Off'}")
    elif _generation(address) == 1:
        _ask(address, f"/relay/0?turn={'on' if on else 'off'}")
    else:
        _ask(address, f"/rpc/Switch.Set?id=0&on={'true' if on else 'false'}")
    if plug_is_on(kind, address) is not on:
        raise ReachError(
            f"the plug at {address} was told, and is still {'off' if on else 'on'}",
            remedy="look at its own page: a lock or an over-power stop may hold it",
        )


def _generation(address: str) -> int:
    """1 for Shelly's first devices, which do not tell; 2 and more for those with RPC."""
    return int(_ask(address, "/shelly").get("gen", 1))


def _tasmota(address: str, command: str) -> bool:
    words = {"cmnd": command}
    if password := os.environ.get("RIGSTACK_PLUG_PASSWORD"):
        words = {"user": "admin", "password": password, **words}
    answer = _ask(address, f"/cm?{urllib.parse.urlencode(words, quote_via=urllib.parse.quote)}")
    state = answer.get("POWER", answer.get("POWER1"))
    if state not in ("ON", "OFF"):
        raise ReachError(
            f"the plug at {address} does not say whether it is on",
            details=(json.dumps(answer)[:200],),
            remedy="is it a Tasmota? With a web password: RIGSTACK_PLUG_PASSWORD",
        )
    return bool(state == "ON")


def _ask(address: str, path: str) -> dict[str, Any]:
    """A JSON object from the plug; no proxy stands on a LAN. Raises ReachError, which names no password."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}{path}", timeout=PATIENCE) as answer:
            document = json.loads(answer.read(1 << 16))
            if isinstance(document, dict):
                return document
            raise ValueError("not an object")
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as failed:
        raise ReachError(
            f"the plug at {address} does not answer as it should: {failed}",
            cause="it has another address now, or this laptop is not on its LAN",
            remedy='on the rig\'s LAN, give the plug a fixed address; from afar: --via is for "wake" only',
        ) from None
