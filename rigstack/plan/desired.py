"""What the rig should be: folders, files, images, services, as frozen values computed from rig.toml and the host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from rigstack.config.model import Project, Rig
from rigstack.plan.cuda import notes_on_cuda
from rigstack.plan.gpu_choice import choose
from rigstack.plan.host import Host
from rigstack.plan.images import Bootstrap, Image, desire_bootstrap, desire_images
from rigstack.render.authorized_keys import render_gateway_keys, render_workspace_keys
from rigstack.render.compose import (
    HISTORY_FOLDER,
    GpuRequest,
    ServiceSpec,
    edge_network,
    keeps_history,
    render_env,
    render_overlay,
    render_service,
    volume_folder,
)
from rigstack.render.ddns import render_ddns_files
from rigstack.render.description import render_description
from rigstack.render.digest import digest
from rigstack.render.edge import render_edge_files
from rigstack.render.sshd import render_gateway_policy
from rigstack.value import Value

PASSWORD_FILE = "secrets/notebook/jupyter_server_config.json"


class Folder(Value):
    """A folder that must exist; path relative to the rig directory.

    owned: it belongs to the owner of code/ (the containers' user) instead of whoever runs rigstack.
    """

    path: str
    mode: int
    owned: bool


class File(Value):
    """A generated file; path relative to the rig directory. Its text may hold a secret, so repr leaves it out.

    names_images: it may be written only when the images that it names exist.
    """

    path: str
    text: str
    mode: int = 0o644
    owned: bool = False
    names_images: bool = False
    _hidden: ClassVar[frozenset[str]] = frozenset({"text"})


class HostKey(Value):
    """An SSH host key that is made once and kept for ever; path of the private half."""

    path: str
    comment: str


class Service(Value):
    """A container that should run.

    name: its name in compose. role: edge, gateway, ddns, history, workspace or notebook.
    image: the image's name (not its tag). hash: of everything that would change the container.
    networks: the project networks it must be on (the edge and the gateway join them as projects come).
    folders: those of the rig that are mounted in it; a running container holds on to one that was deleted or moved.
    """

    name: str
    role: str
    project: str
    image: str
    hash: str
    networks: tuple[str, ...]
    folders: tuple[str, ...] = ()


class Desired(Value):
    """The whole of it.

    edge_files: published together, after Caddy has validated them.
    password_file: holds the hash of the notebook password; made once, with a password that is shown once.
    notes: for every `up` to say. once: image -> what to say when it was built.
    broken: projects that are left as they are, since nobody knows what they should be.
    """

    rig: str
    compose_project: str
    folders: tuple[Folder, ...]
    keys: tuple[HostKey, ...]
    password_file: str
    files: tuple[File, ...]
    edge_files: tuple[File, ...]
    bootstrap: Bootstrap
    images: tuple[Image, ...]
    services: tuple[Service, ...]
    notes: tuple[str, ...] = ()
    once: tuple[tuple[str, str], ...] = ()
    broken: frozenset[str] = frozenset()

    def image(self, name: str) -> Image:
        return next(image for image in self.images if image.name == name)


def shared_services(rig: Rig, host: Host) -> tuple[str, ...]:
    """The services that are no project's, each of which is its own role."""
    optional = (("ddns", bool(rig.ddns)), ("history", keeps_history(rig, host)))
    return ("edge", "gateway", *(name for name, wanted in optional if wanted))


def compose_project(rig: Rig) -> str:
    """The compose project's name: one per rig."""
    return f"rigstack-{rig.name}"


def compose_networks(rig: Rig) -> frozenset[str]:
    """The full names of the rig's networks."""
    projects = (f"p-{project.name}" for project in rig.projects)
    doors = (f"s-{project.name}" for project in rig.projects if project.ssh_port)
    names = ("front", "gate", *projects, *doors)
    return frozenset(f"{compose_project(rig)}_{name}" for name in names)


def desire(rig: Rig, host: Host, gpus: Mapping[str, tuple[str, ...]] | None = None) -> Desired:
    """What the rig described by `rig` should be on a machine with the facts in `host`. Pure.

    gpus: project -> the devices it is given (gpu_choice); None gives what it would get on a machine where nothing runs.
    """
    given = choose(rig, host.gpu, ()).given if gpus is None else gpus
    bootstrap = desire_bootstrap(rig, host.lock)
    able = rig.without(host.broken)
    images = desire_images(able, host, bootstrap)
    tags = {image.name: image.tag for image in images}
    requests = {project.name: _gpu_request(project, host, given[project.name]) for project in able.projects}
    specs = _service_specs(rig, host, tags, requests)
    services = tuple(_service(rig, host, spec) for spec in specs)
    hashes = {service.name: service.hash for service in services}
    files: tuple[File, ...] = (
        File(path="state/compose.json", text=render_overlay(rig, host, specs, hashes), names_images=True),
        File(path="state/compose.env", text=render_env(rig, host, tags), names_images=True),
        File(path="state/ssh/gateway/authorized_keys", text=render_gateway_keys(rig, host.authorized_keys)),
        File(path="state/ssh/workspace/authorized_keys", text=render_workspace_keys(host.authorized_keys)),
        File(path="state/ssh/gateway/policy.conf", text=render_gateway_policy(rig)),
        File(path="state/ssh/gateway/rig.json", text=render_description(rig, host)),
    )
    if rig.ddns:
        sidecar = render_ddns_files(rig.ddns, host.ddns_password, ca_bundle=bool(host.ca_bundle))
        files += tuple(
            File(path=path, text=text, mode=0o600 if secret else 0o644, owned=True)
            for path, (text, secret) in sidecar.items()
        )
    files += tuple(
        File(path=f"secrets/edge-tls/{name}", text=text.reveal(), mode=0o600, owned=True)
        for name, text in sorted(host.tls.items())
    )
    edge_files = tuple(
        File(path=path, text=text, owned=True) for path, text in sorted(render_edge_files(rig, host).items())
    )
    return Desired(
        rig=rig.name,
        compose_project=compose_project(rig),
        folders=_folders(rig, host),
        keys=_keys(rig),
        password_file=PASSWORD_FILE,
        files=files,
        edge_files=edge_files,
        bootstrap=bootstrap,
        images=images,
        services=services,
        notes=_notes(rig, host),
        once=tuple(
            (f"project-{p.name}", f"{p.name}: {note}") for p in rig.projects for note in host.inputs[p.name].once
        ),
        broken=frozenset(host.broken),
    )


def _folders(rig: Rig, host: Host) -> tuple[Folder, ...]:
    shared = [
        Folder(path="code", mode=0o755, owned=True),
        Folder(path="data", mode=0o755, owned=True),
        Folder(path="homes", mode=0o755, owned=True),
        Folder(path="secrets", mode=0o700, owned=False),
        Folder(path="secrets/edge", mode=0o700, owned=True),
        Folder(path="secrets/edge-tls", mode=0o700, owned=True),
        Folder(path="secrets/notebook", mode=0o700, owned=True),
        Folder(path="state", mode=0o755, owned=False),
        Folder(path="state/keys", mode=0o755, owned=False),
        Folder(path="state/keys/gateway", mode=0o700, owned=True),
        Folder(path="state/ssh/gateway", mode=0o755, owned=False),
        Folder(path="state/ssh/workspace", mode=0o755, owned=False),
        Folder(path="state/edge", mode=0o755, owned=True),
        Folder(path="state/logs", mode=0o755, owned=False),
        Folder(path="state/ddns-cache", mode=0o755, owned=True),  # the edge reads in it when the name is there
        Folder(path="state/access/edge", mode=0o700, owned=True),
        Folder(path="state/access/gateway", mode=0o700, owned=True),
    ]
    if keeps_history(rig, host):
        shared.append(Folder(path=HISTORY_FOLDER, mode=0o755, owned=True))
    if rig.ddns:
        shared.append(Folder(path="secrets/ddns", mode=0o700, owned=True))
        shared.append(Folder(path="state/ddns", mode=0o755, owned=True))
    for project in rig.projects:
        shared += [
            Folder(path=f"code/{project.name}", mode=0o755, owned=True),
            Folder(path=f"homes/{project.name}", mode=0o700, owned=True),
            Folder(path=f"state/keys/{project.name}", mode=0o700, owned=True),
            Folder(path=f"state/access/{project.name}", mode=0o700, owned=True),
            *(
                Folder(path=volume_folder(project.name, name), mode=0o755, owned=True)
                for name, _ in host.inputs[project.name].volumes
            ),
        ]
    return tuple(shared)


def _keys(rig: Rig) -> tuple[HostKey, ...]:
    names = ["gateway", *(project.name for project in rig.projects)]
    return tuple(
        HostKey(path=f"state/keys/{name}/ssh_host_ed25519_key", comment=f"{rig.name}-{name}") for name in names
    )


def _gpu_request(project: Project, host: Host, devices: tuple[str, ...]) -> GpuRequest | None:
    """What the project's containers are given, for the engine; None for CPU."""
    if not devices:
        return None
    return GpuRequest(kind=host.gpu.kind, ids=devices, sharing=project.gpu_sharing)


def _service_specs(
    rig: Rig, host: Host, tags: Mapping[str, str], gpus: Mapping[str, GpuRequest | None]
) -> tuple[ServiceSpec, ...]:
    every = tuple(f"p-{project.name}" for project in rig.projects)
    watched = GpuRequest(kind=host.gpu.kind, ids=host.gpu.every)
    specs = [
        ServiceSpec(
            name=name,
            role=name,
            image=tags[_image_of(name, "")],
            joins=every if name in ("edge", "gateway") else (),
            gpu=watched if name == "history" else None,
        )
        for name in shared_services(rig, host)
    ]
    for project in rig.without(host.broken).projects:
        for role in ("workspace", "notebook"):
            specs.append(
                ServiceSpec(
                    name=f"{project.name}-{role}",
                    role=role,
                    image=tags[f"project-{project.name}"],
                    project=project,
                    gpu=gpus[project.name],
                    joins=(f"p-{project.name}",),
                )
            )
    return tuple(specs)


def _service(rig: Rig, host: Host, spec: ServiceSpec) -> Service:
    """The hash covers the service as rendered and the page it extends, but not networks that come and go."""
    rendered = render_service(rig, host, spec)
    if spec.role in ("edge", "gateway"):
        rendered = {key: value for key, value in rendered.items() if key != "networks"}
    published = (rig.access.ssh_port, rig.access.https_port, rig.access.http_port, rig.access.bind)
    facts = [published if spec.project is None else None, host.uid, host.gid, rig.dir]
    if spec.role == "gateway":
        facts.append(rig.access.clients)  # sshd reads its policy when it starts
    if spec.role == "edge":
        facts.append(edge_network(rig))
    environment = json.dumps(facts)
    project = spec.project.name if spec.project else ""
    return Service(
        name=spec.name,
        role=spec.role,
        project=project,
        image=_image_of(spec.role, project),
        hash=digest(json.dumps(rendered, sort_keys=True), host.compose_digest, spec.image, environment),
        networks=tuple(one for one in spec.joins if one.removeprefix("p-") not in host.broken),
        folders=(
            *_mounted(spec.role, project),
            *(volume_folder(project, name) for name, _ in (host.inputs[project].volumes if project else ())),
        ),
    )


def _image_of(role: str, project: str) -> str:
    """The name of the image that a service starts from."""
    return f"project-{project}" if project else "base" if role == "history" else role


def _mounted(role: str, project: str) -> tuple[str, ...]:
    """The folders that compose.yaml and the overlay mount in a service (a test asks the engine whether that is so)."""
    own = (f"code/{project}", f"homes/{project}", "data")
    return {
        "edge": ("state/edge", "state/access/edge", "secrets/edge-tls", "secrets/edge", "state/ddns-cache"),
        "gateway": ("state/ssh/gateway", "state/keys/gateway", "state/access/gateway"),
        "ddns": ("state/ddns", "secrets/ddns", "state/ddns-cache"),
        "history": (HISTORY_FOLDER,),
        "workspace": (*own, "state/ssh/workspace", f"state/keys/{project}", f"state/access/{project}"),
        "notebook": (*own, "secrets/notebook"),
    }[role]


def _notes(rig: Rig, host: Host) -> tuple[str, ...]:
    notes = [f"{p.name}: {note}" for p in rig.projects for note in host.inputs[p.name].notes]
    notes += [
        f"{p} is rolled back to {tag}: rigstack project rollback {p} --undo"
        for p, tag in host.lock.pins
        if rig.project(p)
    ]
    if host.gpu.kind == "none" and rig.gpu_mode != "none" and any(p.gpus not in ("none", 0) for p in rig.projects):
        notes.append(f"no GPU in the containers: {host.gpu.why}")
    if host.gpu.stale:
        notes.append(f"the GPUs' description for containers is stale ({host.gpu.stale}): sudo rigstack host setup")
    notes += notes_on_cuda(rig, host)
    if not host.authorized_keys:
        notes.append("nobody can log in over SSH yet: [access] authorized_keys in rig.toml is empty")
    return tuple(notes)
