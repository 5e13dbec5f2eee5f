"""Says in words and as JSON what a machine has for rigstack, what it lacks, and which known holes it has."""

from __future__ import annotations

from rigstack.engine.presence import EngineAnswers, EngineForbidden, EngineSilent
from rigstack.errors import RigstackError
from rigstack.host import version_floors
from rigstack.host.machine import Machine
from rigstack.host.nvidia import NvidiaGpus
from rigstack.host.setup_plan import missing_parts, plan_setup
from rigstack.host.setup_steps import GenerateCdi, InstallPackages, LinkDevices, RefreshCdi, SetupPlan, Step
from rigstack.host.version_floors import Hole
from rigstack.value import Value


class Problem(Value):
    """Something rigstack cannot run without, and what to do about it."""

    what: str
    remedy: str


class MachineReport(Value):
    """What `rigstack host check` tells. gpu: what keeps containers from the GPUs, or will."""

    machine: Machine
    problems: tuple[Problem, ...]
    gpu: tuple[Problem, ...]
    holes: tuple[Hole, ...]
    advice: tuple[str, ...]

    @property
    def able(self) -> bool:
        """Whether rigstack can run here."""
        return not self.problems

    def rows(self) -> list[tuple[str, str, str]]:
        """(part, what was found, state) for a table."""
        machine = self.machine
        below = {hole.floor.part for hole in self.holes}
        rows = [("system", f"{machine.distribution.name}, {machine.arch}", "ok")]
        for key, version in version_floors.part_versions(machine).items():
            name = version_floors.FLOORS[key].part
            if key == "toolkit" and not isinstance(machine.gpu, NvidiaGpus):
                continue
            there = bool(version) or _there(machine, key)
            state = "known hole" if name in below else "ok" if version else "version unknown"
            rows.append((name, version or ("?" if there else "-"), state if there else "missing"))
        buildx = machine.buildx
        rows.insert(-1, ("docker buildx", buildx.version if buildx else "-", "ok" if buildx else "missing"))
        if not isinstance(machine.engine, EngineAnswers):
            forbidden = isinstance(machine.engine, EngineForbidden)
            rows.append(("engine socket", machine.socket, "permission denied" if forbidden else "silent"))
        rows.append(("mmdebstrap", *_tool(machine, "mmdebstrap", "only needed where no registry answers")))
        rows.append(("GPU", *_gpu(machine)))
        return rows

    def lines(self) -> list[str]:
        """Problems, holes and advice, each with its remedy, and the verdict last."""
        lines = [f"problem: {problem.what}\n  next: {problem.remedy}" for problem in self.problems]
        lines += [f"warning: {hole.text()}\n  next: {hole.remedy}" for hole in self.holes]
        lines += [f"note: {text}" for text in self.advice]
        lines.append("rigstack can run here" if self.able else "rigstack cannot run here yet")
        return lines

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "able": self.able,
            **_machine_json(self.machine),
            "problems": [{"what": problem.what, "remedy": problem.remedy} for problem in self.problems],
            "holes": _holes_json(self.holes),
            "advice": list(self.advice),
        }


def check_machine(machine: Machine) -> MachineReport:
    """What a thoroughly observed machine has and lacks. Pure; raises nothing."""
    problems: list[Problem] = []
    advice: list[str] = []
    gpu: list[Problem] = []
    try:
        plan = plan_setup(machine)
    except RigstackError as refused:
        problems.append(Problem(what=refused.what, remedy=refused.remedy))
    else:
        if missing := missing_parts(machine):
            problems.append(Problem(what=f"missing: {', '.join(missing)}", remedy="sudo rigstack host setup"))
        elif isinstance(machine.engine, EngineSilent):
            what = f"the engine is installed and does not answer: {machine.engine.reason}"
            problems.append(Problem(what=what, remedy="sudo rigstack host setup"))
        for step in filter(_only_gpu, plan.steps):
            advice.append(f"{step.cause}: `sudo rigstack host setup` does: {step.text()}")
            if not isinstance(step, RefreshCdi):  # an improvement, not a problem
                gpu.append(Problem(what=step.cause, remedy="sudo rigstack host setup"))
        advice += plan.advice
    if isinstance(machine.engine, EngineAnswers) and machine.engine.live_restore is False:
        advice.append(
            'containers stop when the engine restarts: "live-restore": true in /etc/docker/daemon.json keeps'
            " them running (rigstack leaves a running engine's settings alone)"
        )
    return MachineReport(
        machine=machine,
        problems=tuple(problems),
        gpu=tuple(gpu),
        holes=version_floors.holes(machine),
        advice=tuple(advice),
    )


