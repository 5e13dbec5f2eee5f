"""What most commands start with: the rig found, read, and held against what runs."""

from __future__ import annotations

import click

from rigstack.config.load import load_rig
from rigstack.config.model import Rig
from rigstack.config.rigdir import RigDir, find_rig
from rigstack.engine.observe import observe_images, observe_inputs, observe_rigs
from rigstack.errors import ConfigError
from rigstack.host.facts import observe_host
from rigstack.host.files import observe_files
from rigstack.plan.desired import Desired, desire
from rigstack.plan.gpu_choice import Choice, choose
from rigstack.plan.host import Host
from rigstack.plan.observed import Observed
from rigstack.plan.reconcile import needs_images
from rigstack.value import Value


class Survey(Value):
    """A rig as wanted and as found."""

    place: RigDir
    rig: Rig
    host: Host
    desired: Desired
    observed: Observed
    choice: Choice


def rig_of(context: click.Context) -> tuple[RigDir, Rig]:
    """The rig that the command line (--rig) or the current folder names, read. Raises ConfigError."""
    place = find_rig(context.obj)
    return place, load_rig(place.path)


def survey(place: RigDir, rig: Rig, *, causes: bool = True, only: frozenset[str] = frozenset()) -> Survey:
    """Looks at the host, the disk and the engine: one request when nothing changed.

    causes: ask for what is needed to explain changes (images, their inputs, the GPUs' load); status does without.
    only: the projects that are to be touched, empty for all.
    """
    host = observe_host(rig)
    containers, claims = observe_rigs(rig.name, rig.dir)
    choice = choose(rig, host.gpu, claims, only=only)
    if causes and choice.picked:
        from rigstack.host.nvml import observe_gpus

        choice = choose(rig, host.gpu, claims, observe_gpus(), only=only)
    desired = desire(rig, host, choice.given)
    observed = observe_files(place.path, desired).replace(containers=containers)
    if causes and needs_images(desired, containers):
        inputs, lines = observe_inputs(containers.values())
        observed = observed.replace(images=observe_images(), built_from=inputs, built_lines=lines)
    return Survey(place=place, rig=rig, host=host, desired=desired, observed=observed, choice=choice)


def known_projects(rig: Rig, names: tuple[str, ...]) -> frozenset[str]:
    """The names as a set, or ConfigError for one that rig.toml does not have."""
    for name in names:
        if rig.project(name) is None:
            known = ", ".join(project.name for project in rig.projects) or "none yet"
            raise ConfigError(f'there is no project "{name}"', remedy=f"projects in rig.toml: {known}")
    return frozenset(names)
