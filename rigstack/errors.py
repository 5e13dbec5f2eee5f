"""Every error rigstack can end with: what happened, the likely cause, what to do next, and its exit code.

Exit codes are a contract with other programs (see docs/reference/exit-codes.md): each class has its own.
"""

from __future__ import annotations

from typing import ClassVar


class RigstackError(Exception):
    """The base of all expected failures.

    what: what happened, one sentence, naming the place.
    cause: the likely reason, or "" when `what` says it all.
    remedy: what the person should do next.
    details: evidence to show below the message (a log's last lines, a list of problems).
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, cause: str = "", remedy: str = "", details: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.remedy = remedy
        self.details = details

    def lines(self) -> list[str]:
        """The message as a person reads it: what, evidence, cause, remedy."""
        lines = [f"error: {self.what}"]
        lines += [f"  {line}" for line in self.details]
        if self.cause:
            lines.append(f"  cause: {self.cause}")
        if self.remedy:
            lines.append(f"  next:  {self.remedy}")
        return lines


class ConfigError(RigstackError):
    """rig.toml, a project's settings or the command's own words are wrong. Nothing was changed."""

    exit_code = 2


class HostError(RigstackError):
    """This machine lacks something: an engine, a permission, a free port, disk room."""

    exit_code = 3


class EngineError(RigstackError):
    """The engine, or compose, refused or failed."""

    exit_code = 4


class UnhealthyError(RigstackError):
    """A service was started and did not become healthy."""

    exit_code = 5


class LockedError(RigstackError):
    """Another rigstack works on this rig."""

    exit_code = 6


class BuildError(RigstackError):
    """An image could not be built; what ran before still runs."""

    exit_code = 7

    def __init__(
        self,
        what: str,
        *,
        cause: str = "",
        remedy: str = "",
        details: tuple[str, ...] = (),
        projects: tuple[str, ...] = (),
    ) -> None:
        """projects: those whose image it is, none of one that all share."""
        super().__init__(what, cause=cause, remedy=remedy, details=details)
        self.projects = projects


class ConsentError(RigstackError):
    """The command would do something that needs a yes, and nobody gave one."""

    exit_code = 8


class TrustError(RigstackError):
    """The machine that answers does not prove to be the rig: its host key is not the pinned one."""

    exit_code = 9


class ReachError(RigstackError):
    """The rig, or a project on it, cannot be reached from this machine."""

    exit_code = 10


class AccessError(RigstackError):
    """The rig was reached and does not know this machine's key."""

    exit_code = 11


def all_errors() -> tuple[type[RigstackError], ...]:
    """Every error class with an exit code of its own, for the docs and their test."""
    return tuple(sorted(RigstackError.__subclasses__(), key=lambda error: error.exit_code))
