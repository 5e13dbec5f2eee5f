"""A rig directory without an engine, for commands that need none."""

from __future__ import annotations

import os
from pathlib import Path

import command

from rigstack.process import Completed


def make_bare_rig(folder: Path) -> Path:
    """A rig with one project in rig.toml and nothing in its folders."""
    (folder / "rig.toml").write_text("# mine\n[rig]\nname = 'box'\n\n[projects.demo]\ngpus = 1 # one is enough\n")
    (folder / "code").mkdir()
    (folder / "data").mkdir()
    if os.geteuid() == 0:
        os.chown(folder / "code", 1000, 1000)
    return folder


def rigstack(rig: Path, *words: str) -> Completed:
    """The real command on that rig; no engine answers it, and it sees no GPU."""
    env = {"DOCKER_HOST": f"unix://{rig}/no-engine", "RIGSTACK_CDI_DIR": str(rig / "no-cdi")}
    return command.rigstack("--rig", str(rig), *words, cwd=rig, env=env)
