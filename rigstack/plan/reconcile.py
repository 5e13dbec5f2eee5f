"""Desired and observed in, plan out. Pure: no engine, no clock, no disk, no questions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rigstack.plan.desired import Desired, File, Service
from rigstack.plan.images import Image
from rigstack.plan.observed import Container, Observed
from rigstack.plan.steps import (
    BootstrapImage,
    BuildImages,
    CheckImages,
    JoinNetwork,
    MakeFolders,
    MakeHostKey,
    MakePassword,
    Plan,
    PublishSites,
    RemoveServices,
    RestartServices,
    StartServices,
    Step,
    WaitHealthy,
    WriteFile,
)

_READABLE = ("FROM ", "base system", "build argument ", "build stage", "cuda", "index", "python")
_SHOWN = 4  # changed lines of a file that a cause names


def reconcile(
    desired: Desired,
    observed: Observed,
    *,
    only: frozenset[str] = frozenset(),
    hold: frozenset[str] = frozenset(),
) -> Plan:
    """The steps that turn `observed` into `desired`, in order, each with its cause.

    only: project names; with them, other projects' containers and images are left as they are.
    hold: services that are left as they are, because of what runs in them.
    """
    lost = {name: what for name, what in _losses(desired, observed).items() if name not in hold}
    services = [s for s in desired.services if not only or not s.project or s.project in only or s.name in lost]
    services = [s for s in services if s.name not in hold]
    starting = {s.name: cause for s in services if (cause := _start_cause(s, desired, observed, lost))}
    steps: list[Step] = []
    steps += _detach(lost, observed)
    steps += _prepare(desired, observed)
    steps += _write(desired, observed, names_images=False)
    steps += _build(desired, observed, [s for s in services if s.name in starting])
    steps += _write(desired, observed, names_images=True)
    if not observed.password:
        # As late as can be: it is shown once, and who sees it scroll by under a long build has lost it.
        steps.append(MakePassword(cause="none was set"))
    steps += _publish(desired, observed, desired.image("edge").tag if "edge" in starting else "")
    steps += _remove(desired, observed, only, hold)
    if starting:
        steps.append(StartServices(services=tuple(starting), causes=tuple(starting.values())))
    restarting = _restarting(services, desired, observed, starting)
    if restarting:
        steps.append(RestartServices(services=restarting, cause="its settings changed"))
    steps += _join(desired, observed, starting, only)
    just = {*starting, *restarting}
    unwell = _to_wait_for(services, observed, just)
    if unwell:
        steps.append(WaitHealthy(services=tuple(unwell), cause=_wait_cause(unwell, just)))
    return Plan(steps=tuple(steps))


def needs_images(desired: Desired, containers: Mapping[str, Container]) -> bool:
    """Whether the engine must be asked which images exist: only when some container is not as wanted."""
    return any(
        service.name not in containers
        or containers[service.name].hash != service.hash
        or containers[service.name].state != "running"
        for service in desired.services
    )


def _losses(desired: Desired, observed: Observed) -> dict[str, str]:
    """Service -> what its running container has lost and only a new one gets back: a folder that it has mounted and
    that is no longer there, or not the same, or its GPUs."""
    lost = {}
    for service in desired.services:
        container = observed.containers.get(service.name)
        if container is None or container.state != "running":
            continue
        if container.lost_gpus:
            lost[service.name] = container.ailment
        for folder in service.folders:
            there = observed.folders.get(folder)
            if there is None or there != container.folders.get(folder, there):
                lost[service.name] = f"{folder} was {'deleted' if there is None else 'replaced'}"
                break
    return lost


def _detach(lost: Mapping[str, str], observed: Observed) -> list[Step]:
    """Containers that compose takes for right, since only their GPUs are gone, go first. So does an edge that holds on
    to a deleted folder: what is published is validated in it, and it would not see that.
    """
    gone = [name for name in lost if name == "edge" or observed.containers[name].lost_gpus]
    return [RemoveServices(services=tuple(gone), cause=", ".join(dict.fromkeys(lost[n] for n in gone)))] if gone else []


def _prepare(desired: Desired, observed: Observed) -> list[Step]:
    steps: list[Step] = []
    missing = tuple(folder for folder in desired.folders if folder.path not in observed.folders)
    if missing:
        steps.append(MakeFolders(folders=missing, cause="not there"))
    steps += [MakeHostKey(key=key, cause="not there") for key in desired.keys if key.path not in observed.keys]
    return steps


def _write(desired: Desired, observed: Observed, *, names_images: bool) -> list[Step]:
    return [
        WriteFile(file=file, cause=cause)
        for file in desired.files
        if file.names_images == names_images and (cause := _file_cause(file, observed.files))
    ]


def _file_cause(file: File, texts: Mapping[str, str | None]) -> str:
    there = texts.get(file.path)
    if there is None:
        return "not there"
    return "" if there == file.text else "its content changed"


def _start_cause(service: Service, desired: Desired, observed: Observed, lost: Mapping[str, str]) -> str:
    container = observed.containers.get(service.name)
    if container is None:
        return "not there"
    if container.hash != service.hash:
        wanted = desired.image(service.image)
        if container.image != wanted.tag:
            return "image changed: " + image_cause(wanted, service.name, observed)
        return "its settings changed"
    if service.name in lost:
        return lost[service.name]
    if container.state != "running":
        return f"it is {container.state}"
    return ""


def image_cause(image: Image, service: str, observed: Observed) -> str:
    """Which inputs differ from those of the image that runs now, by their lines where those are known."""
    if image.pinned:
        return "rolled back to it"
    before = observed.built_from.get(service)
    if not before:
        return "its inputs changed"
    now = dict(image.inputs)
    changed = [name for name in now if before.get(name) != now[name]]
    gone = [name for name in before if name not in now]
    old, new = observed.built_lines.get(service, {}), image.lines()
    words = [
        name
        + (_line_changes(old.get(name, ()), new.get(name, ())) if name in old or name not in before else "")
        + _value_change(name, before.get(name, ""), now[name])
        for name in changed
    ]
    words += [f"{name} is gone" for name in gone]
    return ", ".join(words) or "its inputs changed"


def _value_change(name: str, before: str, now: str) -> str:
    """ ": none -> 13.0" of an input that a person can read; of most others a digest of ours is kept."""
    if not name.startswith(_READABLE):
        return ""
    return ": " + " -> ".join(short_digests(value) for value in (before, now) if value)


def short_digests(text: str) -> str:
    """The text with its digests cut to the twelve characters that `docker images` shows."""
    return re.sub(r"(sha256:[0-9a-f]{12})[0-9a-f]+", r"\1", text)


def _line_changes(before: Sequence[str], now: Sequence[str]) -> str:
    """ ": +torch==2.9 -numpy", or "" when the lines of either are not known; the first few."""
    if not now:
        return ""
    changes = [f"+{line}" for line in now if line not in before]
    changes += [f"-{line}" for line in before if line not in now]
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return ": " + " ".join(changes[:_SHOWN]) + more if changes else ""


def _build(desired: Desired, observed: Observed, starting: list[Service]) -> list[Step]:
    have = observed.images
    if have is None:
        return []
    wanted: dict[str, str] = {}
    for service in starting:
        image = desired.image(service.image)
        if image.tag in have:
            continue
        container = observed.containers.get(service.name)
        wanted[image.name] = image_cause(image, service.name, observed) if container else "not there"
        while image.parent and desired.image(image.parent).tag not in have:
            image = desired.image(image.parent)
            wanted.setdefault(image.name, "not there" if not container else "its inputs changed")
    if not wanted:
        return []
    steps: list[Step] = []
    if desired.bootstrap.tag not in have:
        steps.append(BootstrapImage(bootstrap=desired.bootstrap, cause="not there"))
    images = tuple(image for image in desired.images if image.name in wanted)
    steps.append(BuildImages(images=images, causes=tuple(wanted[image.name] for image in images)))
    projects = tuple(image for image in images if image.name.startswith("project-"))
    if projects:
        steps.append(CheckImages(images=projects, cause="what runs now goes on until they are seen to work"))
    return steps


def _publish(desired: Desired, observed: Observed, image: str) -> list[Step]:
    """image: what the edge is about to start from, or "". An edge that is about to go must not act on its successor's
    sites: it may have no way to the authority that they name."""
    causes = {file.path: cause for file in desired.edge_files if (cause := _file_cause(file, observed.files))}
    changed = [f"{path.rpartition('/current/')[2]}: {cause}" for path, cause in causes.items()]
    changed += [f"{path.rpartition('/current/')[2]}: no longer wanted" for path in observed.stale]
    if not changed:
        return []
    cause = "not there" if set(causes.values()) == {"not there"} and not observed.stale else "; ".join(changed)
    return [PublishSites(files=desired.edge_files, image=image, cause=cause)]


def _remove(desired: Desired, observed: Observed, only: frozenset[str], hold: frozenset[str]) -> list[Step]:
    if only:
        return []
    wanted = {service.name for service in desired.services}
    there = observed.containers.items()
    extra = tuple(
        sorted(name for name, one in there if name not in wanted | hold and one.project not in desired.broken)
    )
    return [RemoveServices(services=extra, cause="no longer in rig.toml")] if extra else []


def _restarting(
    services: Sequence[Service], desired: Desired, observed: Observed, starting: Mapping[str, str]
) -> tuple[str, ...]:
    """The DDNS sidecar when its files change: by itself it reads them later than a person would wait."""
    changed = [file.path for file in desired.files if _file_cause(file, observed.files)]
    return tuple(
        service.name
        for service in services
        if service.role == "ddns"
        and service.name not in starting
        and any(path.startswith(tuple(f"{folder}/" for folder in service.folders)) for path in changed)
    )


def _join(desired: Desired, observed: Observed, starting: Mapping[str, str], only: frozenset[str]) -> list[Step]:
    """A container that is not recreated joins the networks of projects that came later, as far as they are there."""
    steps: list[Step] = []
    for service in desired.services:
        container = observed.containers.get(service.name)
        if container is None or service.name in starting or service.role not in ("edge", "gateway"):
            continue
        for network in service.networks:
            if only and network.removeprefix("p-") not in only:
                continue
            full = f"{desired.compose_project}_{network}"
            if full not in container.networks:
                steps.append(JoinNetwork(service=service.name, network=full, cause="a project that came later"))
    return steps


def _to_wait_for(services: list[Service], observed: Observed, just_started: set[str]) -> list[str]:
    names = []
    for service in services:
        container = observed.containers.get(service.name)
        if service.name in just_started or (container is not None and container.health not in ("healthy", "")):
            names.append(service.name)
    return names


def _wait_cause(names: list[str], just_started: set[str]) -> str:
    return "just started" if just_started.issuperset(names) else "not healthy yet"
