"""`rigstack trust`: the root certificate of a rig's own authority, into the stores of this machine or into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rigstack.cli import console
from rigstack.errors import ConsentError, HostError

if TYPE_CHECKING:
    from rigstack.laptop.trust_stores import Store


@click.command()
@click.argument("name", required=False)
@click.option("-o", "--export", metavar="FILE", help="Only save it to a file (- prints it), for another machine.")
@click.option("--remove", is_flag=True, help="Take it out of this machine's stores again.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Go ahead without asking.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the fingerprint and each store.")
@click.pass_context
def trust(
    context: click.Context,
    name: str | None,
    export: str | None,
    remove: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make this machine and its browsers trust the rig's own certificates.

    The rig signs those of the names that no public authority can: the LAN names, and with [tls] mode "internal" the
    hostname. On a laptop the root comes from the rig's gateway, whose host key is pinned, and never from the web port.

    Whoever has the rig's secrets could pose as any website to a machine that trusts it: do this on your own only.
    """
    from pathlib import Path

    from rigstack.laptop.trust_stores import fingerprint_of, observe_stores

    rig, pem = _root(context, name)
    digest = fingerprint_of(pem)
    if export:
        if export == "-":
            console.result(pem.rstrip())
        else:
            Path(export).write_text(pem, encoding="ascii")
            console.result(f"saved {export}")
        console.note(f"SHA-256 {digest}")
        return
    stores = observe_stores(f"rigstack-{rig}", Path.home())
    if not stores:
        raise HostError(
            "this machine has no store of authorities that rigstack knows",
            remedy="rigstack trust --export FILE, and import it by hand",
        )
    if not as_json:
        console.note(f"the root certificate of {rig}: SHA-256 {digest}")
    if not (remove or dry_run) and not console.confirm("Trust it on this machine?", yes=yes):
        raise ConsentError("nothing was changed: nobody said yes", remedy="run it with --yes")
    found = [(store, _settle(store, pem, digest, remove=remove, dry_run=dry_run)) for store in stores]
    if as_json:
        shown = [{"name": store.name, "place": store.place, "state": state} for store, state in found]
        console.result_json({"rig": rig, "sha256": digest, "stores": shown})
    else:
        console.result(console.table(["STORE", "STATE", "WHERE"], [[s.name, state, s.place] for s, state in found]))
    if any(state.startswith(("needs", "failed")) for _, state in found):
        context.exit(HostError.exit_code)


def _root(context: click.Context, name: str | None) -> tuple[str, str]:
    """(the rig's name, its root certificate): of the rig here, or of a connected one."""
    from rigstack.cli.status_from_afar import is_from_afar

    if is_from_afar(context.obj, name):
        from rigstack.laptop import ssh
        from rigstack.laptop.home import laptop_home
        from rigstack.laptop.rigs import find_connection

        home = laptop_home()
        connection = find_connection(home, name)
        done = ssh.run_ssh(ssh.client_argv(home, "-o", "BatchMode=yes", connection.gateway))
        described = ssh.described(done, connection.gateway)
        if described.gateway_key != connection.rig.gateway_key:
            raise ssh.untrusted(
                connection.gateway, details=("it describes itself with another key than the pinned one",)
            )
        rig, pem = connection.name, described.root
    else:
        from rigstack.cli.rig import rig_of
        from rigstack.host.certificate import ROOT_CERTIFICATE
        from rigstack.host.files import read_text

        place, here = rig_of(context)
        rig, pem = here.name, read_text(place.path / ROOT_CERTIFICATE) or ""
    if not pem:
        raise HostError(f"{rig} has no authority of its own yet", cause="the edge makes it", remedy="rigstack up there")
    return rig, pem


def _settle(store: Store, pem: str, digest: str, *, remove: bool, dry_run: bool) -> str:
    """Makes one store so, and says what it is now."""
    from rigstack.laptop.trust_stores import change, held
    from rigstack.process import quote

    if store.missing:
        return f"needs {store.missing}"
    there = held(store, digest)
    if there == digest and not remove:
        return "trusted already"
    if not there and remove:
        return "was not there"
    # certutil keeps an older one of the same name: it goes first.
    commands = store.remove if remove else (*(store.remove if there else ()), *store.add)
    if dry_run:
        for command in commands:
            console.note(f"would run: {quote(command)}")
        return "would be removed" if remove else "would be trusted"
    try:
        change(store, commands, pem)
    except HostError as failed:
        console.warn("\n".join(failed.lines()))
        return "failed"
    return "removed" if remove else "trusted"
