"""`rigstack up` and `rigstack down`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import click

from rigstack.cli import console
from rigstack.cli.rig import Survey, ensure_none_broken, known_projects, lock_for, move_lock, rig_of, survey
from rigstack.config.model import Rig
from rigstack.config.rigdir import RigDir
from rigstack.errors import BuildError, EngineError, RigstackError
from rigstack.host.lock import rig_lock
from rigstack.plan.cuda import ensure_cuda
from rigstack.plan.gpu_choice import ensure_met
from rigstack.plan.reconcile import reconcile
from rigstack.plan.steps import Plan
from rigstack.render.edge import tls_mode

ROUNDS = 4  # a rig that is not settled after this many never will be


@click.command()
@click.argument("projects", nargs=-1)
@click.option("-n", "--dry-run", is_flag=True, help="Print the plan with its causes, and stop.")
@click.option("--no-wait", is_flag=True, help="When another rigstack works on this rig, exit 6 instead of waiting.")
@click.option("--pull", is_flag=True, help="Move on to the present base images first, as `image update` does.")
@click.option("--no-cache", is_flag=True, help="Build changed images without the build cache.")
@click.option(
    "-y", "--yes", is_flag=True, help="End running kernels, sessions and jobs where a container must be replaced."
)
@click.option("--wait", is_flag=True, help="Replace such a container when what runs in it has ended.")
@click.option("--timeout", default=180.0, show_default=True, help="Seconds to wait for services to be healthy.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@click.pass_context
def up(
    context: click.Context,
    projects: tuple[str, ...],
    dry_run: bool,
    no_wait: bool,
    pull: bool,
    no_cache: bool,
    yes: bool,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Bring the rig to what rig.toml says: all of it, or the named PROJECTS.

    Does only what is needed: run it as often as you like. It can be stopped at any time; the next `up` goes on.
    """
    started = time.monotonic()
    place, rig = rig_of(context)
    only = known_projects(rig, projects)
    if dry_run:
        if pull:
            console.note("note: --dry-run asks no registry, so it leaves --pull out")
        seen, plan = _look(place, rig, only)
        if as_json:
            steps = [{"step": str(step), "cause": step.cause} for step in plan.steps]
            console.result_json({"steps": steps, "notes": list(seen.choice.reasons)})
        else:
            console.result(plan.text())
            for reason in seen.choice.reasons:
                console.note(f"note: {reason}")
        if not only:
            _tell_broken(seen.host.broken)
        return
    consent = None
    pythons: dict[str, str] = {}
    done: list[dict[str, str]] = []
    notes: list[str] = []
    built: set[str] = set()
    failed: dict[str, BuildError] = {}
    with rig_lock(place.path, "up", wait=not no_wait, on_wait=console.note) as lock:
        seen, plan = _look(place, rig, only)
        if move_lock(seen, only, console.note) if pull else lock_for(plan, seen, console.note):
            seen, plan = _look(place, rig, only)
        rounds = 0
        while plan and rounds < ROUNDS:
            from rigstack.cli.consent import Consent
            from rigstack.host.hand_installed import set_in_use

            consent = consent or Consent(yes=yes, wait=wait)
            pythons = pythons or {one.name: set_in_use(place.homes / one.name) for one in rig.projects}
            if consent.ask(plan, seen.observed):
                plan = reconcile(seen.desired, seen.observed, only=only, hold=consent.held)
            for reason in seen.choice.reasons:
                console.note(f"note: {reason}")
            notes += seen.choice.reasons
            from rigstack.cli.progress import reporter
            from rigstack.engine.execute import Execution

            with reporter() as report:
                execution = Execution(
                    rig=rig,
                    host=seen.host,
                    desired=seen.desired,
                    observed=seen.observed,
                    reporter=report,
                    lock=lock,
                    timeout=timeout,
                    no_cache=no_cache,
                    guard=consent.guard,
                )
                try:
                    execution.run(plan)
                    rounds += 1
                    done += [{"step": str(step), "cause": step.cause} for step in plan.steps]
                    built |= {image.name for image in plan.images}
                except BuildError as wrong:
                    if not set(wrong.projects) - failed.keys():
                        raise
                    failed |= dict.fromkeys(wrong.projects, wrong)
            seen, plan = _look(place, rig, only, hold=consent.held, failed=failed)
            if failed and plan:
                console.note(f"{', '.join(failed)}: no new image; going on with everything else")
        if plan:
            raise EngineError(
                "the rig does not settle: after several rounds there is still something to do",
                details=tuple(plan.text().splitlines()),
                remedy="run `rigstack up --dry-run`, and report this with its output",
            )
    told = [note for image, note in seen.desired.once if image in built]
    for remark in (*seen.desired.notes, *told, *_set_aside(place, pythons)):
        console.note(f"note: {remark}")
    if as_json:
        console.result_json({"steps": done, "notes": notes, "seconds": round(time.monotonic() - started, 3)})
    elif seen.host.broken or (consent is not None and consent.held):
        pass
    elif not done:
        console.result("nothing to do: everything runs as rig.toml says")
        if tls_mode(rig) == "acme" and not seen.host.acme_issued:
            from rigstack.cli.first_certificate import ask_for_certificate

            ask_for_certificate(rig)
    else:
        from rigstack.cli.welcome import welcome

        console.result(welcome(seen.rig, seen.host))
        console.note(f"done in {time.monotonic() - started:.1f} s")
    if consent is not None:
        consent.settle()
    _tell_broken(failed if only else seen.host.broken)


