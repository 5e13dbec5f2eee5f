"""What a person wants to know at a glance: states, addresses, what is wrong and what to do. Pure."""

from __future__ import annotations

from typing import Any

from rigstack.config.model import Rig
from rigstack.plan.ddns import DdnsReport, ddns_problem
from rigstack.plan.desired import shared_services
from rigstack.plan.gpu_choice import Choice
from rigstack.plan.host import Host
from rigstack.plan.observed import Container, Observed
from rigstack.value import Value


class Problem(Value):
    """Something that does not work, and what to do about it. check: the check of the doctor that tells it."""

    what: str
    remedy: str
    check: str = "services"


class Status(Value):
    """document: the `--json` contract (docs/reference/status.md); problems: for people, also in the document."""

    document: dict[str, Any]
    problems: tuple[Problem, ...]


def word(container: Container | None) -> str:
    """One word for a container's state: healthy, starting, unhealthy, running, exited... or absent."""
    if container is None:
        return "absent"
    if container.state != "running":
        return container.state
    return container.health or "running"


def edge_url(rig: Rig, host: Host) -> str:
    """Where the edge answers, by its best name."""
    name = rig.hostname or f"{host.machine}.local"
    port = "" if rig.access.https_port == 443 else f":{rig.access.https_port}"
    return f"https://{name}{port}/"


def assess(
    rig: Rig,
    host: Host,
    observed: Observed,
    *,
    fingerprint: str,
    certificate: dict[str, str],
    changed: bool,
    ddns: DdnsReport | None = None,
    choice: Choice | None = None,
    router: tuple[str, str] | None = None,
) -> Status:
    """The state of the rig as one document.

    fingerprint: of the gateway's host key. certificate: {mode, expires, issuer, error} of the edge.
    changed: whether `up` would do something. ddns: what the sidecar says of itself.
    choice: which GPUs each project is given. router: (what, remedy) of what `net open` opened and leads here no more.
    """
    containers = observed.containers
    url = edge_url(rig, host)
    problems: list[Problem] = []
    names = list(shared_services(rig, host))
    for project in rig.projects:
        names += [f"{project.name}-workspace", f"{project.name}-notebook"]
    words = {name: word(containers.get(name)) for name in names}
    absent = [name for name, state in words.items() if state == "absent"]
    if len(absent) == len(names):
        state = "down"
        problems.append(Problem(what="nothing runs", remedy="rigstack up"))
    else:
        for name, condition in words.items():
            if condition == "starting":
                continue
            if condition == "absent":
                problems.append(Problem(what=f"{name} is not there", remedy="rigstack up"))
            elif (there := containers[name]).lost_gpus:
                what = f"{name} {there.ailment} (systemctl daemon-reload does that to containers that run)"
                problems.append(Problem(what=what, remedy="rigstack up makes it anew, and asks before anything ends"))
            elif condition not in ("healthy", "running"):
                problems.append(Problem(what=f"{name} is {condition}", remedy=f"rigstack logs {name}"))
        state = "degraded" if problems else "starting" if "starting" in words.values() else "running"
    problems += [
        Problem(what=f"{name}: {'; '.join((wrong.what, *wrong.details))}", remedy=wrong.remedy)
        for name, wrong in host.broken.items()
    ]
    if changed and state != "down":
        problems.append(
            Problem(
                what="what runs is not what rig.toml says",
                remedy="rigstack up --dry-run shows the difference",
            )
        )
    if not host.authorized_keys:
        problems.append(
            Problem(what="no key may log in", remedy="add one to [access] authorized_keys, then rigstack up")
        )
    if host.gpu.kind == "none" and rig.gpu_mode != "none" and any(p.gpus not in ("none", 0) for p in rig.projects):
        problems.append(
            Problem(what=f"no GPU in containers: {host.gpu.why}", remedy="rigstack host check", check="gpu")
        )
    if host.gpu.stale:
        problems.append(
            Problem(
                what=f"the GPUs' description for containers is stale: {host.gpu.stale}",
                remedy="sudo rigstack host setup",
            )
        )
    for unmet in choice.unmet if choice else ():
        problems.append(Problem(what=unmet.what, remedy="rigstack gpus shows who has which; change gpus in rig.toml"))
    for bare in choice.bare if choice else ():
        what = f"{bare.what} ({'; '.join(bare.details)})"
        problems.append(Problem(what=what, remedy='stop who holds them and: rigstack up; or set gpus = "none" for it'))
    if certificate.get("error"):
        stands_in = certificate.get("issuer") == "internal"
        served = "the rig's own certificate stands in" if stands_in else "what was served before is served on"
        problems.append(
            Problem(
                what=f"no certificate for {rig.hostname} ({served}): {certificate['error']}",
                remedy="rigstack doctor checks name and ports; the edge asks again when the name is there, else within"
                " the hour; at once: rigstack up",
            )
        )
    report = ddns or DdnsReport()
    if rig.ddns and words["ddns"] in ("healthy", "unhealthy", "running") and (found := ddns_problem(report)):
        problems.append(Problem(what=found[0], remedy=found[1]))
    if router:
        problems.append(Problem(what=router[0], remedy=router[1]))
    document: dict[str, Any] = {
        "rig": {"name": rig.name, "hostname": rig.hostname, "directory": rig.dir, "state": state},
        "edge": {"state": words["edge"], "url": url, "tls": certificate},
        "gateway": {"state": words["gateway"], "port": rig.access.ssh_port, "fingerprint": fingerprint},
        "ddns": {
            **report.document(),
            "state": words.get("ddns", "off"),
            "hostname": rig.ddns.hostname if rig.ddns else "",
        },
        "projects": [
            {
                "name": project.name,
                "image": _image_of(containers.get(f"{project.name}-workspace")),
                "state": _project_state(words[f"{project.name}-workspace"], words[f"{project.name}-notebook"]),
                "error": host.broken[project.name].what if project.name in host.broken else "",
                "gpus": list(project.gpus) if isinstance(project.gpus, tuple) else project.gpus,
                "gpu_sharing": project.gpu_sharing,
                "devices": list(choice.given[project.name]) if choice else [],
                "workspace": _part(containers.get(f"{project.name}-workspace")),
                "notebook": {
                    **_part(containers.get(f"{project.name}-notebook")),
                    "url": f"{url}p/{project.name}/",
                },
            }
            for project in rig.projects
        ],
        "problems": [{"what": problem.what, "remedy": problem.remedy} for problem in problems],
    }
    return Status(document=document, problems=tuple(problems))


def _image_of(container: Container | None) -> str:
    return container.image if container else ""


def _part(container: Container | None) -> dict[str, str]:
    if container is None:
        return {"state": "absent", "health": ""}
    return {"state": container.state, "health": container.health}


def _project_state(workspace: str, notebook: str) -> str:
    if workspace == notebook:
        return {"healthy": "running"}.get(workspace, workspace)
    if "absent" in (workspace, notebook) or "unhealthy" in (workspace, notebook):
        return "degraded"
    return "starting" if "starting" in (workspace, notebook) else "degraded"
