"""`rigstack project rollback`: the previous image, at once."""

from __future__ import annotations

import click

from rigstack.cli import console
from rigstack.cli.project import project
from rigstack.cli.rig import known_projects, rig_of
from rigstack.errors import ConfigError


@project.command()
@click.argument("name")
@click.option("--to", "tag", metavar="IMAGE", help="This image of the project instead (rigstack image list).")
@click.option("--undo", is_flag=True, help="Let the project follow its files again.")
@click.option("-y", "--yes", is_flag=True, help="End running kernels, sessions and jobs.")
@click.pass_context
def rollback(context: click.Context, name: str, tag: str | None, undo: bool, yes: bool) -> None:
    """Go back to the image that NAME had before, and stay there until --undo; its files stay as they are."""
    from rigstack.cli.up import up
    from rigstack.config.lock import load_lock
    from rigstack.engine.images import observe_stored
    from rigstack.engine.observe import observe_containers
    from rigstack.host.lock_file import write_lock
    from rigstack.plan.stored import previous

    place, rig = rig_of(context)
    known_projects(rig, (name,))
    lock = load_lock(place.path)
    if undo:
        chosen = ""
    else:
        stored = observe_stored(rig.name)
        container = observe_containers(rig.name, rig.dir).get(f"{name}-workspace")
        before = previous(stored, name, container.image if container else "")
        known = [one.tag for one in stored if one.kind == f"project-{name}"]
        if tag is not None and tag not in known:
            raise ConfigError(f"{tag} is no image of {name}", remedy="known: " + (", ".join(known) or "none"))
        if tag is None and before is None:
            raise ConfigError(f"there is no earlier image of {name}", remedy="rigstack image list")
        chosen = tag or (before.tag if before else "")
    write_lock(place.path, lock.with_pin(name, chosen))
    console.note(f"{name} follows its files again" if undo else f"{name} goes back to {chosen}")
    context.invoke(up, projects=(name,), yes=yes, timeout=180.0)