def _look(
    place: RigDir,
    rig: Rig,
    only: frozenset[str],
    *,
    hold: frozenset[str] = frozenset(),
    failed: Mapping[str, BuildError] | None = None,
) -> tuple[Survey, Plan]:
    """What there is, and what is to be done; raises for what cannot be done.

    hold: services that stay as they are. failed: projects that do, since their images could not be built.
    """
    seen = survey(place, rig, only=only, failed=failed)
    _ensure_possible(seen, only.difference(failed or ()))
    return seen, reconcile(seen.desired, seen.observed, only=only, hold=hold)


def _set_aside(place: RigDir, before: dict[str, str]) -> Iterator[str]:
    """What was installed by hand for a Python that a project had before. before: project -> the set that it used."""
    for name, old in before.items():
        from rigstack.host.hand_installed import observe_hand_installed, set_in_use

        now = set_in_use(place.homes / name)
        if old and now != old and (count := dict(observe_hand_installed(place.homes / name).aside).get(old)):
            python, left = now.removeprefix("env-"), old.removeprefix("env-")
            what = f"{count} packages installed by hand for {left} are set aside, not lost"
            yield f"{name}: Python is now {python}; {what}"


def _tell_broken(broken: Mapping[str, RigstackError]) -> None:
    """Raises ConfigError or BuildError for what is wrong in the files of projects, which were left as they are."""
    ensure_none_broken(broken, left="left as they are" if len(broken) > 1 else "is left as it is")


def _ensure_possible(seen: Survey, only: frozenset[str]) -> None:
    """Raises for GPUs that cannot be given, a CUDA that the driver cannot run, a pinned image that is gone.

    And for a project that was named (only) and has a mistake in its files.
    """
    ensure_none_broken({name: one for name, one in seen.host.broken.items() if name in only})
    ensure_met(seen.choice, seen.touched)
    for image in seen.desired.images:
        if image.pinned and seen.observed.images is not None and image.tag not in seen.observed.images:
            raise EngineError(
                f"{image.tag}, which {image.name.removeprefix('project-')} was rolled back to, is not here any more",
                remedy=f"rigstack project rollback {image.name.removeprefix('project-')} --undo",
            )
    ensure_cuda(seen.rig, seen.host, seen.choice.given, seen.touched)


@click.command()
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be removed, and stop.")
@click.option("--no-wait", is_flag=True, help="When another rigstack works on this rig, exit 6 instead of waiting.")
@click.pass_context
def down(context: click.Context, dry_run: bool, no_wait: bool) -> None:
    """Stop and remove the rig's containers and networks, and nothing else: files, keys and images stay."""
    from rigstack.engine.containers import remove_containers, remove_networks
    from rigstack.engine.observe import observe_containers
    from rigstack.plan.desired import compose_project

    place, rig = rig_of(context)
    there = observe_containers(rig.name, rig.dir)
    if dry_run:
        console.result("\n".join(f"remove {name}" for name in sorted(there)) or "nothing to do: nothing runs")
        return
    with rig_lock(place.path, "down", wait=not no_wait, on_wait=console.note):
        removed = remove_containers(rig.name, None, console.note)
        networks = remove_networks(compose_project(rig), keep=())
    if removed or networks:
        console.result(f"removed {removed} containers and {networks} networks; your files are where they were")
    else:
        console.result("nothing to do: nothing runs")
