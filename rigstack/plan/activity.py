"""What runs in a container that somebody would miss: kernels, logged-in sessions, jobs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rigstack.plan.observed import Container, Observed
from rigstack.plan.steps import Plan, RemoveServices, StartServices
from rigstack.value import Value

_SHELLS = re.compile(r"^-?(?:\S*/)?(?:ba|da|z|fi|k)?sh(?:\s|$)")
# What stays behind when its people have gone, and comes back by itself.
_NOBODY = re.compile(r"\.(?:vscode|cursor|windsurf)-server|JetBrains|ssh-agent|gpg-agent|dbus-daemon|mutagen-agent")
_OURS = re.compile(r"/usr/local/lib/rigstack/|/opt/jupyter/bin/|jupyter-lab|^\S*sshd(?:-session|-auth)?\b|^sshd:")
_LOGIN = re.compile(r"^sshd(?:-session)?: \w+@(pts/\d+|notty|internal-sftp)")


class Process(Value):
    """age: seconds. session: for a notebook's kernel, the path that it was opened with."""

    pid: int
    parent: int
    age: int
    command: str
    session: str = ""


class Activity(Value):
    """Something that ends with its container. kind: kernel, ssh session, terminal or job."""

    kind: str
    what: str
    pid: int
    age: int

    def __str__(self) -> str:
        return f"{self.kind}: {self.what} (process {self.pid}, for {spoken(self.age)})"


def spoken(seconds: int) -> str:
    """A duration as people say it: "40 s", "3 min", "2 h 5 min", "3 d"."""
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d"


def parse_processes(text: str) -> tuple[Process, ...]:
    """The processes that images/base/lib/list-processes prints: ps lines, "--", and kernels with their notebooks."""
    listed, _, named = text.partition("\n--\n")
    sessions = dict(re.findall(r"^/proc/(\d+)/environ (.+)$", named, re.M))
    found = re.findall(r"^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S.*)$", listed, re.M)
    return tuple(
        Process(pid=int(pid), parent=int(parent), age=int(age), command=command.strip(), session=sessions.get(pid, ""))
        for pid, parent, age, command in found
    )


def activities(processes: Iterable[Process], *, asker: int = 0) -> tuple[Activity, ...]:
    """What of these somebody would miss. A tree of processes counts once, named by what it does.

    asker: the process that asked, which does not count, nor does the login that it belongs to.
    """
    everything = {one.pid: one for one in processes}
    asking = set()
    while asker in everything and asker not in asking:
        asking.add(asker)
        asker = everything[asker].parent
    below: dict[int, list[Process]] = {}
    for one in everything.values():
        below.setdefault(one.parent, []).append(one)
    found = []
    waiting = [one for one in below.get(0, []) if one.pid == 1]  # others without a parent came by `docker exec`
    while waiting:
        one = waiting.pop(0)
        kind = _kind(one, everything.get(one.parent))
        if kind and one.pid in asking:
            continue
        if kind == "ssh session" and not below.get(one.pid):
            continue  # a shared connection (ControlPersist) whose last session has ended
        if kind:
            found.append(_activity(kind, one, below))
        elif not _NOBODY.search(one.command):
            waiting += below.get(one.pid, [])
    return tuple(found)


def _kind(one: Process, parent: Process | None) -> str:
    """ "" for what is the container's own, or only holds others."""
    if login := _LOGIN.match(one.command):
        return "sftp session" if login.group(1) == "internal-sftp" else "ssh session"
    if one.pid == 1 or (_OURS.search(one.command) and "ipykernel" not in one.command):
        return ""
    if "ipykernel" in one.command or re.search(r"kernel-[0-9a-f-]+\.json", one.command):
        return "kernel"
    if re.match(r"(\S*/)?(tmux|screen|SCREEN)\b", one.command) or _NOBODY.search(one.command):
        return ""
    if parent is not None and "jupyter" in parent.command and _SHELLS.match(one.command):
        return "terminal"
    return "job"


def _activity(kind: str, one: Process, below: Mapping[int, list[Process]]) -> Activity:
    if kind == "kernel":
        return Activity(kind=kind, what=one.session or "a notebook", pid=one.pid, age=one.age)
    doing = one
    while (_SHELLS.match(doing.command) or doing.command.startswith("sshd")) and below.get(doing.pid):
        doing = below[doing.pid][0]
    what = doing.command if doing is not one or kind in ("job", "terminal") else one.command.partition("@")[2]
    return Activity(kind=kind, what=what if len(what) <= 80 else what[:77] + "...", pid=doing.pid, age=one.age)


def ending(plan: Plan, observed: Observed) -> dict[str, tuple[Container, ...]]:
    """What a plan takes down that runs: by project ("gateway" for it), the containers whose activity would end.

    Recreating the gateway ends the logins of all workspaces.
    """
    names = [name for step in plan.steps if isinstance(step, StartServices | RemoveServices) for name in step.services]
    found: dict[str, tuple[Container, ...]] = {}
    for name in dict.fromkeys(names):
        container = observed.containers.get(name)
        if container is None or container.state != "running":
            continue
        if container.role in ("workspace", "notebook"):
            found[container.project] = (*found.get(container.project, ()), container)
        elif container.role == "gateway":
            found["gateway"] = tuple(
                one for one in observed.containers.values() if one.role == "workspace" and one.state == "running"
            )
    return found


def services_of(what: str, observed: Observed) -> frozenset[str]:
    """The containers to leave alone for an entry of ending(): both of a project, or the gateway."""
    if what == "gateway":
        return frozenset({"gateway"})
    return frozenset(name for name, one in observed.containers.items() if one.project == what)
