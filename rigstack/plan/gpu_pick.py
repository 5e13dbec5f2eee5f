"""Picks a number of GPUs: the freest by live load, of one model, near to one another; and says why. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations

from rigstack.config.model import Project
from rigstack.plan.gpu import GpuReading, GpuUnit, Link, NoGpus
from rigstack.plan.gpu_board import Board
from rigstack.value import Value

GIB = 1024**3
_NEARNESS = {"board": 5, "switch": 4, "switches": 3, "host bridge": 2, "node": 1, "system": 0}
_MOST_COMBINATIONS = 20_000  # C(16, 8) is 12,870; beyond that the first that are free do
Key = tuple[bool, int, int]


class Pick(Value):
    """The cards, and in words why these."""

    cards: tuple[str, ...]
    reason: str


class TooFew(Value):
    """possible: how many could be given. broken: card -> why it cannot be used."""

    possible: int
    broken: Mapping[str, str]


def pick(
    board: Board,
    project: Project,
    count: int,
    *,
    mine: AbstractSet[str] = frozenset(),
    reading: GpuReading | NoGpus | None = None,
) -> Pick | TooFew:
    """`count` cards for the project, or why there are too few. mine: what it has now, which it keeps first.

    Of each model the least busy, of the models the one that has the least busy, then the most memory. Of equally free
    ones those joined by NVLink, then those with the shortest way over PCIe.
    """
    units = _units(board, reading)
    broken = {card: "; ".join(unit.problems) or unit.state for card, unit in units.items() if unit.lost or unit.split}
    candidates = [
        card for card in board.cards if card not in broken and board.open_to(card, project.name, project.gpu_sharing)
    ]
    if len(candidates) < count:
        return TooFew(possible=len(candidates), broken=broken)
    keys = {card: busyness(board, project, card, units.get(card), mine) for card in candidates}
    models: dict[str, list[str]] = {}
    for card in candidates:
        models.setdefault(units[card].kind if card in units else "", []).append(card)
    alike = {model: cards for model, cards in models.items() if len(cards) >= count}
    groups = list(alike.values()) or [candidates]
    chosen = min(
        (
            _nearest(sorted(cards, key=lambda card: (keys[card], board.cards.index(card))), keys, count, reading)
            for cards in groups
        ),
        key=lambda cards: (
            sorted(keys[card] for card in cards),
            -sum((units[card].memory_total or 0) if card in units else 0 for card in cards),
            [board.cards.index(card) for card in cards],
        ),
    )
    cards = tuple(sorted(chosen, key=board.cards.index))
    return Pick(cards=cards, reason=_reason(board, project, cards, candidates, units, reading, mixed=not alike))


def busyness(board: Board, project: Project, card: str, unit: GpuUnit | None, mine: AbstractSet[str]) -> Key:
    """What cards are sorted by: the project's own first, then live load in coarse steps, then how many have it."""
    return (card not in mine, unit.level if unit else 0, len(board.others(card, project.name)))


def _units(board: Board, reading: GpuReading | NoGpus | None) -> dict[str, GpuUnit]:
    """Card -> its live figures, where there are any."""
    if not isinstance(reading, GpuReading):
        return {}
    found = {}
    for unit in (*reading.units, *(one for split in reading.units for one in split.instances)):
        for name in (unit.uuid, unit.device):
            if name and board.gpu.canonical(name) in board.cards:
                found[board.gpu.canonical(name)] = unit
    return found


def _nearest(
    cards: Sequence[str], keys: Mapping[str, Key], count: int, reading: GpuReading | NoGpus | None
) -> tuple[str, ...]:
    """The `count` least busy of sorted cards; among equally busy ones the nearest to one another."""
    limit = keys[cards[count - 1]]
    sure = [card for card in cards if keys[card] < limit]
    equal = [card for card in cards if keys[card] == limit]
    plain = tuple(cards[:count])
    if count < 2 or len(equal) == count - len(sure) or not isinstance(reading, GpuReading):
        return plain
    links = {frozenset((link.one, link.other)): link for link in reading.links}
    best, most = plain, nearness(plain, links)
    for number, more in enumerate(combinations(equal, count - len(sure))):
        if number > _MOST_COMBINATIONS:
            break
        both = (*sure, *more)
        if (near := nearness(both, links)) > most:
            best, most = both, near
    return best


def nearness(cards: Sequence[str], links: Mapping[frozenset[str], Link]) -> tuple[int, int]:
    """How well cards are joined: by NVLinks (of the worst pair, since the slowest link sets the pace), then by PCIe."""
    pairs = [links.get(frozenset(pair)) for pair in combinations(cards, 2)]
    nvlinks = min((link.nvlinks if link else 0) for link in pairs)
    return (
        nvlinks,
        sum(_NEARNESS[link.path] if link else 0 for link in pairs) + sum(bool(x and x.nvlinks) for x in pairs),
    )


def _reason(
    board: Board,
    project: Project,
    cards: tuple[str, ...],
    candidates: Sequence[str],
    units: Mapping[str, GpuUnit],
    reading: GpuReading | NoGpus | None,
    *,
    mixed: bool,
) -> str:
    left = [card for card in board.cards if card not in cards]
    words = ", ".join(_described(board, project, card, units.get(card)) for card in cards)
    text = f"GPU {words}"
    if mixed and len(cards) > 1 and units:
        text += "; they are of different models, since no model has enough"
    if left:
        rest = [f"GPU {_described(board, project, card, units.get(card))}" for card in left[:4]]
        text += f". Not {', '.join(rest)}" + (f" and {len(left) - 4} more" if len(left) > 4 else "")
    if isinstance(reading, NoGpus):
        text += f". Load is not known: {reading.why}"
    return text


def _described(board: Board, project: Project, card: str, unit: GpuUnit | None) -> str:
    """A card in a few words: "1 (RTX 4090, free, 23.6 of 24.0 GiB)"."""
    words = []
    if unit is not None:
        words += [unit.kind] if unit.kind else []
        words.append(unit.state)
        if unit.load:
            words.append(f"{unit.load} % load")
        if unit.memory_free is not None and unit.memory_total:
            words.append(f"{unit.memory_free / GIB:.1f} of {unit.memory_total / GIB:.1f} GiB free")
    others = sorted(name for _, name in board.others(card, project.name))
    if others:
        words.append(f"given to {', '.join(others)}")
    return f"{card} ({', '.join(words)})" if words else card
