"""Figures of `rigstack gpu check` against datasheets; and the program itself, over a stand-in for the CUDA driver."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rigstack.plan.datasheet import DATASHEETS, assess_check, check_rows, datasheet
from tests.cuda_stub import build

PROGRAM = Path(__file__).parents[3] / "programs/gpu-check.py"
H100 = {"name": "NVIDIA H100 80GB HBM3", "memory": 85 * 10**9, "capability": "9.0"}

FAKE_NVCC = """#!/bin/sh
PATH=/usr/bin:/bin
[ "$1" = -arch=sm_89 ] || { echo "what is $1?" >&2; exit 1; }
printf '#!/bin/sh\\necho {}\\n' > "$3"
chmod +x "$3"
"""


def test_a_card_is_known_by_its_whole_name() -> None:
    found = datasheet("NVIDIA L40S")
    assert found is not None and found.tflops == 362
    for other in ("NVIDIA GeForce RTX 3090 Ti", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA H200 MIG 1g.18gb"):
        assert datasheet(other) is None
    for name, sheet in DATASHEETS.items():
        assert name.startswith(("NVIDIA ", "Tesla ")), "as the driver spells it"
        assert 200 < sheet.bandwidth < 10_000 and (sheet.tflops is None or 50 < sheet.tflops < 3000)


def test_figures_and_their_share() -> None:
    checks = [
        {"name": "driver", "gpu": 0, "state": "ok", "words": "", "bandwidth": 2980.04},
        {
            "name": "torch",
            "gpus": 1,
            "state": "ok",
            "words": "",
            "tflops": 301.2,
            "version": "2.9.0+cu130",
            "dtype": "bfloat16",
        },
        {"name": "jax", "state": "failed", "words": "sees no GPU; it runs on the cpu"},
    ]
    document = assess_check({"gpu": True, "devices": [H100], "checks": checks})
    assert document["checks"][0]["bandwidth"] == {"value": 2980.0, "datasheet": 3350, "share": 0.89}
    assert check_rows(document) == [
        ["driver", "ok", "2980 GB/s memory", "89% of 3350 GB/s"],
        ["torch 2.9.0+cu130", "ok", "301.2 TFLOP/s bfloat16 matmul", "30% of 989 TFLOP/s"],
        ["jax", "failed", "sees no GPU; it runs on the cpu", ""],
    ]
    assert document["problems"] == [
        "torch: 301 TFLOP/s is 30% of the datasheet's 989",
        "jax: sees no GPU; it runs on the cpu",
    ]


def test_every_gpu_is_held_against_its_own_datasheet() -> None:
    two = [H100, H100 | {"name": "NVIDIA L4"}]
    checks = [
        {"name": "driver", "gpu": 0, "state": "ok", "words": "", "bandwidth": 1000.0},
        {"name": "driver", "gpu": 1, "state": "ok", "words": "", "bandwidth": 280.0},
        {"name": "torch", "state": "ok", "words": "", "gpus": 1, "tflops": 700.0},
    ]
    document = assess_check({"gpu": True, "devices": two, "checks": checks})
    assert [row[0] for row in check_rows(document)] == ["driver, GPU 0", "driver, GPU 1", "torch"]
    assert [check_row[3] for check_row in check_rows(document)[:2]] == ["30% of 3350 GB/s", "93% of 300 GB/s"]
    assert document["problems"] == [
        "driver, GPU 0: 1000 GB/s is 30% of the datasheet's 3350",
        "torch sees 1 of 2 GPUs",
    ]


def test_a_card_without_a_datasheet() -> None:
    checks = [{"name": "driver", "gpu": 0, "state": "ok", "words": "", "bandwidth": 80.0}]
    document = assess_check({"gpu": True, "devices": [H100 | {"name": "NVIDIA T400"}], "checks": checks})
    assert document["problems"] == ["no matrix product was measured: no torch, jax or cupy works in this project"]
    assert check_rows(document)[0][3] == "no datasheet for this card"


@pytest.fixture(scope="module")
def libcuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("libcuda"))


def run(
    folder: Path, libcuda: Path | None, *, nvcc: bool = True, torch: str = "", patience: int = 60, **stub: Any
) -> dict[str, Any]:
    """gpu-check.py as it runs in a container, over the stand-in for the driver; stub: its settings (cuda.c)."""
    (folder / "bin").mkdir()
    if nvcc:
        (folder / "bin/nvcc").write_text(FAKE_NVCC)
        (folder / "bin/nvcc").chmod(0o755)
    if torch:
        (folder / "torch.py").write_text(torch)
    env = {"PATH": f"{folder}/bin", "LD_LIBRARY_PATH": str(libcuda or ""), "PYTHONPATH": str(folder)}
    env |= {f"CUDA_STUB_{name.upper()}": str(value) for name, value in stub.items()}
    text = PROGRAM.read_text().replace("WARM = 0.5", "WARM = 0.0").replace("timeout=120", f"timeout={patience}")
    assert text.count("WARM = 0.0") == text.count(f"timeout={patience})") == 1
    done = subprocess.run([sys.executable, "-"], input=text, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_program_runs_a_kernel_on_every_gpu(libcuda: Path, tmp_path: Path) -> None:
    found = run(tmp_path, libcuda, gpus=2, log=tmp_path / "calls")
    assert found["devices"] == [{"name": "NVIDIA L4", "memory": 24 * 10**9, "capability": "8.9"}] * 2
    # Three arrays of 32 MiB (the largest of which three fit in half of what is free), 20 times, in 10 ms.
    speed = 3 * 32 * 2**20 * 20 / 10e-3 / 1e9
    assert [(one["gpu"], one["state"], one["bandwidth"]) for one in found["checks"][:2]] == [
        (0, "ok", pytest.approx(speed)),
        (1, "ok", pytest.approx(speed)),
    ]
    assert found["checks"][2] == {"name": "nvcc", "state": "ok", "words": "what it compiles for sm_89 runs"}
    calls = (tmp_path / "calls").read_text().split()
    assert calls.count("cuLaunchKernel") == 2 * 20 * 5, "no warming up in this test"
    assert calls.index("cuModuleLoadData") > calls.index("cuCtxSetCurrent")


@pytest.mark.parametrize(
    ("stub", "words"),
    [
        ({"fault": "cuModuleLoadData=218"}, "cuModuleLoadData: a PTX JIT compilation failed"),
        ({"fault": "cuMemAlloc_v2=2"}, "cuMemAlloc_v2: error 2"),
        ({"fault": "cuLaunchKernel=crash"}, "crashed (wait status "),
        ({"fault": "cuEventSynchronize=hang"}, "did not end within 1 s"),
        ({"wrong": 1}, "1.5 + 2.25 came out as 4.75"),
        ({"free": 90 << 20}, "only 90 MiB of its memory are free: too little to measure"),
    ],
)
def test_the_program_tells_what_failed(libcuda: Path, tmp_path: Path, stub: dict[str, Any], words: str) -> None:
    check = run(tmp_path, libcuda, nvcc=False, patience=1 if "hang" in str(stub) else 60, **stub)["checks"][0]
    assert check["state"] == "failed"
    assert check["words"].startswith(words)


def test_the_program_without_a_compiler(libcuda: Path, tmp_path: Path) -> None:
    assert [check["state"] for check in run(tmp_path, libcuda, nvcc=False)["checks"]] == ["ok", "absent"]


def test_a_framework_is_told_a_type_that_the_card_has(libcuda: Path, tmp_path: Path) -> None:
    """A fake torch that only says with what it was called; and a broken one is one line."""
    fake = "import sys, types\nprint(sys.argv)\nraise SystemExit(f'asked for {sys.argv[1]}')\n"
    found = run(tmp_path, libcuda, nvcc=False, torch=fake)["checks"][-1]
    assert (found["name"], found["state"], found["words"]) == ("torch", "failed", "asked for bfloat16")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (100, "no GPU in the container"),
        (803, "the driver's library and the kernel's module differ: reboot"),
        (999, "the driver does not start (cuInit: 999)"),
        ("crash", "crashed (wait status "),
    ],
)
def test_the_program_without_a_gpu(libcuda: Path, tmp_path: Path, code: object, words: str) -> None:
    found = run(tmp_path, libcuda, fault=f"cuInit={code}")
    assert found["gpu"] is False
    assert found["why"].startswith(words)


def test_the_program_without_a_driver(tmp_path: Path) -> None:
    found = run(tmp_path, None)
    assert found["why"] == "no NVIDIA driver in the container: libcuda.so.1 is not there"
