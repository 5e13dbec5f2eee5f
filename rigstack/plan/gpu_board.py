"""Who has which GPU while GPUs are being given. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from rigstack.plan.host import Gpu


class Board:
    """Who has which card, while GPUs are being given: card -> (rig, project) -> "shared" or "exclusive".

    A card is one GPU or MIG instance under its one canonical name, whatever other names it has.
    """

    def __init__(self, gpu: Gpu, rig: str) -> None:
        self.gpu, self.rig = gpu, rig
        self.cards = gpu.cards
        self.held: dict[str, dict[tuple[str, str], str]] = {card: {} for card in self.cards}

    def knows(self, name: str) -> bool:
        return name in self.gpu.devices or self.gpu.canonical(name) in self.cards

    def expand(self, devices: Iterable[str]) -> frozenset[str]:
        """The canonical names of these devices; "all" is every card."""
        named = tuple(devices)
        return frozenset(self.cards if named == ("all",) else (self.gpu.canonical(one) for one in named))

    def unknown(self, devices: Iterable[str]) -> frozenset[str]:
        """Names that cannot be looked up here: UUIDs with the nvidia runtime, which knows its cards by index."""
        if self.gpu.kind == "cdi":
            return frozenset()
        return frozenset(one for one in self.expand(devices) if not one.isdigit())

    def take(self, rig: str, project: str, devices: Iterable[str], sharing: str) -> None:
        for card in self.expand(devices):
            self.held.setdefault(card, {})[(rig, project)] = sharing

    def others(self, card: str, project: str) -> dict[tuple[str, str], str]:
        return {who: how for who, how in self.held.get(card, {}).items() if who != (self.rig, project)}

    def open_to(
        self, card: str, project: str, sharing: str, ignored: AbstractSet[tuple[str, str]] = frozenset()
    ) -> bool:
        """Whether the project may have the card: nobody else has it exclusively, and nobody at all for an exclusive."""
        others = [how for who, how in self.others(card, project).items() if who not in ignored]
        return not others if sharing == "exclusive" else "exclusive" not in others

    def holders(self, card: str, *, besides: str = "") -> str:
        """Who has the card, in words: "GPU 0: demo (shared), cifar of rig two (exclusive)"."""
        words = [
            f"{project}{'' if rig == self.rig else f' of rig {rig}'} ({how})"
            for (rig, project), how in sorted(self.others(card, besides).items())
        ]
        return f"GPU {card}: {', '.join(words) or 'nobody'}"
