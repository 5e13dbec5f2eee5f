"""What `rigstack doctor` looks at, and what it finds: values only; the judging is in plan/checks.py."""

from __future__ import annotations

from collections.abc import Mapping

from rigstack.plan.net import Wan
from rigstack.plan.wake import Card
from rigstack.value import Value


class Chmod(Value):
    """The one kind of thing that `--fix` does by itself: a mode made stricter. path: absolute."""

    path: str
    mode: int

    def __str__(self) -> str:
        return f"chmod {self.mode:o} {self.path}"


class Finding(Value):
    """One line of the doctor's page.

    state: "ok", "warn" (works, and should not stay so), "fail" (does not work, or is open to strangers) or "skip".
    evidence: what was seen. remedy: the exact next step, "" when none is needed. fixes: what `--fix` may do.
    """

    check: str
    state: str
    evidence: str
    remedy: str = ""
    fixes: tuple[Chmod, ...] = ()


class Room(Value):
    """A file system: bytes and inodes, in all and free. inodes 0: it does not count them."""

    path: str
    total: int
    free: int
    inodes: int
    inodes_free: int


class Certificate(Value):
    """What the edge serves for `name`. Times in seconds since 1970; error: why none was served or trusted."""

    name: str
    issuer: str = ""
    begins: float = 0
    ends: float = 0
    error: str = ""


class Hardening(Value):
    """What a container really runs with, as the engine tells it."""

    service: str
    restart: str
    log_driver: str
    log_limited: bool
    privileged: bool
    drops_all: bool
    no_new_privileges: bool
    read_only: bool
    memory: int
    pids: int
    user: str
    socket: bool


class Reached(Value):
    """Whether a port answered from somewhere. error: the words of the one who tried, "" when it answered.

    needed: nothing works without it; port 80 only leads to 443 and lets an ACME authority in.
    """

    place: str
    port: int
    error: str = ""
    needed: bool = True


class Checkup(Value):
    """All that was observed; None or empty is "could not be asked".

    services: (what, remedy) of `rigstack status`. missing, holes, gpu: likewise, of the machine. no_gpu: projects ask
    for one, and it has none.
    engine: its version, "" when it does not answer. live_restore: as the engine says.
    socket, socket_mode: the engine's. modes: path -> mode of what must be private (folders end in "/").
    clock_ahead: seconds by which the rig's newest file is ahead of the clock. clock_synced: what the kernel says.
    public_address, dns: (address, who said it). hostname: as in rig.toml.
    sshd: the gateway's policy by `sshd -T`; methods: what it really offers to a stranger.
    firewall: what keeps strangers out of this machine, in words, or "".
    published: address:port of what containers publish to the network.
    kernel: a newer one than runs, installed and waiting for a restart, or "".
    updates: packages with a newer version in the lists, of those that matter here; None when nobody keeps lists.
    card: the network card with the default route.
    router: what the router and the world say of the address, None when `net open` is not in force. lost: ports that it
    opened and that do not lead here now. router_error: why the router could not be asked.
    """

    now: float
    hostname: str = ""
    services: tuple[tuple[str, str], ...] = ()
    engine: str = ""
    missing: tuple[tuple[str, str], ...] = ()
    holes: tuple[tuple[str, str], ...] = ()
    gpu: tuple[tuple[str, str], ...] = ()
    no_gpu: tuple[tuple[str, str], ...] = ()
    live_restore: bool | None = None
    socket: str = ""
    socket_mode: int | None = None
    rooms: tuple[Room, ...] = ()
    clock_ahead: float = 0
    clock_synced: bool | None = None
    public_address: tuple[str, str] = ("", "")
    dns: tuple[str, str] = ("", "")
    certificate: Certificate | None = None
    reached: tuple[Reached, ...] = ()
    sshd: Mapping[str, str] = {}
    methods: str = ""
    modes: Mapping[str, int] = {}
    containers: tuple[Hardening, ...] = ()
    firewall: str = ""
    published: tuple[str, ...] = ()
    updates: tuple[str, ...] | None = None
    kernel: str = ""
    card: Card = Card(interface="")
    router: Wan | None = None
    lost: tuple[str, ...] = ()
    router_error: str = ""
