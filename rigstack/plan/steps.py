"""The few kinds of steps a plan is made of; each says its cause in words, and holds all it needs to be done."""

from __future__ import annotations

from rigstack.plan.desired import File, Folder, HostKey
from rigstack.plan.images import Bootstrap, Image
from rigstack.value import Value


class MakeFolders(Value):
    folders: tuple[Folder, ...]
    cause: str

    def __str__(self) -> str:
        return "make folders " + ", ".join(folder.path for folder in self.folders)


class MakeHostKey(Value):
    key: HostKey
    cause: str

    def __str__(self) -> str:
        return f"make host key {self.key.path}"


class MakePassword(Value):
    """A first notebook password: its hashes are kept, the password itself is shown once."""

    cause: str

    def __str__(self) -> str:
        return "make a notebook password"


class WriteFile(Value):
    file: File
    cause: str

    def __str__(self) -> str:
        return f"write {self.file.path}"


class BootstrapImage(Value):
    bootstrap: Bootstrap
    cause: str

    def __str__(self) -> str:
        return f"get the base system {self.bootstrap.tag}"


class BuildImages(Value):
    """Images that one build call makes side by side; causes in the same order."""

    images: tuple[Image, ...]
    causes: tuple[str, ...]

    @property
    def cause(self) -> str:
        return "; ".join(f"{i.name}: {c}" for i, c in zip(self.images, self.causes, strict=True))

    def __str__(self) -> str:
        return "build " + ", ".join(image.tag for image in self.images)


class CheckImages(Value):
    """Newly built images of projects are run once, before any container is replaced by them."""

    images: tuple[Image, ...]
    cause: str

    def __str__(self) -> str:
        return "check " + ", ".join(image.tag for image in self.images)


class PublishSites(Value):
    """Replaces the edge's generated files as one, after the running edge has validated them, and reloads it.

    image: what the edge is started from right afterwards: then that validates them, and nothing is reloaded; or "".
    """

    files: tuple[File, ...]
    image: str
    cause: str

    def __str__(self) -> str:
        return "publish the edge's sites"


class RemoveServices(Value):
    services: tuple[str, ...]
    cause: str

    def __str__(self) -> str:
        return "remove " + ", ".join(self.services)


class StartServices(Value):
    """Containers to create, recreate or start with one compose call."""

    services: tuple[str, ...]
    causes: tuple[str, ...]

    @property
    def cause(self) -> str:
        return "; ".join(f"{s}: {c}" for s, c in zip(self.services, self.causes, strict=True))

    def __str__(self) -> str:
        return "start " + ", ".join(self.services)


class RestartServices(Value):
    """Containers that would read their changed files later than a person waits; nobody works in them."""

    services: tuple[str, ...]
    cause: str

    def __str__(self) -> str:
        return "restart " + ", ".join(self.services)


class JoinNetwork(Value):
    service: str
    network: str
    cause: str

    def __str__(self) -> str:
        return f"connect {self.service} to {self.network}"


class WaitHealthy(Value):
    services: tuple[str, ...]
    cause: str

    def __str__(self) -> str:
        return "wait until healthy: " + ", ".join(self.services)


Step = (
    MakeFolders
    | MakeHostKey
    | MakePassword
    | WriteFile
    | BootstrapImage
    | BuildImages
    | CheckImages
    | PublishSites
    | RemoveServices
    | StartServices
    | RestartServices
    | JoinNetwork
    | WaitHealthy
)


class Plan(Value):
    """Steps in the order in which they must happen."""

    steps: tuple[Step, ...]

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def images(self) -> tuple[Image, ...]:
        """Those that it builds."""
        return tuple(image for step in self.steps if isinstance(step, BuildImages) for image in step.images)

    def text(self) -> str:
        """The plan as a person reads it: one step a line, its cause after a dash."""
        if not self.steps:
            return "nothing to do"
        return "\n".join(f"{number}. {step} - {step.cause}" for number, step in enumerate(self.steps, 1))
