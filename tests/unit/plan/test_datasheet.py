"""Figures of `rigstack gpu check` against datasheets; and the program itself, with fakes of what a GPU machine has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rigstack.plan.datasheet import DATASHEETS, assess_check, check_rows, datasheet

PROGRAM = Path(__file__).parents[3] / "programs/gpu-check.py"
H100 = {"name": "NVIDIA H100 80GB HBM3", "memory": 85 * 10**9, "capability": "9.0"}

FAKE_LIBCUDA = """
#include <string.h>
int cuInit(unsigned flags) { (void)flags; return RESULT; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGetName(char *name, int size, int device) { (void)device; strncpy(name, "NVIDIA L4", size); return 0; }
int cuDeviceTotalMem_v2(unsigned long *bytes, int device) { (void)device; *bytes = 24000000000; return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { (void)device; *value = which == 75 ? 8 : 9; return 0; }
"""
FAKE_NVCC = """#!/bin/sh
PATH=/usr/bin:/bin
[ "$1" = -arch=sm_89 ] || { echo "what is $1?" >&2; exit 1; }
printf '#!/bin/sh\\necho %s\\n' "'{\\"bandwidth\\": 250.5}'" > "$3"
chmod +x "$3"
"""
FAKE_TORCH = "raise SystemExit('a broken torch')\n"


def test_longer_names_stand_before_those_they_begin_with() -> None:
    names = list(DATASHEETS)
    for place, name in enumerate(names):
        assert not any(later.startswith(name) for later in names[place + 1 :]), name
    found = datasheet("NVIDIA L40S")
    assert found is not None and found.tflops == 362
    assert datasheet("NVIDIA T400") is None


def test_figures_and_their_share() -> None:
    checks = [
        {"name": "nvcc", "state": "ok", "words": "", "bandwidth": 2980.04},
        {"name": "torch", "state": "ok", "words": "", "tflops": 301.2, "version": "2.9.0+cu130", "dtype": "bfloat16"},
        {"name": "jax", "state": "failed", "words": "sees no GPU; it runs on the cpu"},
    ]
    document = assess_check({"gpu": True, "devices": [H100], "checks": checks})
    assert document["checks"][0]["bandwidth"] == {"value": 2980.0, "datasheet": 3350, "share": 0.89}
    assert check_rows(document) == [
        ["nvcc", "ok", "2980 GB/s memory", "89% of 3350 GB/s"],
        ["torch 2.9.0+cu130", "ok", "301.2 TFLOP/s bfloat16 matmul", "30% of 989 TFLOP/s"],
        ["jax", "failed", "sees no GPU; it runs on the cpu", ""],
    ]
    assert document["problems"] == [
        "torch: 301 TFLOP/s is 30% of the datasheet's 989",
        "jax: sees no GPU; it runs on the cpu",
    ]


def test_a_card_without_a_datasheet() -> None:
    checks = [{"name": "nvcc", "state": "ok", "words": "", "bandwidth": 80.0}]
    document = assess_check({"gpu": True, "devices": [H100 | {"name": "NVIDIA T400"}], "checks": checks})
    assert document["problems"] == []
    assert check_rows(document)[0][3] == "no datasheet for this card"


def run(folder: Path, *, libcuda: int | None = 0, nvcc: bool = True, torch: bool = False) -> dict[str, Any]:
    """gpu-check.py as it runs in a container, with a fake libcuda that starts with this code."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to compile the fake libcuda with (tests/install-needs)")
    if libcuda is not None:
        argv = ["gcc", "-shared", "-fPIC", f"-DRESULT={libcuda}", "-x", "c", "-", "-o", str(folder / "libcuda.so.1")]
        subprocess.run(argv, input=FAKE_LIBCUDA, text=True, check=True)
    (folder / "bin").mkdir()
    if nvcc:
        (folder / "bin/nvcc").write_text(FAKE_NVCC)
        (folder / "bin/nvcc").chmod(0o755)
    if torch:
        (folder / "torch.py").write_text(FAKE_TORCH)
    env = {"PATH": f"{folder}/bin", "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-"], input=PROGRAM.read_text(), capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_program_compiles_and_runs_for_this_very_gpu(tmp_path: Path) -> None:
    found = run(tmp_path, torch=True)
    assert found["devices"] == [{"name": "NVIDIA L4", "memory": 24 * 10**9, "capability": "8.9"}]
    assert found["checks"][0] == {"name": "nvcc", "state": "ok", "words": "", "bandwidth": 250.5}
    assert found["checks"][1] == {"name": "torch", "state": "failed", "words": "a broken torch"}


def test_the_program_without_a_compiler(tmp_path: Path) -> None:
    assert [check["state"] for check in run(tmp_path, nvcc=False)["checks"]] == ["absent"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (100, "no GPU in the container"),
        (803, "the driver's library and the kernel's module differ: reboot"),
        (999, "the driver does not start (cuInit: 999)"),
    ],
)
def test_the_program_without_a_gpu(tmp_path: Path, code: int, words: str) -> None:
    found = run(tmp_path, libcuda=code)
    assert (found["gpu"], found["why"]) == (False, words)
