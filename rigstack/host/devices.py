"""How containers get GPUs on this machine: CDI specifications first, the nvidia runtime second."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from rigstack.errors import ConfigError
from rigstack.host import nvidia
from rigstack.plan.host import Gpu

CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")  # the engine's defaults
RUNTIME_PROGRAMS = ("/usr/bin/nvidia-container-runtime", "/usr/local/bin/nvidia-container-runtime")
KIND = "nvidia.com/gpu"


def observe_gpu(mode: str) -> Gpu:
    """What [gpu] mode means here. Raises ConfigError when the mode asked for by name is not to be had.

    $RIGSTACK_CDI_DIR overrides the folders that are searched (the engine must know that folder as well).
    """
    if mode == "none":
        return Gpu(kind="none", why='[gpu] mode is "none"')
    nodes = cdi_nodes()
    if nodes and mode in ("auto", "cdi"):
        has_all = nodes.pop("all", None) is not None
        return Gpu(kind="cdi", devices=tuple(nodes), aliases=_aliases(nodes), stale=_stale(), has_all=has_all)
    runtime = any(os.path.exists(program) for program in RUNTIME_PROGRAMS)  # noqa: PTH110
    card = os.path.exists("/dev/nvidiactl")  # noqa: PTH110
    if runtime and (card or mode == "nvidia") and mode in ("auto", "nvidia"):
        return Gpu(kind="nvidia", devices=_card_indices(), aliases=_card_uuids())
    if mode != "auto":
        missing = f"no CDI specification of {KIND} in {' or '.join(CDI_FOLDERS)}" if mode == "cdi" else "no runtime"
        raise ConfigError(
            f'gpu.mode is "{mode}", but there is {missing} on this machine',
            remedy="sudo rigstack host setup",
        )
    if card:
        return Gpu(
            kind="none",
            why="there is a GPU, but no NVIDIA Container Toolkit: run `sudo rigstack host setup`",
        )
    return Gpu(kind="none", why="this machine has no NVIDIA driver")


def _stale(root: Path = Path("/")) -> str:
    """Why the specification that the engine uses no longer fits; without a loaded driver there is nothing to fit."""
    driver = nvidia.driver_version(root)
    if not driver:
        return ""
    nodes = nvidia.gpu_nodes(root)
    gpus = nvidia.NvidiaGpus(nodes=nodes, driver=driver, specs=nvidia.cdi_specs(root, nodes=nodes, driver=driver))
    return next((f"{spec.path}: {spec.stale}" for spec in gpus.effective_specs if spec.stale), "")


def cdi_nodes() -> dict[str, tuple[str, ...]]:
    """The NVIDIA devices in this machine's CDI specifications: name -> its device nodes.

    Source: the CDI specification, devices[].name and devices[].containerEdits.deviceNodes[].path.
    """
    # The later folder wins for a device that both name.
    folders = (os.environ["RIGSTACK_CDI_DIR"],) if "RIGSTACK_CDI_DIR" in os.environ else CDI_FOLDERS
    found: dict[str, tuple[str, ...]] = {}
    for folder in folders:
        try:
            files = sorted(os.listdir(folder))  # noqa: PTH208
        except OSError:
            continue
        for file in files:
            if file.endswith((".json", ".yaml", ".yml")):
                found.update(_devices_in(Path(folder) / file))
    return found


def _aliases(nodes: dict[str, tuple[str, ...]]) -> tuple[tuple[str, str], ...]:
    """(other name, canonical name) of devices with the very same nodes; an index is canonical before a UUID."""
    by_nodes: dict[tuple[str, ...], str] = {}
    for name in sorted(nodes, key=lambda name: name.startswith(("GPU-", "MIG-"))):
        if nodes[name]:
            by_nodes.setdefault(nodes[name], name)
    return tuple((name, by_nodes[its]) for name, its in nodes.items() if its and by_nodes[its] != name)


def _devices_in(path: Path) -> dict[str, tuple[str, ...]]:
    """The devices of one specification with their nodes, none when it is of another kind or broken.

    YAML is read by pattern: nvidia-ctk writes one `name:` and one `path:` a node for each device, and a YAML library
    would cost the no-change path more than everything else it does.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    if KIND not in text:
        return {}
    if path.suffix == ".json":
        try:
            spec = json.loads(text)
            if spec["kind"] != KIND:
                return {}
            return {str(device["name"]): _nodes(device) for device in spec["devices"]}
        except (ValueError, KeyError, TypeError):
            return {}
    body = re.search(r"^devices:\n((?:[ -].*\n?)*)", text, re.M)
    if body is None or not re.search(rf"^kind: *['\"]?{re.escape(KIND)}['\"]?\s*$", text, re.M):
        return {}
    indent = re.match(r" *", body.group(1))
    found = {}
    for device in re.split(rf"^{indent.group() if indent else ''}- ", body.group(1), flags=re.M):
        if name := re.search(r"^ *name: *['\"]?([^'\"\s]+)", device, re.M):
            paths = re.findall(r"^ *(?:- )?path: *['\"]?(/dev/[^'\"\s]+)", device, re.M)
            found[name.group(1)] = tuple(sorted(paths))
    return found


def _nodes(device: dict[str, Any]) -> tuple[str, ...]:
    edits = device.get("containerEdits") or {}
    return tuple(sorted(str(node["path"]) for node in edits.get("deviceNodes") or ()))


def _card_uuids() -> tuple[tuple[str, str], ...]:
    """(UUID, index) of each card, as the driver tells in files: nothing has to be started for it."""
    pairs = []
    for file in Path("/proc/driver/nvidia/gpus").glob("*/information"):
        try:
            told = dict(re.findall(r"^(GPU UUID|Device Minor):\s*(\S+)", file.read_text(errors="replace"), re.M))
            pairs.append((told["GPU UUID"], told["Device Minor"]))
        except (OSError, KeyError):
            continue
    return tuple(sorted(pairs))


def _card_indices() -> tuple[str, ...]:
    try:
        nodes = os.listdir("/dev")  # noqa: PTH208
    except OSError:
        return ()
    return tuple(sorted((n.removeprefix("nvidia") for n in nodes if re.fullmatch(r"nvidia\d+", n)), key=int))
