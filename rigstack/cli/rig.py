"""What most commands start with: the rig found, read, and held against what runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import click

from rigstack.config.load import load_rig
from rigstack.config.lock import load_lock
from rigstack.config.model import Rig
from rigstack.config.rigdir import RigDir, find_rig
from rigstack.engine.observe import observe_images, observe_inputs, observe_rigs
from rigstack.errors import BuildError, ConfigError, RigstackError
from rigstack.host.facts import observe_host
from rigstack.host.files import observe_files
from rigstack.plan.desired import Desired, desire
from rigstack.plan.gpu_choice import Choice, choose
from rigstack.plan.host import Host
from rigstack.plan.images import locked_base, own_bases
from rigstack.plan.observed import Observed
from rigstack.plan.reconcile import needs_images
from rigstack.plan.steps import BootstrapImage, Plan
from rigstack.value import Value


class Survey(Value):
    """A rig as wanted and as found. touched: the projects that may change, empty for all."""

    place: RigDir
    rig: Rig
    host: Host
    desired: Desired
    observed: Observed
    choice: Choice
    touched: frozenset[str] = frozenset()


def rig_of(context: click.Context) -> tuple[RigDir, Rig]:
    """The rig that the command line (--rig) or the current folder names, read. Raises ConfigError.

    Mistakes in a project's own files are not raised: they are in Rig.broken.
    """
    place = find_rig(context.obj)
    return place, load_rig(place.path)


def survey(
    place: RigDir,
    rig: Rig,
    *,
    causes: bool = True,
    only: frozenset[str] = frozenset(),
    failed: Mapping[str, RigstackError] | None = None,
) -> Survey:
    """Looks at the host, the disk and the engine: one request when nothing changed.

    causes: ask for what is needed to explain changes (images, their inputs, the GPUs' load); status does without.
    only: the projects that are to be touched, empty for all. failed: those whose images could not be built.
    """
    host = observe_host(rig, failed)
    if any(state.startswith("local ") for _, state in host.lock.images):
        from rigstack.engine.locking import follow_local

        host = host.replace(lock=follow_local(host.lock))
    containers, claims, gives_ipv6 = observe_rigs(rig.name, rig.dir)
    if not gives_ipv6:
        host = host.replace(ipv6=False)
    touched = _touched(rig, host, only)
    choice = choose(rig, host.gpu, claims, only=touched)
    if causes and choice.picked:
        from rigstack.host.nvml import observe_gpus

        choice = choose(rig, host.gpu, claims, observe_gpus(), only=touched)
    desired = desire(rig, host, choice.given)
    observed = observe_files(place.path, desired).replace(containers=containers)
    if causes and needs_images(desired, containers):
        inputs, lines = observe_inputs(containers.values())
        observed = observed.replace(images=observe_images(), built_from=inputs, built_lines=lines)
    return Survey(place=place, rig=rig, host=host, desired=desired, observed=observed, choice=choice, touched=touched)


def lock_for(plan: Plan, seen: Survey, tell: Callable[[str], None]) -> bool:
    """Writes into rig.lock what `plan` builds from, where that is not there yet; whether it was not."""
    built = {image.name for image in plan.images}
    projects = frozenset(one.name for one in seen.rig.projects if f"own-{one.name}" in built)
    makes_base = any(isinstance(step, BootstrapImage) for step in plan.steps) or not seen.observed.containers
    base = makes_base and not locked_base(seen.rig, seen.host.lock)
    return _lock(seen, base=base, edge="edge" in built, projects=projects, move=False, tell=tell)


def move_lock(seen: Survey, only: frozenset[str], tell: Callable[[str], None]) -> bool:
    """Moves rig.lock on to the present images; whether there are others. only: the projects, empty for all.

    The base system and the edge's Caddy are moved too, unless all of `only` have a Dockerfile of their own.
    """
    projects = only or frozenset(one.name for one in seen.rig.projects)
    base = not only or not all(seen.host.inputs[name].dockerfile for name in only)
    return _lock(seen, base=base, edge=base, projects=projects, move=True, tell=tell)


def _lock(
    seen: Survey, *, base: bool, edge: bool, projects: frozenset[str], move: bool, tell: Callable[[str], None]
) -> bool:
    images = [image for name in sorted(projects) for image in own_bases(seen.host.inputs[name])]
    caddy = [seen.rig.tls.caddy_image] if seen.rig.tls.caddy_image else []
    images += caddy if edge else []
    if not base and not images:
        return False
    from rigstack.engine.locking import lock_base, lock_images
    from rigstack.host.lock_file import write_lock

    lock = lock_images(seen.host.lock, dict.fromkeys(images), move=move, tell=tell)
    if not seen.host.broken:
        used = {*caddy, *(image for given in seen.host.inputs.values() for image in own_bases(given))}
        lock = lock.replace(images=tuple(pair for pair in lock.images if pair[0] in used))
    if base:
        lock = lock_base(seen.rig, lock, move=move, tell=tell)
    if changed := lock != load_lock(seen.place.path):
        write_lock(seen.place.path, lock)
    return changed


def _touched(rig: Rig, host: Host, only: frozenset[str]) -> frozenset[str]:
    """`only` without the broken projects; with "" in it when nothing is left, since an empty one means all."""
    if not host.broken:
        return only
    return frozenset(only or (one.name for one in rig.projects)).difference(host.broken) or frozenset({""})


def known_projects(rig: Rig, names: tuple[str, ...]) -> frozenset[str]:
    """The names as a set, or ConfigError for one that rig.toml does not have."""
    for name in names:
        if rig.project(name) is None:
            known = ", ".join(project.name for project in rig.projects) or "none yet"
            raise ConfigError(f'there is no project "{name}"', remedy=f"projects in rig.toml: {known}")
    return frozenset(names)


def ensure_none_broken(broken: Mapping[str, RigstackError], *, left: str = "") -> None:
    """Raises one error for all that is wrong in the files of projects. left: what became of these, in words.

    A BuildError where one could not be built, else a ConfigError.
    """
    if not broken:
        return
    names = ", ".join(sorted(broken))
    first = next(iter(broken.values()))
    unbuilt = [one for one in broken.values() if isinstance(one, BuildError)]
    if len(unbuilt) == len(broken) and len(set(unbuilt)) == 1:
        raise first
    if len(broken) == 1:
        what = f"{names} {left}: {first.what}" if left else first.what
        raise ConfigError(what, details=first.details, cause=first.cause, remedy=first.remedy)
    raise (BuildError if unbuilt else ConfigError)(
        f"{names} {left}: mistakes in their files" if left else f"mistakes in the files of {names}",
        details=tuple(
            line for _, one in sorted(broken.items()) for line in (one.what, *(f"  {d}" for d in one.details))
        ),
        remedy="mend these; `rigstack up NAME` tells more of each",
    )
