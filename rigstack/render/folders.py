"""Which very folders a container has mounted: their inodes, in a label, so that one in the place of another is noticed.

A running container holds on to a folder that was deleted or moved away, and sees nothing of the new one. The inodes are
known when the container is made and not before, so they reach the label as variables of compose.
"""

from __future__ import annotations

from collections.abc import Mapping

FILE = "state/folders.env"


def folders_variable(service: str) -> str:
    """The variable of compose for the label of one service."""
    return "RIGSTACK_FOLDERS_" + service.replace("-", "_")


def render_folders(mounted: Mapping[str, Mapping[str, int]]) -> str:
    """state/folders.env. mounted: service -> folder, relative to the rig directory -> inode."""
    lines = {
        folders_variable(service): " ".join(f"{path}={inode}" for path, inode in sorted(folders.items()))
        for service, folders in sorted(mounted.items())
    }
    return "".join(f"{name}='{text}'\n" for name, text in lines.items())


def parse_folders(label: str) -> dict[str, int]:
    """The label back; what is not understood is left out."""
    pairs = (word.rpartition("=") for word in label.split())
    return {path: int(inode) for path, _, inode in pairs if path and inode.isdecimal()}
