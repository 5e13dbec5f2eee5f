"""CUDA against the driver: what a project needs, by what names it, and what is told when the driver is too old."""

from __future__ import annotations

import pytest
from builders import a_desire, a_host, a_rig

from rigstack.errors import HostError
from rigstack.plan.cuda import DRIVERS, ensure_cuda, needs, newest_cuda, runs, spelled_out
from rigstack.plan.host import Gpu, OwnDockerfile, ProjectInputs

CDI = Gpu(kind="cdi", devices=("0",))
LOCK = """\
[[package]]
name = "nvidia-cuda-runtime-cu12"
version = "12.8.90"
source = { registry = "https://x" }

[[package]]
name = "torch"
version = "2.9.0+cu128"
"""


@pytest.mark.parametrize(
    ("driver", "newest"),
    [
        ("610.43.02", "13.3"),
        ("610.43.01", "13.2"),
        ("595.58.03", "13.2"),
        ("590.44.01", "13.1"),
        ("580.65.06", "13.0"),
        ("575.57.08", "12.9"),
        ("570.26", "12.8"),
        ("560.35.03", "12.6"),
        ("550.54.14", "12.4"),
        ("550.40.07", "12.3"),
        ("535.183.01", "12.2"),
        ("470.57.02", ""),
        ("", ""),
        ("700.1", "13.3"),
    ],
)
def test_the_newest_cuda_of_a_driver(driver: str, newest: str) -> None:
    assert newest_cuda(driver) == newest


@pytest.mark.parametrize(
    ("driver", "cuda", "able"),
    [
        ("550.54.14", "12.4", True),
        ("550.54.14", "12.9", True),
        ("550.54.14", "13.0", False),
        ("580.65.06", "13.1", True),
        ("580.65.06", "11.8", True),
        ("470.57.02", "12.0", False),
        ("525.60.11", "12.0", False),
        ("", "13.0", True),
        ("535.1", "14.0", True),
        ("535.1", "none", True),
    ],
)
def test_which_cuda_a_driver_runs(driver: str, cuda: str, able: bool) -> None:
    assert runs(driver, cuda) is able


def test_each_driver_runs_the_cuda_it_was_made_for() -> None:
    for (major, minor), first in DRIVERS.items():
        assert runs(".".join(map(str, first)), f"{major}.{minor}")
    assert list(DRIVERS) == sorted(DRIVERS, reverse=True)


@pytest.mark.parametrize(
    ("requirements", "version"),
    [
        ("torch==2.9.0+cu128", "12.8"),
        ("--extra-index-url https://download.example/whl/cu130\ntorch", "13.0"),
        ("--index-url https://download.example/whl/nightly/cu126", "12.6"),
        ("nvidia-cuda-runtime-cu12==12.4.127", "12.4"),
        ("nvidia-cuda-runtime==13.0.96", "13.0"),
        ("nvidia-cuda-runtime-cu12", "12.0"),
        ("cuda-toolkit[nvcc,cudart]==13.0.*", "13.0"),
        ("jax[cuda13]", "13.0"),
        ("cupy-cuda12x>=13", "12.0"),
        ("torch", None),
        ("# torch==2.9.0+cu128", None),
        ("numpy # not torch==2.9.0+cu128", None),
        ("torch==2.9.0+cpu", None),
        ("accuracy==1.0", None),
    ],
)
def test_what_requirements_need(requirements: str, version: str | None) -> None:
    rig = a_rig("[images]\ncuda = 'none'\n[projects.demo]")
    found = needs(rig, rig.projects[0], ProjectInputs(files=(("requirements.txt", requirements),)))
    assert [need.version for need in found] == ([version] if version else [])


def test_what_settings_base_and_lock_need() -> None:
    images = "[images]\nbase = 'nvidia/cuda:12.6.3-devel-ubuntu24.04'\ncuda = '13.0'\n"
    rig = a_rig(images + "[projects.a]\ncuda = '13.1'\n[projects.b]")
    files = (("pyproject/uv.lock", LOCK),)
    assert [(need.version, need.source) for need in needs(rig, rig.projects[0], ProjectInputs(files=files))] == [
        ("13.1", "[projects.a] cuda"),
        ("12.6", "[images] base nvidia/cuda:12.6.3-devel-ubuntu24.04"),
        ("12.8", "uv.lock: nvidia-cuda-runtime-cu12"),
        ("12.8", "uv.lock: torch"),
    ]
    assert needs(rig, rig.projects[1], ProjectInputs())[0].source == "[images] cuda"


