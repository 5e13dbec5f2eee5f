"""`rigstack wake` and `rigstack power`: the rig's power from the laptop, and the host made ready for it."""

from __future__ import annotations

import time

import click

from rigstack.cli import console
from rigstack.config import schema
from rigstack.errors import ConfigError, ConsentError, ReachError
from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome, laptop_home
from rigstack.laptop.power import (
    broadcast_addresses,
    is_awake,
    plug_is_on,
    plug_of,
    send_packet,
    send_via_argv,
    switch_plug,
)
from rigstack.laptop.rigs import find_connection
from rigstack.plan.remote import Connection

OFF_FOR = 10.0  # seconds: what a power supply needs to run empty


@click.command()
@click.argument("name", required=False)
@click.option("--via", metavar="ALIAS", help="Let this ssh host, which is always on and on the rig's LAN, send it.")
@click.option("--broadcast", multiple=True, metavar="ADDRESS", help="Send there. Default: this network, the rig's.")
@click.option("--mac", help="The network card's address. Default: what the rig told when it was last read.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds to wait until the rig answers.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
def wake(
    name: str | None, via: str | None, broadcast: tuple[str, ...], mac: str | None, timeout: float, dry_run: bool
) -> None:
    """Wake the rig NAME by Wake-on-LAN, and wait until it answers."""
    home = laptop_home()
    connection = find_connection(home, name)
    if not dry_run and is_awake(home, connection):
        console.result(f"{connection.name} is awake")
        return
    card = _mac(connection, mac)
    try:
        addresses = tuple(schema.address(one) for one in broadcast) or broadcast_addresses(connection)
    except ValueError as wrong:
        raise ConfigError(f"--broadcast is not right; expected {wrong}") from None
    where = f"from {via}" if via else "from here"
    if dry_run:
        console.result(f"would send a packet for {card} {where} to {', '.join(addresses)}")
        return
    began = time.monotonic()
    while True:
        _send(home, via, card, addresses)
        console.note(f"{time.monotonic() - began:4.0f} s: a packet for {card} was sent {where}; waiting for the rig")
        for _ in range(3):
            if is_awake(home, connection):
                console.result(f"{connection.name} is awake after {time.monotonic() - began:.0f} s")
                return
            if time.monotonic() - began > timeout:
                raise ReachError(
                    f"{connection.name} did not wake within {timeout:.0f} s",
                    cause="Wake-on-LAN is off in its BIOS or network card, it lost its power, or the packet does not "
                    "reach its LAN",
                    remedy="on the host, when it is up: sudo rigstack power setup; it names the BIOS settings too",
                )
            time.sleep(2)


def _send(home: LaptopHome, via: str | None, mac: str, addresses: tuple[str, ...]) -> None:
    if via is None:
        send_packet(mac, addresses)
        return
    done = ssh.run_ssh(send_via_argv(home, via, mac, addresses))
    if not done.ok:
        raise ReachError(f"{via} could not send the packet", details=done.tail(3), remedy=f"check: ssh {via}")


def _mac(connection: Connection, given: str | None) -> str:
    if given:
        try:
            return schema.mac(given)
        except ValueError as wrong:
            raise ConfigError(f"--mac {given!r} is not right; expected {wrong}") from None
    if not connection.rig.mac:
        raise ConfigError(
            f"the address of {connection.name}'s network card is not known",
            remedy=f"rigstack refresh {connection.name} while it is awake, or --mac 00:11:22:33:44:55",
        )
    return connection.rig.mac


@click.group()
def power() -> None:
    """Switch the rig's smart plug from the laptop; on the host: `power setup`, so that the laptop can wake it."""


@power.command("setup")
@click.option("--interface", metavar="NAME", help="The network card. Default: the one with the default route.")
@click.option("--undo", is_flag=True, help="Take the lasting setting away again.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the card, its address, what was done.")
def setup(interface: str | None, undo: bool, dry_run: bool, as_json: bool) -> None:
    """On the host: have its network card wake it by Wake-on-LAN, now and after each start. Needs root.

    Uses what the machine has: NetworkManager, systemd's .link files or ifupdown. Says what to look for in the BIOS.
    """
    from rigstack.cli.wake_setup import set_up_wake

    set_up_wake(interface, undo=undo, dry_run=dry_run, as_json=as_json)


@power.command("status")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the plug and the rig.")
def status(name: str | None, as_json: bool) -> None:
    """Whether the plug is on, and whether the rig answers."""
    home = laptop_home()
    connection = find_connection(home, name)
    kind, address = plug_of(connection)
    plug, rig = plug_is_on(kind, address), is_awake(home, connection)
    if as_json:
        console.result_json({"plug": {"kind": kind, "address": address, "on": plug}, "rig": {"answers": rig}})
    else:
        console.result(f"plug {address} ({kind}): {'on' if plug else 'off'}; rig: {'answers' if rig else 'silent'}")


@power.command("on")
@click.argument("name", required=False)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be switched, and stop.")
def on(name: str | None, dry_run: bool) -> None:
    """Switch the plug on; the rig starts when its BIOS says "AC back: on"."""
    _switch(name, (True,), force=True, dry_run=dry_run)


@power.command("off")
@click.argument("name", required=False)
@click.option("--force", is_flag=True, help="Also while jobs, sessions or kernels are active on the rig: they die.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be switched, and stop.")
def off(name: str | None, force: bool, dry_run: bool) -> None:
    """Switch the plug off. Refused while jobs, sessions or kernels are active on the rig."""
    _switch(name, (False,), force=force, dry_run=dry_run)


@power.command("cycle")
@click.argument("name", required=False)
@click.option("--force", is_flag=True, help="Also while jobs, sessions or kernels are active on the rig: they die.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be switched, and stop.")
def cycle(name: str | None, force: bool, dry_run: bool) -> None:
    """Switch the plug off, wait ten seconds, and on: for a rig that hangs. Refused while something is active on it."""
    _switch(name, (False, True), force=force, dry_run=dry_run)


def _switch(name: str | None, states: tuple[bool, ...], *, force: bool, dry_run: bool) -> None:
    home = laptop_home()
    connection = find_connection(home, name)
    kind, address = plug_of(connection)
    if not force and is_awake(home, connection):
        _refuse_when_active(home, connection)
    words = " and ".join("on" if state else "off" for state in states)
    if dry_run:
        console.result(f"would switch the {kind} plug at {address} {words}")
        return
    for number, state in enumerate(states):
        if number:
            time.sleep(OFF_FOR)
        switch_plug(kind, address, on=state)
    console.result(f"the plug at {address} was switched {words}")


def _refuse_when_active(home: LaptopHome, connection: Connection) -> None:
    from rigstack.laptop.activity import observe_activity

    found = observe_activity(home, connection)
    silent = [project for project, active in found.items() if active is None]
    details = tuple(f"{project}: {one}" for project, active in found.items() for one in active or ())
    if details or silent:
        raise ConsentError(
            f"{connection.name} is running, and without power this ends"
            if details
            else f"{connection.name} is running",
            details=details + tuple(f"{project}: its workspace cannot be asked" for project in silent),
            remedy="end it first, or say --force",
        )
    console.warn(f"{connection.name} is running and idle; `sudo poweroff` on it is kinder to its disks")
