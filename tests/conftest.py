"""Fixtures that bring real rigs up and always take them down."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live_rig import LiveRig

MakeRig = Callable[..., LiveRig]


@pytest.fixture(scope="session")
def no_made_up_gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps rigs away from the CDI devices that test_gpu_devices.py makes up, be it in another run on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        if not Path("/dev/nvidiactl").exists():
            patch.setenv("RIGSTACK_CDI_DIR", str(tmp_path_factory.mktemp("no-cdi")))
        yield


@pytest.fixture(scope="module")
def make_rig(tmp_path_factory: pytest.TempPathFactory, no_made_up_gpus: None) -> Iterator[MakeRig]:
    """Makes rigs with unique names; each is destroyed at the end of the module, whatever happened."""
    rigs: list[LiveRig] = []

    def make(*, projects: tuple[str, ...] = ("demo",)) -> LiveRig:
        folder = tmp_path_factory.mktemp("rig")
        folder.chmod(0o755)
        rig = LiveRig(folder, name=f"t{secrets.token_hex(3)}", projects=projects)
        rigs.append(rig)
        return rig

    yield make
    if os.environ.get("RIGSTACK_KEEP"):
        return
    for rig in rigs:
        rig.destroy()


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> LiveRig:
    """A rig with one project `demo`, brought up once for the module."""
    made = make_rig()
    made.up()
    made.pin_host_keys()
    return made


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where tests leave what a person would want to see of a failure."""
    folder = Path(__file__).parent / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder
