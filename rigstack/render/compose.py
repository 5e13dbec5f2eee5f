"""The compose overlay and its variables: all that varies from rig to rig, on top of compose.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rigstack.config.model import Project, Rig
from rigstack.plan.host import Host
from rigstack.render.edge import tls_mode
from rigstack.render.folders import folders_variable
from rigstack.value import Value

CA_TARGET = "/etc/rigstack/ca/ca-certificates.crt"
ACCESS_TARGET = "/var/log/rigstack"

HISTORY_FOLDER = "state/gpu-history"


class GpuRequest(Value):
    """The devices a project's containers get. kind: "cdi" or "nvidia"; ids: ("all",) or device names.

    sharing: "shared" or "exclusive"; it and the ids are kept as labels, which is all that remembers who has what.
    """

    kind: str
    ids: tuple[str, ...]
    sharing: str = "shared"


class ServiceSpec(Value):
    """A service before its hash is known. gpu: what it is given. joins: the project networks it is on."""

    name: str
    role: str
    image: str
    project: Project | None = None
    gpu: GpuRequest | None = None
    joins: tuple[str, ...] = ()


def keeps_history(rig: Rig, host: Host) -> bool:
    """Whether the rig has the service that writes down what GPUs do."""
    return rig.gpu_history and host.gpu.kind != "none"


def edge_network(rig: Rig) -> str:
    """The network of the edge besides the projects': only one that asks an authority for certificates has a way out."""
    return "front" if tls_mode(rig) == "acme" else "gate"


def render_env(rig: Rig, host: Host, tags: Mapping[str, str]) -> str:
    """state/compose.env: the variables of compose.yaml."""
    values = {
        "RIGSTACK_COMPOSE_PROJECT": f"rigstack-{rig.name}",
        "RIGSTACK_DIR": rig.dir,
        "RIGSTACK_ASSETS": host.assets,
        "RIGSTACK_UID": str(host.uid),
        "RIGSTACK_GID": str(host.gid),
        "RIGSTACK_BIND": _bind_prefix(rig, host),
        "RIGSTACK_HTTP_PORT": str(rig.access.http_port),
        "RIGSTACK_HTTPS_PORT": str(rig.access.https_port),
        "RIGSTACK_SSH_PORT": str(rig.access.ssh_port),
        "RIGSTACK_IPV6": "true" if host.ipv6 else "false",
        "RIGSTACK_EDGE_NETWORK": edge_network(rig),
        "RIGSTACK_EDGE_IMAGE": tags["edge"],
        "RIGSTACK_GATEWAY_IMAGE": tags["gateway"],
    }
    if rig.ddns:
        values["RIGSTACK_DDNS_IMAGE"] = tags["ddns"]
    history = keeps_history(rig, host)
    if history:
        values["RIGSTACK_BASE_IMAGE"] = tags["base"]
    if profiles := [name for name, on in (("ddns", rig.ddns), ("history", history)) if on]:
        values["COMPOSE_PROFILES"] = ",".join(profiles)
    return "".join(f"{key}={_quoted(value)}\n" for key, value in values.items())


def _quoted(value: str) -> str:
    """In single quotes compose interpolates nothing; its only escape there is the quote itself."""
    return "'" + value.replace("'", "\\'") + "'"


def _bind_prefix(rig: Rig, host: Host) -> str:
    """Where networks have no IPv6, it is not published: all its clients would arrive as one address, the engine's."""
    bind = rig.access.bind or ("" if host.ipv6 else "0.0.0.0")
    return f"[{bind}]:" if ":" in bind else f"{bind}:" if bind else ""


def render_overlay(rig: Rig, host: Host, specs: tuple[ServiceSpec, ...], hashes: Mapping[str, str]) -> str:
    """state/compose.json: a service of its own for each part of each project, and the labels of all."""
    services: dict[str, Any] = {}
    for spec in specs:
        service = render_service(rig, host, spec)
        service["labels"] = {**service["labels"], "rigstack.hash": hashes[spec.name]}
        services[spec.name] = service
    places = {project.name: place for place, project in enumerate(rig.projects)}
    services = dict(
        sorted({**services, **host.left}.items(), key=lambda one: places.get(one[1]["labels"]["rigstack.project"], -1))
    )
    networks: dict[str, Any] = {f"p-{project.name}": {} for project in rig.projects}
    networks |= {network: {"enable_ipv6": True} for network in filter(None, (_door(host, one) for one in rig.projects))}
    return json.dumps({"services": services, "networks": networks}, indent=2) + "\n"


def render_service(rig: Rig, host: Host, spec: ServiceSpec) -> dict[str, Any]:
    """One service of the overlay, without the label that holds its hash."""
    labels = {
        "rigstack.rig": rig.name,
        "rigstack.directory": _literal(rig.dir),
        "rigstack.role": spec.role,
        "rigstack.project": spec.project.name if spec.project else "",
        "rigstack.folders": f"${{{folders_variable(spec.name)}-}}",
    }
    if spec.project is None:
        service: dict[str, Any] = {"labels": labels}
        if spec.joins:
            own = edge_network(rig) if spec.role == "edge" else "gate"
            service["networks"] = {own: {}, **{network: {} for network in spec.joins}}
        if spec.role == "ddns" and host.ca_bundle:
            service["volumes"] = [_bind(host.ca_bundle, CA_TARGET, read_only=True)]
            service["environment"] = {"CURL_CA_BUNDLE": CA_TARGET}
        if spec.gpu:  # not among the labels: whoever only watches a GPU takes it from nobody
            _add_gpu(service, spec.gpu, "utility")
        return service
    if spec.gpu:
        labels["rigstack.gpus"] = ",".join(spec.gpu.ids)
        labels["rigstack.gpu_sharing"] = spec.gpu.sharing
    return {"labels": labels, **_project_service(rig, host, spec, spec.project)}


def _project_service(rig: Rig, host: Host, spec: ServiceSpec, project: Project) -> dict[str, Any]:
    environment = {name: _literal(value) for name, value in project.env}
    environment["RIGSTACK_PROJECT"] = project.name
    environment["RIGSTACK_BASE_URL"] = f"/p/{project.name}/"
    volumes = [
        _bind(f"{rig.dir}/code/{project.name}", f"/code/{project.name}"),
        _bind(f"{rig.dir}/homes/{project.name}", "/home/dev"),
    ]
    volumes += [
        _bind(f"{rig.dir}/{volume_folder(project.name, name)}", target)
        for name, target in host.inputs[project.name].volumes
    ]
    if spec.role == "workspace":
        volumes.append(_bind(f"{rig.dir}/state/keys/{project.name}", "/etc/rigstack/keys", read_only=True))
        volumes.append(_bind(f"{rig.dir}/state/access/{project.name}", ACCESS_TARGET))
    if host.ca_bundle:
        volumes.append(_bind(host.ca_bundle, CA_TARGET, read_only=True))
    network: dict[str, Any] = {"aliases": [project.name]} if spec.role == "workspace" else {}
    networks = {f"p-{project.name}": network}
    service: dict[str, Any] = {
        "extends": {"file": _literal(f"{host.assets}/compose.yaml"), "service": spec.role},
        "scale": 1,
        "image": spec.image,
        "hostname": f"{rig.name}-{project.name}" if spec.role == "workspace" else f"{project.name}-notebook",
        "environment": environment,
        "volumes": volumes,
        "networks": networks,
        "pids_limit": project.pids,
    }
    if project.memory:
        service["mem_limit"] = project.memory
    if project.shm:
        service["shm_size"] = project.shm
    if project.memlock:
        service["ulimits"] = {"memlock": -1 if project.memlock == "unlimited" else _bytes(project.memlock)}
    if spec.role == "workspace" and project.ssh_port:
        environment["RIGSTACK_SSH_PUBLIC"] = rig.access.clients
        service["ports"] = [f"{_bind_prefix(rig, host)}{project.ssh_port}:22"]
        if door := _door(host, project):
            networks[door] = {}
    if spec.gpu:
        _add_gpu(service, spec.gpu, "compute,utility")
    return service


def _door(host: Host, project: Project) -> str:
    """A second network, by which IPv6 clients of the workspace's own port keep their address; "" where none can come.

    Not IPv6 on the project's network: that would be made anew, and with it all that is on it.
    """
    return f"s-{project.name}" if project.ssh_port and host.ipv6 else ""


def volume_folder(project: str, name: str) -> str:
    """Where a volume that the project names is kept: not below its home, so that no container can put a link there."""
    return f"homes/{project}.volumes/{name}"


def _bind(source: str, target: str, *, read_only: bool = False) -> dict[str, Any]:
    volume: dict[str, Any] = {"type": "bind", "source": _literal(source), "target": target}
    if read_only:
        volume["read_only"] = True
    return volume


def _bytes(size: str) -> int:
    """A size of rig.toml ("1.5g") in bytes, for where compose takes a number only."""
    return int(float(size[:-1]) * 1024 ** "bkmg".index(size[-1]))


def _literal(text: str) -> str:
    """Text that compose must not interpolate."""
    return text.replace("$", "$$")


def _add_gpu(service: dict[str, Any], gpu: GpuRequest, capabilities: str) -> None:
    """CDI devices through the engine's own injection, or the nvidia runtime's device requests.

    capabilities: of the driver's libraries, which ones the runtime brings in (a CDI specification brings them all).
    Source: docs.docker.com/compose/how-tos/gpu-support and the engine's CDI device driver.
    """
    if gpu.kind == "cdi":
        device: dict[str, Any] = {"driver": "cdi", "device_ids": [_cdi_name(one) for one in gpu.ids]}
    elif gpu.ids == ("all",):
        device = {"driver": "nvidia", "count": "all"}
    else:
        device = {"driver": "nvidia", "device_ids": list(gpu.ids)}
    device["capabilities"] = ["gpu"]
    service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    if gpu.kind == "nvidia":
        service.setdefault("environment", {})["NVIDIA_DRIVER_CAPABILITIES"] = capabilities


def _cdi_name(device: str) -> str:
    return f"nvidia.com/gpu={device}"
