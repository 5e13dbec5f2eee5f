"""Whether a project's CUDA runs with this machine's driver, before anything is built. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rigstack.config.model import Project, Rig
from rigstack.errors import HostError
from rigstack.plan.host import Host, ProjectInputs
from rigstack.value import Value

# CUDA -> the first Linux driver made for it (each release's "GA" row), newest first.
# Source: docs.nvidia.com/cuda/cuda-toolkit-release-notes, table 3, "CUDA Toolkit and Corresponding Driver Versions", in
# the edition of 13.3. There was no CUDA 12.7.
DRIVERS: dict[tuple[int, int], tuple[int, ...]] = {
    (13, 3): (610, 43, 2),
    (13, 2): (595, 45, 4),
    (13, 1): (590, 44, 1),
    (13, 0): (580, 65, 6),
    (12, 9): (575, 51, 3),
    (12, 8): (570, 26),
    (12, 6): (560, 28, 3),
    (12, 5): (555, 42, 2),
    (12, 4): (550, 54, 14),
    (12, 3): (545, 23, 6),
    (12, 2): (535, 54, 3),
    (12, 1): (530, 30, 2),
    (12, 0): (525, 60, 13),
    (11, 8): (520, 61, 5),
}
# Major version -> the oldest Linux driver that runs any CUDA of it ("minor version compatibility": all but what is
# compiled at run time from newer PTX). Source: the same notes, table 2, ">= 580", ">= 525", ">= 450", made exact by the
# first drivers of CUDA 12.0 and by the footnote on 11.
MINIMUM: dict[int, tuple[int, ...]] = {13: (580,), 12: (525, 60, 13), 11: (450, 80, 2)}
AUTO = "13.0"  # the first whose compiler comes in wheels


class Need(Value):
    """A CUDA version that a project needs, and what says so: "requirements.txt: torch +cu128"."""

    version: str
    source: str


def newest_cuda(driver: str) -> str:
    """The newest CUDA that this driver was made for, "12.4"; "" when it is older than the table or not known."""
    has = _numbers(driver)
    return next((f"{major}.{minor}" for (major, minor), first in DRIVERS.items() if has and has >= first), "")


def runs(driver: str, cuda: str) -> bool:
    """Whether this driver runs programs of that CUDA; True where one of the two is not known."""
    has, wanted = _numbers(driver), _numbers(cuda)
    minimum = MINIMUM.get(wanted[0]) if wanted else None
    return not has or minimum is None or has >= minimum


def automatic_cuda(host: Host) -> str:
    """What cuda = "auto" means here: the compiler where a GPU and its driver can use what it makes, else "none"."""
    return AUTO if host.gpu.kind != "none" and runs(host.driver, AUTO) else "none"


def spelled_out(setting: str) -> str:
    """A setting as images/base/lib/install-cuda takes it: "none", "13.0" (all of it) or "runtime-13.0"."""
    return {"devel": AUTO, "runtime": f"runtime-{AUTO}"}.get(setting, setting.removeprefix("devel-"))


def needs(rig: Rig, project: Project, inputs: ProjectInputs) -> tuple[Need, ...]:
    """Every CUDA that the project names: its settings, its base image, its locked or pinned wheels."""
    found = []
    setting = project.cuda or rig.images.cuda
    if setting not in ("auto", "none"):
        version = spelled_out(setting).removeprefix("runtime-")
        found.append(Need(version=version, source=f"[{'projects.' + project.name if project.cuda else 'images'}] cuda"))
    if inputs.dockerfile is not None:
        # "nvidia/cuda:12.8.1-devel", "pytorch/pytorch:2.9.0-cuda12.8-cudnn9-devel"
        for image, version in re.findall(
            r"^FROM\s+(?:--\S+\s+)*(\S*cuda:?(\d+\.\d+)\S*)", inputs.dockerfile.text, re.M | re.I
        ):
            found.append(Need(version=version, source=f"{inputs.dockerfile.name}: FROM {image}"))
    elif base := re.search(r"\bcuda:(\d+\.\d+)", rig.images.base):
        found.append(Need(version=base.group(1), source=f"[images] base {rig.images.base}"))
    files = dict(inputs.files)
    found += _in_requirements(files.get("requirements.txt", ""))
    found += _in_lock(files.get("pyproject/uv.lock", ""))
    return tuple(found)


def _in_requirements(text: str) -> list[Need]:
    found = []
    for line in text.splitlines():
        line = line.partition(" #")[0].strip()
        if line.startswith("#"):
            continue
        version = ""
        if tagged := re.search(r"(?:^torch\w*\s*==[^;]*\+|/whl/(?:nightly/)?)cu(\d{2})(\d)\b", line):
            version = f"{tagged.group(1)}.{tagged.group(2)}"
        elif pinned := re.match(r"(?:nvidia-cuda-runtime(?:-cu\d+)?|cuda-toolkit)\b[^=<>]*==\s*(\d+\.\d+)", line):
            version = pinned.group(1)
        elif major := re.match(r"(?:nvidia-cuda-runtime-cu|cupy-cuda|jax\[cuda|jax-cuda)(1\d)", line):
            version = f"{major.group(1)}.0"
        if version:
            found.append(Need(version=version, source=f"requirements.txt: {line}"))
    return found


def _in_lock(text: str) -> list[Need]:
    """Of several locked variants (extras that exclude one another) the oldest counts: one cannot tell which is used."""
    if "nvidia-cuda-runtime" not in text and "+cu" not in text:
        return []
    names = (
        (r"nvidia-cuda-runtime(?:-cu\d+)?", r"(\d+)\.(\d+)"),
        (r"torch", r"[^\"+]*\+cu(\d{2})(\d)"),
    )
    found = []
    for name, version in names:
        told = re.findall(rf'^name = "({name})"\nversion = "{version}', text, re.M)
        if told:
            package, major, minor = min(told, key=lambda one: (int(one[1]), int(one[2])))
            found.append(Need(version=f"{int(major)}.{int(minor)}", source=f"uv.lock: {package}"))
    return found


def ensure_cuda(rig: Rig, host: Host, given: Mapping[str, tuple[str, ...]], only: frozenset[str]) -> None:
    """Raises HostError for a project whose CUDA this machine's driver cannot run. given: project -> its GPUs.

    only: the projects to look at; empty means all. Projects without a GPU and drivers of unknown version are left out.
    """
    if not host.driver:
        return
    lines = []
    for project in rig.projects:
        if (only and project.name not in only) or not given.get(project.name):
            continue
        for need in needs(rig, project, host.inputs[project.name]):
            if not runs(host.driver, need.version):
                lines.append(f"{project.name} needs CUDA {need.version} ({need.source})")
    if not lines:
        return
    newest = newest_cuda(host.driver)
    able = f"the newest CUDA that works is {newest}" if newest else "it is older than CUDA 11.8"
    what = f"{lines[0]}, which this machine's driver {host.driver} cannot run: {able}"
    if len(lines) > 1:
        what = f"this machine's driver {host.driver} cannot run the CUDA of some projects: {able}"
    raise HostError(
        what,
        details=tuple(lines) if len(lines) > 1 else (),
        cause="programs made for a newer CUDA find no GPU with an older driver",
        remedy=f"upgrade the driver, or choose wheels for CUDA {newest or 'that it runs'},"
        ' or set gpus = "none" to run on the CPU',
    )


def notes_on_cuda(rig: Rig, host: Host) -> tuple[str, ...]:
    """What a person should know though it is no error: the compiler that "auto" leaves out for an old driver."""
    if host.gpu.kind == "none" or runs(host.driver, AUTO):
        return ()
    automatic = [p.name for p in rig.projects if (p.cuda or rig.images.cuda) == "auto" and p.gpus not in ("none", 0)]
    if not automatic:
        return ()
    return (
        f"no CUDA compiler in {', '.join(automatic)}: the one in wheels starts at CUDA {AUTO}, and driver {host.driver}"
        f" runs CUDA up to {newest_cuda(host.driver) or '?'}",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
