"""Which GPUs each project is given: what runs keeps its own, an exclusive one is never given twice. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rigstack.config.model import Project, Rig
from rigstack.errors import HostError
from rigstack.plan.gpu import Claim, GpuReading, NoGpus
from rigstack.plan.gpu_board import Board
from rigstack.plan.host import Gpu
from rigstack.value import Value


class Unmet(Value):
    """A request that cannot be met: what, and for each GPU in question who has it."""

    project: str
    what: str
    details: tuple[str, ...] = ()
    cause: str = ""


class Choice(Value):
    """given: project -> devices ("all" stands alone). picked: those chosen anew by number. reasons: a line for each.

    unmet: requests that cannot be met; `given` then holds what comes nearest, so that the rest can still be shown.
    bare: projects that asked for "all" of what others leave, and others leave nothing: they run on the CPU.
    """

    given: Mapping[str, tuple[str, ...]]
    picked: frozenset[str] = frozenset()
    reasons: tuple[str, ...] = ()
    unmet: tuple[Unmet, ...] = ()
    bare: tuple[Unmet, ...] = ()


def choose(
    rig: Rig,
    gpu: Gpu,
    claims: Iterable[Claim],
    reading: GpuReading | NoGpus | None = None,
    *,
    only: frozenset[str] = frozenset(),
) -> Choice:
    """The GPUs of every project of the rig.

    claims: what containers were given, this rig's and others'. reading: live figures; None leaves load out of it.
    only: the projects that `up` was asked to touch; empty means all, others keep what they have.

    What runs keeps what it has as long as its request is the same: load never moves a project. Then come GPUs asked
    for by name, then numbers, the exclusive before the shared, and at last "all", which is all that nobody has for
    himself: be it nothing, since it is also what a project gets that asks for nothing in particular.
    """
    if gpu.kind == "none":
        return Choice(given={project.name: () for project in rig.projects})
    return _Round(rig, gpu, tuple(claims), reading, only).run()


def ensure_met(choice: Choice, only: frozenset[str]) -> None:
    """Raises HostError that says who holds what, when a request cannot be met. only: as for choose()."""
    unmet = [one for one in choice.unmet if not only or one.project in only]
    if not unmet:
        return
    first = unmet[0]
    if len(unmet) == 1:
        what, details = first.what, first.details
    else:
        what = "the GPUs that rig.toml asks for cannot all be given"
        lines = [line for one in unmet for line in (one.what, *(f"  {detail}" for detail in one.details))]
        details = tuple(lines)
    raise HostError(
        what,
        details=details,
        cause=first.cause,
        remedy="change `gpus` or `gpu_sharing` in rig.toml, or stop who holds them (rigstack gpus shows who);"
        " after a change of cards or driver: sudo rigstack host setup",
    )


class _Round:
    """One run of choose(); `board` knows who has what so far."""

    def __init__(
        self, rig: Rig, gpu: Gpu, claims: tuple[Claim, ...], reading: GpuReading | NoGpus | None, only: frozenset[str]
    ) -> None:
        self.rig, self.gpu, self.reading, self.only = rig, gpu, reading, only
        self.board = Board(gpu, rig.name)
        self.claims = _newest(claims, rig.name)
        self.foreign = tuple(c for c in claims if c.holding and (c.rig != rig.name or (only and c.project not in only)))
        self.given: dict[str, tuple[str, ...]] = {}
        self.reasons: list[str] = []
        self.unmet: list[Unmet] = []
        self.bare: list[Unmet] = []
        self.picked: set[str] = set()

    def run(self) -> Choice:
        for claim in self.foreign:
            self.board.take(claim.rig, claim.project, claim.devices, claim.sharing)
        waiting = [project for project in self.rig.projects if project.gpus not in ("none", 0)]
        for project in self.rig.projects:
            if project not in waiting:
                self.given[project.name] = ()
            elif self._untouched(project) and project.name in self.claims:
                self.given[project.name] = self.claims[project.name].devices
        waiting = [project for project in waiting if project.name not in self.given]
        for project in sorted(waiting, key=self._seniority):
            self._keep(project)
        waiting = [project for project in waiting if project.name not in self.given]
        for project in sorted(waiting, key=self._turn):
            self._give(project)
        return Choice(
            given={project.name: self.given[project.name] for project in self.rig.projects},
            picked=frozenset(self.picked),
            reasons=tuple(self.reasons),
            unmet=tuple(self.unmet),
            bare=tuple(self.bare),
        )

    def _untouched(self, project: Project) -> bool:
        return bool(self.only) and project.name not in self.only

    def _seniority(self, project: Project) -> tuple[bool, bool, int, str]:
        """Who keeps first: what runs, then whose sharing is as it was, then the older."""
        claim = self.claims.get(project.name)
        if claim is None:
            return (True, True, 0, project.name)
        return (not claim.holding, claim.sharing != project.gpu_sharing, claim.since, project.name)

    def _turn(self, project: Project) -> tuple[bool, int, bool, str]:
        kind = 2 if project.gpus == "all" and project.gpu_sharing == "shared" else 1 if _is_number(project) else 0
        return (self._untouched(project), kind, project.gpu_sharing == "shared", project.name)

    def _keep(self, project: Project) -> None:
        claim = self.claims.get(project.name)
        if claim is None or not self._satisfies(claim, project):
            return
        ignored = {
            (other.rig, other.project)
            for other in self.foreign
            # Two rigs that chose at the same moment: the older container keeps it, the other's next look moves it.
            if claim.holding and (claim.since, claim.rig, claim.project) < (other.since, other.rig, other.project)
        }
        cards = self.board.expand(claim.devices)
        if all(self.board.open_to(card, project.name, project.gpu_sharing, ignored) for card in cards):
            self._grant(project, claim.devices)

    def _satisfies(self, claim: Claim, project: Project) -> bool:
        """Whether what the container has is what is asked for, and still there."""
        cards = self.board.expand(claim.devices)
        if not cards or not cards <= frozenset(self.board.cards) | self.board.unknown(claim.devices):
            return False
        if project.gpus == "all":
            return self.gpu.has_all if claim.devices == ("all",) else claim.holding
        if isinstance(project.gpus, int):
            return len(cards) == project.gpus
        return cards == self.board.expand(tuple(project.gpus))

    def _give(self, project: Project) -> None:
        if project.gpus == "all":
            self._give_all(project)
        elif isinstance(project.gpus, int):
            self._give_number(project, project.gpus)
        else:
            self._give_named(project, tuple(project.gpus))

    def _give_all(self, project: Project) -> None:
        cards = self.board.cards
        free = [card for card in cards if self.board.open_to(card, project.name, project.gpu_sharing)]
        if len(free) == len(cards):
            self._grant(project, self.gpu.every)
            return
        if project.gpu_sharing == "exclusive":
            self._refuse(project, f"{project.name} cannot have all GPUs{_own(project)}", cards, self.gpu.every)
            return
        self._grant(project, tuple(free))
        taken = tuple(self.board.holders(card, besides=project.name) for card in cards if card not in free)
        if free:
            self.reasons.append(f"{project.name} gets GPU {', '.join(free)}; not {', '.join(taken)}")
        else:
            what = f"{project.name} gets no GPU and runs on the CPU: others have them all for themselves"
            self.bare.append(Unmet(project=project.name, what=what, details=taken))
            self.reasons.append(
                f'{what} ({"; ".join(taken)}); gpus = "none" says that this is right, gpus = 1 that it is an error'
            )

    def _give_named(self, project: Project, names: tuple[str, ...]) -> None:
        # The nvidia runtime's cards are known by index, so a UUID that is not is left to it.
        absent = [n for n in names if not self.board.knows(n) and (self.gpu.kind == "cdi" or n.isdigit())]
        if absent and self.gpu.devices:
            what = f"{project.name} asks for GPU {', '.join(absent)}, which this machine does not have"
            self.unmet.append(Unmet(project=project.name, what=what, cause=f"it has: {', '.join(self.gpu.devices)}"))
            self.given[project.name] = names
            return
        cards = sorted(self.board.expand(names))
        taken = [card for card in cards if not self.board.open_to(card, project.name, project.gpu_sharing)]
        if taken:
            self._refuse(project, f"{project.name} cannot have GPU {', '.join(taken)}{_own(project)}", taken, names)
        else:
            self._grant(project, names)

    def _give_number(self, project: Project, count: int) -> None:
        from rigstack.plan.gpu_pick import Pick, pick  # mostly there is nothing to pick

        claim = self.claims.get(project.name)
        mine = self.board.expand(claim.devices) if claim is not None else frozenset[str]()
        reading = None if self._untouched(project) else self.reading
        found = pick(self.board, project, count, mine=mine, reading=reading)
        if isinstance(found, Pick):
            self._grant(project, found.cards)
            if not self._untouched(project):
                self.picked.add(project.name)
                self.reasons.append(f"{project.name} gets {found.reason}")
            return
        cards = self.board.cards
        noun = "GPU" if count == 1 else "GPUs"
        what = f"{project.name} cannot have {count} {noun}{_own(project)}: "
        what += f"{found.possible} can be given" if count <= len(cards) else f"this machine has {len(cards)}"
        fallback = tuple(card for card in cards if card in mine) or cards[:count]
        self._refuse(project, what, cards, fallback, found.broken)

    def _grant(self, project: Project, devices: tuple[str, ...]) -> None:
        self.given[project.name] = devices
        self.board.take(self.rig.name, project.name, devices, project.gpu_sharing)

    def _refuse(
        self,
        project: Project,
        what: str,
        cards: Iterable[str],
        devices: tuple[str, ...],
        broken: Mapping[str, str] | None = None,
    ) -> None:
        self.given[project.name] = devices
        if self._untouched(project):
            return
        details = tuple(
            f"{self.board.holders(card, besides=project.name)}"
            + (f"; {broken[card]}" if broken and card in broken else "")
            for card in cards
        )
        self.unmet.append(Unmet(project=project.name, what=what, details=details))


def _newest(claims: Iterable[Claim], rig: str) -> dict[str, Claim]:
    """Project of this rig -> its newest claim, those of running containers first."""
    found: dict[str, Claim] = {}
    for claim in claims:
        if claim.rig != rig:
            continue
        before = found.get(claim.project)
        if before is None or (claim.holding, claim.since) > (before.holding, before.since):
            found[claim.project] = claim
    return found


def _is_number(project: Project) -> bool:
    return isinstance(project.gpus, int)


def _own(project: Project) -> str:
    return " for itself" if project.gpu_sharing == "exclusive" else ""
