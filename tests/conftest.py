"""Fixtures that bring real rigs up and always take them down."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rigstack.host.devices import CDI_FOLDERS
from tests.live_rig import LiveRig
from tests.own_engine import OwnEngine, engine_of_its_own

MakeRig = Callable[..., LiveRig]

# The longest files of live tests go first where files run side by side: at the end no process waits for another.
LONG = (
    "test_tls",
    "test_laptop_work",
    "test_kill",
    "test_gpu_devices",
    "test_host_setup",
    "test_ddns_rules",
    "test_laptop_sync",
    "test_story",
    "test_up",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        if "unit" in item.path.parts:
            return len(LONG) + 1
        return LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG)

    if hasattr(config, "workerinput"):  # one of the processes of pytest -n
        items.sort(key=place)


@pytest.fixture(scope="session")
def no_made_up_gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps rigs away from the CDI devices that test_gpu_devices.py makes up, be it in another run on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        if not Path("/dev/nvidiactl").exists():
            patch.setenv("RIGSTACK_CDI_DIR", str(tmp_path_factory.mktemp("no-cdi")))
        yield


def new_rig(tmp_path_factory: pytest.TempPathFactory, projects: tuple[str, ...]) -> LiveRig:
    folder = tmp_path_factory.mktemp("rig")
    folder.chmod(0o755)
    return LiveRig(folder, name=f"t{secrets.token_hex(3)}", projects=projects)


@pytest.fixture(scope="session")
def base_images(tmp_path_factory: pytest.TempPathFactory, no_made_up_gpus: None) -> None:
    """Where the base image is not there, or another than today's, the first rig is brought up alone: processes side by
    side would all make it."""
    with open(tmp_path_factory.getbasetemp().parent / "base-images.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        first = new_rig(tmp_path_factory, ("demo",))
        if "rigstack/base:" in first.run("up", "--dry-run").stdout:
            try:
                first.up()
            finally:
                first.destroy()


@pytest.fixture(scope="module")
def make_rig(tmp_path_factory: pytest.TempPathFactory, base_images: None) -> Iterator[MakeRig]:
    """Makes rigs with unique names; each is destroyed at the end of the module, whatever happened."""
    rigs: list[LiveRig] = []

    def make(*, projects: tuple[str, ...] = ("demo",)) -> LiveRig:
        rig = new_rig(tmp_path_factory, projects)
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


@pytest.fixture
def own_engine() -> Iterator[OwnEngine]:
    """A dockerd that the test may set, kill and start; it is not started yet."""
    with engine_of_its_own() as engine:
        yield engine


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where tests leave what a person would want to see of a failure."""
    folder = Path(__file__).parent / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def cdi_folder() -> Iterator[Path]:
    """Where the engine looks for CDI devices, for one file of tests on this machine at a time; made if need be."""
    if os.geteuid() != 0:
        pytest.skip("needs root to write a CDI specification")
    folder = Path(CDI_FOLDERS[0])
    with open("/tmp/rigstack-tests-cdi.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        there = folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield folder
        finally:
            if not there and not any(folder.iterdir()):
                folder.rmdir()
