"""`rigstack trust`: the root certificate of the rig's own authority."""

from __future__ import annotations

import click

from rigstack.cli import console
from rigstack.cli.rig import rig_of
from rigstack.errors import HostError
from rigstack.host.certificate import ROOT_CERTIFICATE


@click.command()
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="Save it to a file instead of printing it.")
@click.pass_context
def trust(context: click.Context, out: str | None) -> None:
    """Print or save the rig's own root certificate, which your other machines need to trust.

    It signs the names that no public authority can: the LAN names, and the hostname with [tls] mode "internal".
    """
    import hashlib
    import ssl
    from pathlib import Path

    place, _ = rig_of(context)
    path = place.path / ROOT_CERTIFICATE
    try:
        pem = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise HostError(
            f"there is no {path} yet", cause="the edge makes it at its first start", remedy="rigstack up"
        ) from None
    except PermissionError:
        raise HostError(
            f"this user may not read {path}", remedy="run it as the user who made the rig, or with sudo"
        ) from None
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    if out:
        Path(out).write_text(pem, encoding="ascii")
        console.result(f"saved {out}")
    else:
        console.result(pem.rstrip())
    console.note("SHA-256 " + ":".join(digest[i : i + 2] for i in range(0, 64, 2)))
    console.note(
        "Linux:   sudo install -m 644 FILE /usr/local/share/ca-certificates/rigstack.crt && sudo update-ca-certificates"
    )
    console.note("macOS:   sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain FILE")
    console.note("Firefox: Settings, Certificates, Authorities, Import; Chrome on Linux: chrome://certificate-manager")
