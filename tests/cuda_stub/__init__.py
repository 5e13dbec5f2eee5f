"""Compiles the stand-in for NVIDIA's CUDA driver: see cuda.c."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("cuda.c")


def build(folder: Path) -> Path:
    """Compiles libcuda.so.1 into `folder`, for LD_LIBRARY_PATH."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to compile the stand-in with (tests/install-needs)")
    folder.mkdir(parents=True, exist_ok=True)
    argv = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libcuda.so.1"]
    subprocess.run([*argv, "-o", str(folder / "libcuda.so.1"), str(SOURCE)], check=True)
    return folder
