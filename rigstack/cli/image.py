"""`rigstack image`: the images of projects: what there is, why it would be made anew, what is in it, what may go."""

from __future__ import annotations

import time
from typing import Any

import click

from rigstack.cli import console
from rigstack.cli.rig import ensure_none_broken, known_projects, rig_of, survey
from rigstack.errors import ConfigError


@click.group()
def image() -> None:
    """Look at projects' images: sizes, causes, packages; remove old ones, move the base system."""


@image.command("list")
@click.option("--layers", is_flag=True, help="Each layer of the deployed images, with its size.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def list_(context: click.Context, layers: bool, as_json: bool) -> None:
    """The images of this rig's projects: size, age, and which are deployed."""
    from rigstack.engine.images import observe_layers, observe_stored
    from rigstack.engine.observe import observe_containers

    _, rig = rig_of(context)
    used = {one.image for one in observe_containers(rig.name, rig.dir).values()}
    found = [one for one in observe_stored(rig.name) if one.kind.startswith("project-")]
    rows: list[dict[str, Any]] = [
        {
            "project": one.project,
            "image": one.tag,
            "size": one.size,
            "age": _age(one.tagged),
            "deployed": one.tag in used,
        }
        for one in found
    ]
    if layers:
        for row in rows:
            row["layers"] = observe_layers(row["image"]) if row["deployed"] else []
    if as_json:
        console.result_json({"images": rows})
        return
    cells = [
        [row["project"], row["image"], _mb(row["size"]), row["age"], "yes" if row["deployed"] else ""] for row in rows
    ]
    console.result(console.table(["PROJECT", "IMAGE", "SIZE", "AGE", "DEPLOYED"], cells))
    for row in rows if layers else ():
        for layer in row["layers"]:
            console.result(f"{_mb(layer['size']):>10}  {row['project']}  {layer['made_by'][:100]}")


@image.command()
@click.argument("project")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def why(context: click.Context, project: str, as_json: bool) -> None:
    """Why the image of PROJECT would be made anew, or that it would not; and what it is made of."""
    from rigstack.plan.reconcile import image_cause

    place, rig = rig_of(context)
    known_projects(rig, (project,))
    seen = survey(place, rig)
    ensure_none_broken({name: one for name, one in seen.host.broken.items() if name == project})
    wanted = seen.desired.image(f"project-{project}")
    service = f"{project}-workspace"
    container = seen.observed.containers.get(service)
    if container is None:
        cause = "it was never made"
    elif container.image == wanted.tag:
        cause = ""
    else:
        cause = image_cause(wanted, service, seen.observed)
    if as_json:
        console.result_json({"project": project, "image": wanted.tag, "cause": cause, "inputs": dict(wanted.inputs)})
        return
    console.result(f"{project} would be rebuilt: {cause}" if cause else f"{project} is as its files say: {wanted.tag}")
    for name, value in wanted.inputs:
        console.result(f"  {value:<14} {name}")


@image.command()
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be removed, and stop.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def prune(context: click.Context, dry_run: bool, as_json: bool) -> None:
    """Remove images of this rig's projects, except what is deployed or wanted, and the one before.

    Also base images and those of gateway, edge and ddns that no rig of this machine has needed for an hour.
    """
    from rigstack.engine.images import observe_all_stored, observe_stored, observe_used, remove_image
    from rigstack.plan.stored import prunable, prunable_shared

    place, rig = rig_of(context)
    seen = survey(place, rig)
    kept = observe_used() | {one.tag for one in seen.desired.images}
    doomed = prunable(observe_stored(rig.name), kept, frozenset(one.name for one in rig.projects))
    gone = {one.tag for one in doomed}
    rest = (one for one in observe_all_stored() if one.tag not in gone)
    doomed += prunable_shared(rest, kept, before=time.time() - 3600)
    for one in doomed:
        if not dry_run:
            remove_image(one.tag)
        if not as_json:
            console.result(f"{'would remove' if dry_run else 'removed'} {one.tag}  {_mb(one.size)}")
    if as_json:
        console.result_json({"removed": [one.tag for one in doomed], "done": not dry_run})
    elif not doomed:
        console.result("nothing to remove")
    else:
        console.note("sizes count shared layers; `docker system df` says what became free")


@image.command()
@click.argument("project")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def packages(context: click.Context, project: str, as_json: bool) -> None:
    """What is in the deployed image of PROJECT: every Python and Debian package with its version (an SBOM)."""
    from rigstack.engine.images import list_packages
    from rigstack.engine.observe import observe_containers

    _, rig = rig_of(context)
    known_projects(rig, (project,))
    container = observe_containers(rig.name, rig.dir).get(f"{project}-workspace")
    if container is None:
        raise ConfigError(f"{project} is not deployed", remedy=f"rigstack up {project}")
    found = list_packages(container.image)
    if as_json:
        rows = {kind: [{"name": name, "version": version} for name, version in pairs] for kind, pairs in found.items()}
        console.result_json({"project": project, "image": container.image, **rows})
        return
    for kind, pairs in found.items():
        for name, version in pairs:
            console.result(f"{kind}  {name} {version}")


@image.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def update(context: click.Context, as_json: bool) -> None:
    """Move the rig on to the present base images (security updates); the next `up` builds what starts from them.

    Those are the base system and the images that projects' own Dockerfiles name; rig.lock holds them until then.
    """
    from rigstack.cli.rig import move_lock
    from rigstack.config.lock import load_lock
    from rigstack.engine.bootstrap import ensure_bootstrap
    from rigstack.engine.locking import has_image
    from rigstack.host.lock import rig_lock
    from rigstack.plan.images import desire_bootstrap
    from rigstack.plan.reconcile import short_digests

    place, rig = rig_of(context)
    with rig_lock(place.path, "image update", on_wait=console.note):
        before = load_lock(place.path).held()
        move_lock(survey(place, rig, causes=False), frozenset(), console.note)
        lock = load_lock(place.path)
        bootstrap = desire_bootstrap(rig, lock)
        if not has_image(bootstrap.tag):
            ensure_bootstrap(bootstrap, mirror=rig.images.apt_mirror)
    now = lock.held()
    moved = {name: {"from": before.get(name, ""), "to": now[name]} for name in now if before.get(name) != now[name]}
    if as_json:
        console.result_json({"moved": moved})
        return
    for name, change in moved.items():
        console.result(short_digests(f"{name}: {change['from'] or 'not locked'} -> {change['to']}"))
    if moved:
        console.note("next: rigstack up")
    else:
        console.result("nothing newer is there")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _age(tagged: float) -> str:
    from rigstack.plan.activity import spoken

    return spoken(max(0, int(time.time() - tagged)))
