"""Compiles the stand-in for NVIDIA's management library and writes what it answers: see nvml.c."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml.c")
GIB = 1024**3


def build(folder: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Compiles libnvidia-ml.so.1 into `folder`, for LD_LIBRARY_PATH; without: functions that an older driver lacks."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to compile the stand-in with (tests/install-needs)")
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "symbols.map"
    script.write_text("{ global: *; " + (f"local: {'; '.join(without)}; " if without else "") + "};")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [
            *("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"),
            *("-Wl,-soname,libnvidia-ml.so.1", f"-Wl,--version-script={script}"),
            *("-o", str(library), str(SOURCE)),
        ],
        check=True,
    )
    return folder


def build_nvidia_smi(library: Path) -> Path:
    """Compiles the stand-in for nvidia-smi against the library built in that folder."""
    program = library / "nvidia-smi"
    argv = ["gcc", "-O1", "-Wall", "-Wextra", "-o", str(program), str(SOURCE.with_name("nvidia_smi.c"))]
    subprocess.run([*argv, f"-L{library}", "-l:libnvidia-ml.so.1"], check=True)
    return program


class NvmlStub:
    """The compiled stub and its scenario. `env` goes to the program that is to see these GPUs."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.library = library
        self.scenario = folder / "nvml-scenario"
        self.log = folder / "nvml-calls"
        self.set({})

    @property
    def env(self) -> dict[str, str]:
        return {
            "LD_LIBRARY_PATH": str(self.library),
            "NVML_STUB": str(self.scenario),
            "NVML_STUB_LOG": str(self.log),
        }

    @property
    def calls(self) -> list[str]:
        """The functions that were called, in order."""
        return self.log.read_text().split() if self.log.exists() else []

    def set(self, values: Mapping[str, object], *, driver: str = "580.65.06", cuda: int = 13000) -> None:
        """What the stub answers from now on; see nvml.c for the keys."""
        lines = [f"{key} = {value}" for key, value in {"driver": driver, "cuda": cuda, **values}.items()]
        fresh = self.scenario.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.rename(self.scenario)


def uuid_of(index: int) -> str:
    return f"GPU-{index:08x}-61b5-44a4-a1c6-0d2b0f1d0a01"


def a_gpu(index: int, *, name: str = "NVIDIA RTX 6000 Ada", **values: object) -> dict[str, object]:
    """Scenario lines of an idle 48 GiB GPU; values: keys that differ, None for one that the driver does not tell."""
    told: dict[str, object] = {
        "name": name,
        "uuid": uuid_of(index),
        "bus": f"00000000:{index + 1:02X}:00.0",
        "total": 48 * GIB,
        "used": 300 * 1024**2,
        "load": 0,
        "temperature": 34,
        "power": 21500,
        "power_limit": 300000,
        "ecc": 0,
        "rows_pending": 0,
        "slowdown": 1,
        **values,
    }
    return {f"{index}.{key.replace('__', '.')}": value for key, value in told.items() if value is not None}


def gpus(count: int, **values: object) -> dict[str, object]:
    """Scenario lines of `count` like GPUs."""
    lines: dict[str, object] = {"count": count}
    for index in range(count):
        lines |= a_gpu(index, **values)
    return lines
