"""Where things are in the person's home on the laptop, and how its files are written."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from rigstack.errors import ConfigError, HostError
from rigstack.render.ssh_config import Places
from rigstack.value import Value

# A unix socket's path holds 104 bytes on macOS (sys/un.h), and ssh first binds PATH.XXXXXXXXXXXXXXXX (17 more).
LONGEST_CONTROL_PATH = 104 - 1 - 17
CONTROL_HASH = 1 + 40  # %C is a SHA-1 in hex: ssh_config(5), TOKENS; a sync puts a letter before it


class LaptopHome(Value):
    """The home folder, and the one that ssh takes for it: ssh asks the password database and not $HOME."""

    path: Path
    ssh_path: Path

    @property
    def ssh(self) -> Path:
        return self.path / ".ssh"

    @property
    def config(self) -> Path:
        return self.ssh / "config"

    @property
    def folder(self) -> Path:
        """Everything that rigstack keeps on a laptop."""
        return self.ssh / "rigstack"

    @property
    def backup(self) -> Path:
        """~/.ssh/config as it was before rigstack's lines came to it."""
        return self.folder / "config.before-rigstack"

    def as_ssh(self, path: Path) -> str:
        """A path in the home as ssh_config takes it: with ~ when ssh and we mean the same home."""
        if self.path == self.ssh_path and path.is_relative_to(self.path):
            return f"~/{path.relative_to(self.path)}"
        return str(path)

    @property
    def include(self) -> str:
        return self.as_ssh(self.folder / "*.conf")

    def ssh_words(self) -> tuple[str, ...]:
        """Words that every ssh, scp and sftp of ours begins with: -F when ssh would not find the file by itself."""
        if self.path == self.ssh_path:
            return ()
        return ("-F", str(self.config) if self.config.exists() else "none")

    def places(self, name: str) -> Places:
        """The paths for a rig's ssh configuration."""
        return Places(
            known_hosts=self.as_ssh(self.folder / f"{name}.known_hosts"),
            at_home=str(self.folder / "at-home").replace("%", "%%"),
            port_free=str(self.folder / "port-free").replace("%", "%%"),
            control_path=self._control_path(),
        )

    def _control_path(self) -> str:
        """The shortest place for shared connections that is ours alone; "" when none is short enough."""
        folders = [self.folder]
        if runtime := os.environ.get("XDG_RUNTIME_DIR"):
            folders.append(Path(runtime))
        for folder in folders:
            if len(os.fsencode(folder)) + 1 + CONTROL_HASH <= LONGEST_CONTROL_PATH:
                return self.as_ssh(folder / "%C")
        return ""


def laptop_home() -> LaptopHome:
    """The home of the person at the keyboard."""
    import pwd

    home = Path.home()
    try:
        known = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        known = home
    return LaptopHome(path=home, ssh_path=known)


def check_checkout(folder: Path) -> None:
    """Raises ConfigError for a folder that is none, or one that holds the home folder: keys and all would be copied."""
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}", remedy="name the local checkout")
    if Path.home().resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"{folder} is your home folder or holds it, and all that is in it would go to the rig",
            remedy="name the project's checkout, or go there first",
        )


def read_bytes(path: Path) -> bytes | None:
    """The file's content, or None when there is none. Raises HostError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as failed:
        raise HostError(f"cannot read {path}: {failed.strerror}", remedy="check its owner and mode") from None


def write_bytes(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Writes by rename, so that ssh never reads half a file. Raises HostError.

    A link stays a link: what it leads to is written. An existing file keeps its mode; folders are made 0700.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            mode = target.stat().st_mode & 0o777
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        temporary.chmod(mode)
        temporary.replace(target)
    except OSError as failed:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise HostError(f"cannot write {path}: {failed.strerror}", remedy="check the owner and mode of it") from None
