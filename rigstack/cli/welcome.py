"""What `up` ends with: how to get in."""

from __future__ import annotations

from rigstack.cli.console import paint
from rigstack.config.model import Rig
from rigstack.plan.fingerprint import fingerprint
from rigstack.plan.host import Host
from rigstack.plan.status import edge_url


def welcome(rig: Rig, host: Host) -> str:
    """The ssh command, the notebooks' addresses, the fingerprints to compare, and the next steps."""
    where = rig.hostname or (host.addresses[0] if host.addresses else host.machine)
    url = edge_url(rig, host)
    lines = ["", paint(f"{rig.name} is up.", "bold"), ""]
    for project in rig.projects:
        lines += [
            f"  {paint(project.name, 'cyan')}",
            f"    shell     ssh -J jump@{where}:{rig.access.ssh_port} dev@{project.name}",
            f"    notebook  {url}p/{project.name}/",
        ]
    port = "" if rig.access.ssh_port == 22222 else f":{rig.access.ssh_port}"
    shown = fingerprint(host.host_keys.get("gateway", ""))
    lines += [
        "",
        f"  On the laptop: rigstack connect {where}{port} --fingerprint {shown}",
        "",
        "  With nothing but ssh, the first connection asks you to compare these fingerprints:",
        f"    gateway   {shown}",
        *(f"    {project.name:<9} {fingerprint(host.host_keys.get(project.name, ''))}" for project in rig.projects),
        "",
        "  rigstack status      what works and what does not",
        "  rigstack password    set the notebook password",
        "  rigstack trust       on the laptop: make it and its browsers trust the rig's own certificates",
    ]
    if not host.authorized_keys:
        lines += ["", "  Nobody can log in over SSH yet: put your laptop's public key, or github:NAME, into"]
        lines += [f"  [access] authorized_keys of {rig.dir}/rig.toml, then `rigstack up`."]
    return "\n".join(lines)
