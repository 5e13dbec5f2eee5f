"""GPUs that rig.toml names and the machine lacks are refused before anything is done."""

from __future__ import annotations

import pytest
from builders import a_host, a_rig

from rigstack.errors import HostError
from rigstack.plan.gpus import check_gpus
from rigstack.plan.host import Gpu

CDI = Gpu(kind="cdi", devices=("0", "1", "GPU-aa", "GPU-bb"))
RUNTIME = Gpu(kind="nvidia", devices=("0", "1"))


def check(gpus: str, gpu: Gpu, *only: str) -> None:
    rig = a_rig(f"[projects.demo]\ngpus = {gpus}\n[projects.cifar]\n")
    check_gpus(rig, a_host(rig, gpu=gpu), frozenset(only))


@pytest.mark.parametrize("gpus", ['"all"', '"none"', "0", "2", '["1"]', '["0", "1"]', '["GPU-bb"]'])
@pytest.mark.parametrize("gpu", [CDI, RUNTIME, Gpu(kind="none", why="no driver")])
def test_what_is_there_may_be_asked_for(gpus: str, gpu: Gpu) -> None:
    check(gpus, gpu)


@pytest.mark.parametrize(
    ("gpus", "gpu", "absent"),
    [('["0", "7"]', CDI, "7"), ('["GPU-cc"]', CDI, "GPU-cc"), ('["2", "3"]', RUNTIME, "2, 3")],
)
def test_what_is_not_there_is_named(gpus: str, gpu: Gpu, absent: str) -> None:
    with pytest.raises(HostError) as refused:
        check(gpus, gpu)
    assert refused.value.what == f"demo asks for GPU {absent}, which this machine does not have"
    assert refused.value.cause == f"it has: {', '.join(gpu.devices)}"


def test_projects_that_are_left_alone_are_not_checked() -> None:
    check('["7"]', CDI, "cifar")


def test_a_uuid_is_left_to_the_runtime() -> None:
    check('["GPU-cc"]', RUNTIME)


def test_without_any_gpu_everything_runs_on_the_cpu() -> None:
    check('["7"]', Gpu(kind="none", why="no driver"))
