"""The ring of samples: what is written comes back, damage does not, and what people see of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import a_desire
from hypothesis import given, settings
from hypothesis import strategies as st

from rigstack.host.gpu_history import load_rings
from rigstack.plan.age import seconds_of
from rigstack.plan.gpu_history import INTERVAL, KEPT, RECORD, SLOTS, Sample, csv, document, plot, samples
from rigstack.plan.host import Gpu
from tests.nvml_stub import GIB, NvmlStub, a_gpu, build, gpus, uuid_of

SAMPLER = Path(__file__).parents[3] / "images/base/lib/rigstack-gpus"
NOW = 1_790_000_000


def ring(*records: tuple[int, int, int, int, int, int]) -> bytes:
    whole = bytearray(RECORD.size * SLOTS)
    for record in records:
        RECORD.pack_into(whole, record[0] // INTERVAL % SLOTS * RECORD.size, *record)
    return bytes(whole)


@pytest.mark.parametrize(("age", "seconds"), [("90s", 90), ("30m", 1800), ("1h", 3600), ("1d", 86400)])
def test_ages(age: str, seconds: int) -> None:
    assert seconds_of(age, most=KEPT) == seconds


@pytest.mark.parametrize("age", ["", "1", "h", "2d", "0m", "1.5h", "-1h", "1 week"])
def test_what_is_no_age(age: str) -> None:
    with pytest.raises(ValueError, match="an age such as"):
        seconds_of(age, most=KEPT)


def test_samples_come_back_in_order_and_damage_does_not() -> None:
    raw = ring(
        (NOW, 97, 70, 280, 20_000, 49_140),
        (NOW - 20, 255, 255, 65535, 100, 49_140),
        (NOW - 30, 5, 30, 20, 50_000, 49_140),  # more used than there is
        (NOW - 10, 8, 40, 30, 0, 0),  # memory not told
        (NOW - 7200, 50, 50, 50, 50, 49_140),  # too old
    )
    moved = RECORD.pack(NOW - 40, 1, 1, 1, 1, 2) + raw[RECORD.size :]  # in a slot of another time
    found = samples(moved + b"half", since=NOW - 3600, until=NOW)
    assert found == (
        Sample(time=NOW - 20, load=None, temperature=None, power=None, memory_used=100, memory_total=49_140),
        Sample(time=NOW - 10, load=8, temperature=40, power=30, memory_used=None, memory_total=None),
        Sample(time=NOW, load=97, temperature=70, power=280, memory_used=20_000, memory_total=49_140),
    )
    assert csv({"GPU-a": found}).splitlines()[1:] == [
        f"{NOW - 20},GPU-a,,100,49140,,",
        f"{NOW - 10},GPU-a,8,,,40,30",
        f"{NOW},GPU-a,97,20000,49140,70,280",
    ]
    shown = document({"GPU-a": found}, since=NOW - 3600, until=NOW)
    assert shown["interval"] == INTERVAL


@given(raw=st.binary(max_size=400))
@settings(max_examples=100)
def test_any_bytes_can_be_read(raw: bytes) -> None:
    plot({"x": samples(raw, since=0, until=2**32)}, since=0, until=2**32)


def test_the_plot() -> None:
    taken = [
        Sample(time=NOW + 10 * n, load=100 if n >= 30 else 0, temperature=50, power=9, memory_used=n, memory_total=60)
        for n in range(60)
        if n != 3
    ]
    name, load, memory = plot({"GPU-a": taken}, since=NOW, until=NOW + 600, width=60)
    assert name == "GPU GPU-a"
    assert load == f"  load   |   ·{' ' * 26}{'█' * 30}| mean 51%, most 100%"
    assert "▁" in memory and "▄" in memory and "most 98%" in memory
    assert plot({"GPU-a": []}, since=0, until=1)[1].endswith("| never told")


def test_one_service_watches_every_gpu_when_asked_and_takes_none() -> None:
    cdi = Gpu(kind="cdi", devices=("0", "1"))
    text = "[projects.a]\ngpus = ['0']\ngpu_sharing = 'exclusive'\n[projects.b]\ngpus = 'none'"
    asked = "[gpu]\nhistory = true\n" + text

    def keepers(text: str, gpu: Gpu) -> list[str]:
        desired = a_desire(text, gpu=gpu)
        kept = "state/gpu-history" in {folder.path for folder in desired.folders}
        names = [service.name for service in desired.services if "state/gpu-history" in service.folders]
        assert bool(names) == kept
        return names

    assert keepers(text, cdi) == []
    assert keepers(asked, cdi) == ["history"]
    assert keepers(asked, Gpu(kind="none")) == []
    desired = a_desire(asked, gpu=cdi)
    overlay = json.loads(next(file.text for file in desired.files if file.path == "state/compose.json"))
    service = overlay["services"]["history"]
    assert service["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] == ["nvidia.com/gpu=all"]
    assert not {"rigstack.gpus", "rigstack.gpu_sharing"} & set(service["labels"]), "who watches holds nothing"
    assert next(one for one in desired.services if one.name == "history").image == "base"
    runtime = a_desire(asked, gpu=Gpu(kind="nvidia", devices=("0", "1")))
    overlay = json.loads(next(file.text for file in runtime.files if file.path == "state/compose.json"))
    assert overlay["services"]["history"]["environment"] == {"NVIDIA_DRIVER_CAPABILITIES": "utility"}


def test_ring_files_are_read_without_trust(tmp_path: Path) -> None:
    folder = tmp_path / "state/gpu-history"
    assert load_rings(tmp_path) == {}
    folder.mkdir(parents=True)
    (folder / "GPU-aa-00.ring").write_bytes(b"x" * (RECORD.size * SLOTS + 99))
    (folder / "GPU-bb.ring").symlink_to("/etc/passwd")
    (folder / "evil.ring").write_bytes(b"x")
    os.mkfifo(folder / "GPU-cc.ring")
    assert {name: len(raw) for name, raw in load_rings(tmp_path).items()} == {"GPU-aa-00": RECORD.size * SLOTS}


def test_the_sampler_writes_what_is_read(tmp_path: Path) -> None:
    """The script of the images, with the interpreter of the tests: it has the same nvidia-ml-py."""
    text = SAMPLER.read_text()
    for name, value in (("INTERVAL", INTERVAL), ("SLOTS", SLOTS)):
        assert re.search(rf"^{name} = {value}$", text, re.M)
    assert f'RECORD = struct.Struct("{RECORD.format}")' in text
    stub = NvmlStub(build(tmp_path / "nvml"), tmp_path)
    silent = a_gpu(1, load=None, temperature=None, power=None)
    stub.set(gpus(1, load=40, used=9 * GIB) | silent | {"count": 2})
    folder = tmp_path / "state/gpu-history"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-I", str(SAMPLER), "--record", str(folder)]
    began = time.time()
    with subprocess.Popen(argv, env={**os.environ, **stub.env}) as sampler:
        rings = [folder / f"{uuid_of(index)}.ring" for index in (0, 1)]
        while not all(ring.exists() and ring.stat().st_size for ring in rings):
            assert sampler.poll() is None and time.time() < began + 20
            time.sleep(0.05)
        sampler.terminate()
    now = int(time.time())
    read = {name: samples(raw, since=int(began) - 1, until=now) for name, raw in load_rings(tmp_path).items()}
    first, second = read[uuid_of(0)][0], read[uuid_of(1)][0]
    assert (first.load, first.temperature, first.power, first.memory_used) == (40, 34, 21, 9 * 1024)
    assert (second.load, second.temperature, second.power, second.memory_total) == (None, None, None, 48 * 1024)
