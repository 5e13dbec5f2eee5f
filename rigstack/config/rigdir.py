"""Where the rig directory is, and what stands where inside it."""

from __future__ import annotations

import os
from pathlib import Path

from rigstack.errors import ConfigError
from rigstack.value import Value


class RigDir(Value):
    """The paths of a rig directory; see docs/architecture.md for what each holds."""

    path: Path

    @property
    def toml(self) -> Path:
        return self.path / "rig.toml"

    @property
    def code(self) -> Path:
        return self.path / "code"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def homes(self) -> Path:
        return self.path / "homes"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def keys(self) -> Path:
        return self.state / "keys"


def find_rig(named: str | None, *, start: Path | None = None) -> RigDir:
    """The rig directory: the one named (--rig or $RIGSTACK_RIG), else the nearest upwards, else ~/rig.

    Raises ConfigError when there is none.
    """
    if named:
        candidate = Path(named).expanduser().absolute()
        if not (candidate / "rig.toml").is_file():
            raise ConfigError(
                f"{candidate} is not a rig directory: it has no rig.toml",
                remedy=f"make one there with `rigstack init {named}`",
            )
        return RigDir(path=candidate)
    here = start or Path(os.getcwd())  # noqa: PTH109 - Path.cwd() resolves nothing more and costs more
    for folder in (here, *here.parents):
        if (folder / "rig.toml").is_file():
            return RigDir(path=folder)
    home = Path.home() / "rig"
    if (home / "rig.toml").is_file():
        return RigDir(path=home)
    raise ConfigError(
        f"no rig found: no rig.toml in {here} or above, none in {home}",
        remedy="make one with `rigstack init`, or name one with --rig DIR; on a laptop: rigstack connect HOST",
    )