def test_what_a_dockerfile_of_its_own_needs() -> None:
    text = "FROM --platform=linux/amd64 nvidia/cuda:12.8.1-devel AS a\nFROM pytorch/pytorch:2.9.0-cuda13.0-cudnn9\n"
    rig = a_rig("[images]\nbase = 'nvidia/cuda:11.8.0'\n[projects.demo]")
    inputs = ProjectInputs(dockerfile=OwnDockerfile(name="Dockerfile", text=text))
    assert [(need.version, need.source) for need in needs(rig, rig.projects[0], inputs)] == [
        ("12.8", "Dockerfile: FROM nvidia/cuda:12.8.1-devel"),
        ("13.0", "Dockerfile: FROM pytorch/pytorch:2.9.0-cuda13.0-cudnn9"),
    ]


def test_of_variants_in_a_lock_the_oldest_counts() -> None:
    rig = a_rig("[projects.demo]")
    lock = LOCK + LOCK.replace("12.8.90", "13.0.96").replace("cu128", "cu130").replace("-cu12", "")
    found = needs(rig, rig.projects[0], ProjectInputs(files=(("pyproject/uv.lock", lock),)))
    assert {need.version for need in found} == {"12.8"}


def check(text: str, driver: str, *only: str, files: dict[str, dict[str, str]] | None = None) -> None:
    rig = a_rig(text)
    given = {project.name: () if project.gpus == "none" else ("0",) for project in rig.projects}
    ensure_cuda(rig, a_host(rig, gpu=CDI, driver=driver, files=files), given, frozenset(only))


def test_a_driver_that_is_too_old_names_the_newest_that_works() -> None:
    files = {"demo": {"pyproject/uv.lock": LOCK.replace("12.8", "13.0").replace("cu128", "cu130")}}
    with pytest.raises(HostError) as refused:
        check("[projects.demo]\ncuda = 'none'", "550.54.14", files=files)
    assert (
        refused.value.what
        == "this machine's driver 550.54.14 cannot run the CUDA of some projects: the newest CUDA that works is 12.4"
    )
    assert refused.value.details == (
        "demo needs CUDA 13.0 (uv.lock: nvidia-cuda-runtime-cu12)",
        "demo needs CUDA 13.0 (uv.lock: torch)",
    )
    with pytest.raises(HostError, match=r"demo needs CUDA 13\.0 \(\[projects\.demo\] cuda\), which .* works is 12\.2"):
        check("[projects.demo]\ncuda = '13.0'", "535.183.01")
    check("[projects.demo]\ncuda = '13.0'\n[projects.b]", "535.183.01", "b")
    check("[projects.demo]\ncuda = '13.0'\ngpus = 'none'", "535.183.01")
    check("[projects.demo]\ncuda = '13.0'", "")
    check("[projects.demo]\ncuda = '13.0'", "580.65.06")


def test_auto_leaves_the_compiler_out_where_the_driver_cannot_run_its_programs() -> None:
    def args(driver: str) -> dict[str, str]:
        return dict(a_desire(gpu=CDI, driver=driver).image("project-demo").args)

    assert args("580.65.06")["CUDA"] == "13.0"
    assert args("")["CUDA"] == "13.0"
    assert args("550.54.14")["CUDA"] == "none"
    assert a_desire(gpu=CDI, driver="550.54.14").notes == (
        "no CUDA compiler in demo: the one in wheels starts at CUDA 13.0, and driver 550.54.14 runs CUDA up to 12.4",
    )
    assert a_desire(gpu=CDI, driver="580.65.06").notes == ()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("none", "none"),
        ("13.1", "13.1"),
        ("devel", "13.0"),
        ("devel-13.1", "13.1"),
        ("runtime", "runtime-13.0"),
        ("runtime-13.1", "runtime-13.1"),
    ],
)
def test_a_setting_is_spelled_out_for_the_image(setting: str, told: str) -> None:
    assert spelled_out(setting) == told