def _only_gpu(step: Step) -> bool:
    toolkit = isinstance(step, InstallPackages) and "nvidia-container-toolkit" in step.packages
    return toolkit or isinstance(step, RefreshCdi | GenerateCdi | LinkDevices)


def setup_lines(machine: Machine, plan: SetupPlan, *, done: bool) -> list[str]:
    """What `rigstack host setup` says at its end: one line when there was nothing to do."""
    holes = version_floors.holes(machine)
    if not plan.steps:
        engine = machine.engine.version if isinstance(machine.engine, EngineAnswers) else ""
        known = ", ".join(f"{hole.floor.part} {hole.version}" for hole in holes)
        parts = [
            f"Docker Engine {engine}, compose and buildx are here and answer: nothing to do",
            *plan.advice,
        ]
        return ["; ".join([*parts, f"known holes (rigstack host check): {known}"] if known else parts)]
    lines = [] if done else ["rigstack would:", *(f"  {line}" for line in plan.lines())]
    lines += [f"warning: {hole.text()}\n  next: {hole.remedy}" for hole in holes]
    lines += [f"note: {text}" for text in plan.advice]
    if done and isinstance(machine.engine, EngineAnswers):
        lines.append(f"this machine is set up: Docker Engine {machine.engine.version} answers at {machine.socket}")
    return lines


def setup_json(machine: Machine, plan: SetupPlan, *, done: bool) -> dict[str, object]:
    """The outcome of `rigstack host setup` for programs."""
    return {
        "done": done,
        "steps": [{"kind": type(step).__name__, "text": step.text(), "cause": step.cause} for step in plan.steps],
        "advice": list(plan.advice),
        "holes": _holes_json(version_floors.holes(machine)),
        **_machine_json(machine),
    }


def _holes_json(holes: tuple[Hole, ...]) -> list[dict[str, str]]:
    return [
        {"part": hole.floor.part, "version": hole.version, "what": hole.text(), "remedy": hole.remedy} for hole in holes
    ]


def _machine_json(machine: Machine) -> dict[str, object]:
    gpu = machine.gpu
    return {
        "system": {
            "id": machine.distribution.id,
            "version": machine.distribution.version,
            "arch": machine.arch,
            "init": machine.init,
        },
        "engine": {
            "socket": machine.socket,
            "state": {"EngineAnswers": "answers", "EngineForbidden": "forbidden", "EngineSilent": "silent"}[
                type(machine.engine).__name__
            ],
        },
        "versions": {
            **version_floors.part_versions(machine),
            "buildx": machine.buildx.version if machine.buildx else "",
        },
        "gpu": {
            "nodes": list(gpu.nodes) if isinstance(gpu, NvidiaGpus) else [],
            "driver": gpu.driver if isinstance(gpu, NvidiaGpus) else "",
            "cdi": isinstance(gpu, NvidiaGpus) and gpu.spec_fits,
        },
    }


def _there(machine: Machine, part: str) -> bool:
    if part == "toolkit":
        return isinstance(machine.gpu, NvidiaGpus) and machine.gpu.toolkit is not None
    return {
        "engine": machine.daemon is not None,
        "runc": "runc" in machine.tools,
        "buildkit": isinstance(machine.engine, EngineAnswers),
        "compose": machine.compose is not None,
    }[part]


def _tool(machine: Machine, name: str, absent: str) -> tuple[str, str]:
    return ("present", "ok") if name in machine.tools else ("-", absent)


def _gpu(machine: Machine) -> tuple[str, str]:
    gpu = machine.gpu
    if not isinstance(gpu, NvidiaGpus):
        return ("none", "projects run on the CPU")
    stale = next((one.stale for one in gpu.effective_specs if one.stale), "")
    spec = "CDI spec fits" if gpu.spec_fits else f"stale CDI spec: {stale}" if stale else "no CDI spec"
    return (f"{len(gpu.nodes)} NVIDIA, driver {gpu.driver or '?'}", spec)
