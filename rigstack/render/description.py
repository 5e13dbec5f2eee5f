"""rig.json: what the gateway tells an allowed laptop about the rig; no secret in it."""

from __future__ import annotations

import json

from rigstack.config.model import Rig
from rigstack.plan.host import Host


def render_description(rig: Rig, host: Host) -> str:
    """The rig in JSON (schema 1): names, ports, public host keys, where each notebook is."""
    document = {
        "schema": 1,
        "rig": {
            "name": rig.name,
            "hostname": rig.hostname,
            "machine": host.machine,
            "addresses": list(host.addresses),
            "mac": rig.power.mac or host.mac,
            "plug": rig.power.plug,
        },
        "gateway": {
            "port": rig.access.ssh_port,
            "user": "jump",
            "host_key": host.host_keys.get("gateway", ""),
        },
        "edge": {"https_port": rig.access.https_port, "root": host.root_certificate},
        "projects": [
            {
                "name": project.name,
                "host": project.name,
                "user": "dev",
                "folder": f"/code/{project.name}",
                "python": "/home/dev/.env/bin/python",
                "host_key": host.host_keys.get(project.name, ""),
                "ssh_port": project.ssh_port,
                "ports": list(project.ports),
                "notebook": f"/p/{project.name}/",
            }
            for project in rig.projects
        ],
    }
    return json.dumps(document, indent=2) + "\n"
