"""Does a plan's steps. Holds no policy: what to do and why was decided in rigstack/plan."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rigstack.config.model import Rig
from rigstack.engine import containers, edge
from rigstack.engine.bootstrap import bootstrap_source, ensure_bootstrap
from rigstack.engine.build import BuildInputs, build_images
from rigstack.engine.check import check_images
from rigstack.host.ddns import observe_refusal
from rigstack.host.files import ensure_folder, folder_inodes, write_file
from rigstack.host.password import new_password, set_password
from rigstack.host.ssh_keys import ensure_host_key
from rigstack.plan.ddns import ddns_problem
from rigstack.plan.desired import Desired, compose_networks
from rigstack.plan.host import Host
from rigstack.plan.observed import Observed
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
from rigstack.render import folders

PIP_INDEX_SECRET = "pip_index"
CA_SECRET = "ca_bundle"
APT_MIRROR_SECRET = "apt_mirror"
PYTHON_MIRROR_SECRET = "python_mirror"


class Reporter(Protocol):
    """Where progress goes; the command line has one, tests have another."""

    def begin(self, number: int, total: int, step: Step) -> None:
        """A step starts."""

    def tell(self, words: str) -> None:
        """Something happened within the step."""

    def show(self, words: str) -> None:
        """Something that the person must be able to read afterwards."""

    def build_line(self, image: str, words: str) -> None:
        """The build of `image` says something."""

    def end(self, number: int, total: int, step: Step, seconds: float) -> None:
        """The step is done."""


# The plan, what was observed, where to tell what it waits for -> services that are left as they are.
Guard = Callable[[Plan, Observed, Callable[[str], None]], frozenset[str]]


@dataclass(kw_only=True)
class Execution:
    """One run of a plan. lock: the rig lock's descriptor. observed: kept true as containers are removed.

    guard: asked just before containers go which of them must stay, because of what runs in them.
    """

    rig: Rig
    host: Host
    desired: Desired
    observed: Observed
    reporter: Reporter
    lock: int
    timeout: float
    no_cache: bool = False
    guard: Guard | None = None
    _held: frozenset[str] = field(default=frozenset(), init=False)

    @property
    def root(self) -> Path:
        return Path(self.rig.dir)

    @property
    def owner(self) -> tuple[int, int]:
        return self.host.uid, self.host.gid

    def run(self, plan: Plan) -> None:
        """Does the steps in order. Raises the error of the first that fails; running `up` again goes on from there."""
        total = len(plan.steps)
        for number, step in enumerate(plan.steps, 1):
            self.reporter.begin(number, total, step)
            started = time.monotonic()
            self._do(self._guarded(step))
            self.reporter.end(number, total, step, time.monotonic() - started)

    def _guarded(self, step: Step) -> Step:
        """The step without the services that must stay as they are."""
        if not isinstance(step, StartServices | RemoveServices | WaitHealthy):
            return step
        if self.guard is not None and not isinstance(step, WaitHealthy):
            self._held |= self.guard(Plan(steps=(step,)), self.observed, self.reporter.tell)
        if not self._held & set(step.services):
            return step
        kept = [number for number, name in enumerate(step.services) if name not in self._held]
        services = tuple(step.services[number] for number in kept)
        if isinstance(step, StartServices):
            return step.replace(services=services, causes=tuple(step.causes[number] for number in kept))
        return step.replace(services=services)

    def _do(self, step: Step) -> None:
        match step:
            case MakeFolders(folders=missing):
                for folder in missing:
                    path = self.root / folder.path
                    ensure_folder(path, mode=folder.mode, owner=self.owner if folder.owned else None)
            case MakeHostKey(key=key):
                ensure_host_key(self.root / key.path, key.comment, owner=self.owner)
            case MakePassword():
                password = new_password()
                # Shown before it counts: a run killed in between leaves no password that nobody knows.
                self.reporter.show(f"The notebook password (shown once): {password.reveal()}")
                set_password(self.root, password, owner=self.owner)
            case WriteFile(file=file):
                owner = self.owner if file.owned else None
                write_file(self.root / file.path, file.text, mode=file.mode, owner=owner)
            case BootstrapImage(bootstrap=bootstrap):
                ensure_bootstrap(bootstrap, mirror=self.rig.images.apt_mirror)
            case BuildImages(images=images):
                build_images(self.root, images, self._build_inputs(), self.reporter.build_line)
            case CheckImages(images=images):
                check_images(images, owner=self.owner)
            case PublishSites(files=files, image=image):
                running = self.observed.containers.get("edge")
                edge.publish(
                    self.root,
                    files,
                    owner=self.owner,
                    container=running.id if running and running.state == "running" else None,
                    image=image,
                )
            case RemoveServices(services=services):
                containers.remove_containers(self.rig.name, services, self.reporter.tell)
                containers.remove_networks(self.desired.compose_project, compose_networks(self.rig))
                there = self.observed.containers
                self.observed = self.observed.replace(
                    containers={name: one for name, one in there.items() if name not in services}
                )
            case StartServices(services=()):
                pass
            case StartServices(services=services):
                mounted = {one.name: folder_inodes(self.root, one.folders) for one in self.desired.services}
                write_file(self.root / folders.FILE, folders.render_folders(mounted), mode=0o644, owner=None)
                containers.start_services(self.root, self.host.assets, services, lock=self.lock)
            case RestartServices(services=services):
                containers.restart(self.observed.containers[name].id for name in services)
            case JoinNetwork(service=service, network=network):
                containers.join_network(self.observed.containers[service].id, network)
            case WaitHealthy(services=services):
                containers.wait_healthy(
                    self.rig.name,
                    self.rig.dir,
                    services,
                    timeout=self.timeout,
                    tell=self.reporter.tell,
                    hopeless=self._hopeless,
                )

    def _hopeless(self, service: str) -> tuple[str, str] | None:
        """What ails a service that no waiting will heal, and the remedy: a provider that refuses is not asked again."""
        report = observe_refusal(self.root) if service == "ddns" else None
        return ddns_problem(report) if report else None

    def _build_inputs(self) -> BuildInputs:
        return BuildInputs(
            assets=self.host.assets,
            secrets=self._build_secrets(),
            caddy="image" if bootstrap_source(self.desired.bootstrap.tag) == "registry" else "packages",
            no_cache=self.no_cache,
        )

    def _build_secrets(self) -> Mapping[str, str]:
        secrets = {}
        if self.host.ca_bundle:
            secrets[CA_SECRET] = self.host.ca_bundle
        if self.rig.images.pip_index_file:
            secrets[PIP_INDEX_SECRET] = os.fspath(self.root / Path(self.rig.images.pip_index_file).expanduser())
        images = self.rig.images
        for name, url in ((APT_MIRROR_SECRET, images.apt_mirror), (PYTHON_MIRROR_SECRET, images.python_mirror)):
            if url:
                file = self.root / "state" / "build" / name
                write_file(file, url + "\n", mode=0o600, owner=None)
                secrets[name] = str(file)
        return secrets
