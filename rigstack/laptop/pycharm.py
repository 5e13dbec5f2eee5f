"""PyCharm's own way into a workspace: a port with no jump before it, its pinned host key, and the project's .idea."""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path

from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome, read_bytes, write_bytes
from rigstack.laptop.kept import Kept, list_kept
from rigstack.laptop.rigs import Target
from rigstack.laptop.tunnel import is_free, start_forward
from rigstack.render.pycharm import Workspace, render_deployment, render_ssh_configs, render_web_servers
from rigstack.render.ssh_config import add_pin

FILES = {
    "sshConfigs.xml": render_ssh_configs,
    "webServers.xml": render_web_servers,
    "deployment.xml": render_deployment,
}
BIG = 100 << 20  # bytes: a folder of more is data, and is not uploaded on save
LOOK = 20_000  # files at most are looked at to tell


def forward_argv(home: LaptopHome, target: Target, local: int) -> tuple[str, ...]:
    """An ssh that makes 127.0.0.1:local here the workspace's own sshd, through the gateway."""
    return ssh.client_argv(
        home,
        *("-N", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=5"),
        *("-L", f"127.0.0.1:{local}:{target.project.host}:22"),
        target.connection.gateway,
    )


def usual_port(alias: str) -> int:
    """The port that a project's forward has on every laptop unless it is taken: PyCharm's files name it."""
    return 42000 + zlib.crc32(alias.encode()) % 4000


def ensure_forward(home: LaptopHome, target: Target) -> int:
    """The local port that leads to the workspace's sshd; started, or found running. Raises ReachError."""
    for one in list_kept(home, "forward"):
        if one.alias == target.alias:
            return int(one.about["local"])
    local = usual_port(target.alias)
    while not is_free(local):
        local += 1
    kept = Kept(
        kind="forward",
        id=f"forward-{target.alias}",
        alias=target.alias,
        about={"remote": "22", "local": str(local)},
        argv=forward_argv(home, target, local),
    )
    start_forward(home, kept, target)
    return local


def planned_address(home: LaptopHome, target: Target) -> tuple[str, int]:
    """Where PyCharm finds the workspace: the project's own port, else the forward that is or will be."""
    if target.project.ssh_port is not None:
        return target.connection.host, target.project.ssh_port
    running = [one for one in list_kept(home, "forward") if one.alias == target.alias]
    return "127.0.0.1", int(running[0].about["local"]) if running else usual_port(target.alias)


def ensure_address(home: LaptopHome, target: Target) -> tuple[str, int]:
    """planned_address, made so: the forward runs, and the host key is pinned for it in ~/.ssh/known_hosts.

    That is the file PyCharm reads. Raises ReachError.
    """
    host, port = planned_address(home, target)
    if target.project.ssh_port is None:
        port = ensure_forward(home, target)
    known = home.ssh / "known_hosts"
    before = read_bytes(known)
    after = add_pin(before or b"", f"[{host}]:{port}", target.project.host_key, target.alias)
    if after != before:
        write_bytes(known, after)
    return host, port


def workspace_at(home: LaptopHome, target: Target, folder: Path, address: tuple[str, int]) -> Workspace:
    """The project as PyCharm's files describe it; `folder` is looked through for what is too big to upload."""
    project = target.project
    return Workspace(
        name=target.alias,
        host=address[0],
        port=address[1],
        user=project.user,
        folder=project.folder,
        python=project.python,
        key=_key(home, target),
        excluded=big_folders(folder),
    )


def _key(home: LaptopHome, target: Target) -> str:
    path = Path(target.connection.identity) if target.connection.identity else ssh.find_key(home)
    if path is None:
        return ""
    return f"$USER_HOME$/{path.relative_to(home.path)}" if path.is_relative_to(home.path) else str(path)


def big_folders(folder: Path) -> tuple[str, ...]:
    """The top-level folders that hold more than BIG bytes, as far as LOOK files tell."""
    found, left = [], LOOK
    for child in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not child.is_dir() or child.is_symlink() or child.name.startswith("."):
            continue
        size = 0
        for parent, _, names in os.walk(child):
            for name in names:
                left -= 1
                try:
                    size += (Path(parent) / name).lstat().st_size
                except OSError:
                    continue
            if size > BIG or left < 0:
                break
        if size > BIG:
            found.append(child.name)
    return tuple(found)


def idea_texts(folder: Path, workspace: Workspace) -> dict[Path, str]:
    """Each .idea file with what it should say, merged into what it says. Raises ConfigError for a broken one."""
    texts: dict[Path, str] = {}
    for name, render in FILES.items():
        path = folder / ".idea" / name
        present = read_bytes(path)
        texts[path] = render(present.decode("utf-8", errors="strict") if present is not None else None, workspace)
    return texts


def backup_of(path: Path) -> Path:
    """Where the file as it was before rigstack is kept."""
    return path.with_name(path.name + ".before-rigstack")


def write_idea(texts: dict[Path, str]) -> tuple[Path, ...]:
    """Writes what differs; the first time a file is changed, a copy of it is kept. Returns what was written."""
    written = []
    for path, text in texts.items():
        present = read_bytes(path)
        if present is not None and present.decode() == text:
            continue
        if not backup_of(path).exists():
            write_bytes(backup_of(path), present or b"", mode=0o644)
        write_bytes(path, text.encode(), mode=0o644)
        written.append(path)
    return tuple(written)


def texts_from_before(folder: Path, workspace: Workspace) -> dict[Path, str]:
    """Each .idea file as rigstack made it of what was there before."""
    texts = {}
    for name, render in FILES.items():
        path = folder / ".idea" / name
        before = read_bytes(backup_of(path))
        if before is not None:
            texts[path] = render(before.decode("utf-8", errors="replace"), workspace)
    return texts


def undo_idea(folder: Path, made: dict[Path, str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Puts the files back as they were before rigstack first changed them; a file that it made goes.

    made: texts_from_before(). What is something else by now (PyCharm wrote more into it) is kept beside the file.
    Returns the files that were put back, and the ones kept.
    """
    undone, kept = [], []
    for name in FILES:
        path = folder / ".idea" / name
        before, present = read_bytes(backup_of(path)), read_bytes(path)
        if before is None:
            continue
        if present is not None and present not in (before, made.get(path, "").encode()):
            kept.append(path.with_name(path.name + ".before-undo"))
            write_bytes(kept[-1], present, mode=0o644)
        if before:
            write_bytes(path, before)
        else:
            path.unlink(missing_ok=True)
        backup_of(path).unlink()
        undone.append(path)
    with contextlib.suppress(OSError):
        (folder / ".idea").rmdir()  # stays when something else is in it
    return tuple(undone), tuple(kept)
