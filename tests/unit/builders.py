"""Literal states for tests: a rig from a few lines of rig.toml, a host, and what `up` would have left behind."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from rigstack.config.load import parse_rig
from rigstack.config.model import Rig
from rigstack.plan.desired import Desired, Service, desire
from rigstack.plan.host import Gpu, Host, ProjectInputs
from rigstack.plan.observed import Container, Observed
from rigstack.render.edge import tls_files
from rigstack.secret import Secret

ALICE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAliceAliceAliceAliceAliceAliceAliceAliceAl alice@laptop"
BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBobBobBobBobBobBobBobBobBobBobBobBobBobBobBo bob@laptop"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHostHostHostHostHostHostHostHostHostHostHos"

DEMO = "[projects.demo]"
DEMO_AND_CIFAR = "[projects.demo]\n[projects.cifar]"


def a_rig(text: str = DEMO, *, directory: str = "/rig") -> Rig:
    """The rig that these lines of rig.toml describe."""
    return parse_rig(dedent(text), rig_dir=Path(directory))


def a_host(
    rig: Rig,
    *,
    files: dict[str, dict[str, str]] | None = None,
    sources: dict[str, dict[str, str]] | None = None,
    gpu: Gpu | None = None,
    uid: int = 1000,
    addresses: tuple[str, ...] = ("192.168.1.10",),
    ca_bundle: str = "",
    authorized_keys: tuple[str, ...] = (ALICE,),
    compose_digest: str = "c0ffee",
    ddns_password: str = "",
    caddy: dict[str, str] | None = None,
    driver: str = "",
) -> Host:
    """A machine called "box" without a GPU; files: project -> file in its build context -> text."""
    image_sources = {name: {"Dockerfile": f"sum of {name}"} for name in ("base", "project", "gateway", "edge", "ddns")}
    image_sources["shared"] = {"apt-install": "sum of apt-install"}
    for image, changed in (sources or {}).items():
        image_sources[image] = image_sources[image] | changed
    inputs = {project.name: {"requirements.txt": "numpy\n"} for project in rig.projects} | (files or {})
    return Host(
        uid=uid,
        gid=uid,
        machine="box",
        addresses=addresses,
        ipv6=False,
        gpu=gpu or Gpu(kind="none", why="this machine has no NVIDIA driver"),
        ca_bundle=ca_bundle,
        authorized_keys=authorized_keys,
        host_keys={name: HOST_KEY for name in ("gateway", *(project.name for project in rig.projects))},
        assets="/assets",
        compose_digest=compose_digest,
        image_sources=image_sources,
        inputs={name: ProjectInputs(files=tuple(sorted(texts.items()))) for name, texts in inputs.items()},
        caddy=caddy or {"Caddyfile": "the edge's policy\n"},
        tls={name: Secret(f"what is in {name}") for name in tls_files(rig)},
        ddns_password=Secret(ddns_password),
        driver=driver,
    )


def a_desire(text: str = DEMO, **host: object) -> Desired:
    """What the rig of these lines should be; host: arguments of a_host."""
    rig = a_rig(text)
    return desire(rig, a_host(rig, **host))  # type: ignore[arg-type]


def a_container(desired: Desired, service: Service, **changed: object) -> Container:
    """The container that `up` makes for this service, healthy; changed: fields that differ."""
    return Container(
        **{
            "service": service.name,
            "id": f"id-of-{service.name}",
            "role": service.role,
            "project": service.project,
            "hash": service.hash,
            "image": desired.image(service.image).tag,
            "state": "running",
            "health": "healthy",
            "status": "Up 3 minutes (healthy)",
            "networks": frozenset(f"{desired.compose_project}_{name}" for name in ("front", *service.networks)),
            "directory": "/rig",
            **changed,
        }  # type: ignore[arg-type]
    )


def settled(
    desired: Desired,
    *,
    containers: dict[str, dict[str, object] | None] | None = None,
    images: frozenset[str] | None = None,
    **changed: object,
) -> Observed:
    """What is there after an `up` to `desired` came to its end.

    containers: service -> fields that differ since, or None for a container that is gone.
    images: tags the engine has; by default all that are desired. changed: other fields that differ.
    """
    differing = containers or {}
    there = {
        service.name: a_container(desired, service, **(differing.get(service.name) or {}))
        for service in desired.services
        if differing.get(service.name, {}) is not None
    }
    everything = frozenset([desired.bootstrap.tag, *(image.tag for image in desired.images)])
    return Observed(
        **{
            "containers": there,
            "images": everything if images is None else images,
            "built_from": {s.name: dict(desired.image(s.image).inputs) for s in desired.services},
            "built_lines": {s.name: desired.image(s.image).lines() for s in desired.services},
            "files": {file.path: file.text for file in (*desired.files, *desired.edge_files)},
            "folders": {folder.path: number for number, folder in enumerate(desired.folders)},
            "keys": frozenset(key.path for key in desired.keys),
            "password": True,
            **changed,
        }  # type: ignore[arg-type]
    )
