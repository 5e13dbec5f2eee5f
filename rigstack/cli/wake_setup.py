"""`rigstack power setup` on the GPU host: its network card wakes it, now and after each start."""

from __future__ import annotations

from rigstack.cli import console
from rigstack.host.network_card import observe_card, wake_card, wired_cards
from rigstack.host.wake import execute, observe_keeper
from rigstack.plan.wake import FIRMWARE, plan_undo, plan_wake


def set_up_wake(interface: str | None, *, undo: bool, dry_run: bool, as_json: bool) -> None:
    """Enables Wake-on-LAN for good, or takes that back. Raises HostError when the card or the machine cannot."""
    card = observe_card(interface or wake_card())
    keeper = observe_keeper(card)
    steps = plan_undo(keeper) if undo else plan_wake(card, keeper, wired_cards())
    for step in steps:
        console.note(f"would {step.text()}" if dry_run else step.text())
    if not dry_run:
        execute(steps)
        card = observe_card(card.interface)
    if as_json:
        console.result_json(
            {
                "card": {"interface": card.interface, "mac": card.mac, "enabled": card.enabled},
                "steps": [step.text() for step in steps],
                "firmware": [] if undo else list(FIRMWARE),
            }
        )
        return
    if undo:
        console.result(f"{card.interface} is as before at the next start" if steps else "there was nothing to undo")
        return
    state = "would listen" if dry_run and steps else "listens"
    console.result(f"{card.interface} ({card.mac}) {state} for the packet that wakes it, after each start too")
    console.result("In the BIOS or UEFI, which no program can look into:")
    for line in FIRMWARE:
        console.result(f"  - {line}")
    if card.interface != wake_card():  # the rig tells laptops the address of the card with the default route by itself
        console.result(f'In rig.toml, and then rigstack up:\n  [power]\n  mac = "{card.mac}"')
    console.result("On the laptop: rigstack refresh, and when the machine sleeps: rigstack wake")
