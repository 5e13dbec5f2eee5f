"""How containers get GPUs on this machine: CDI specifications first, the nvidia runtime second."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from rigstack.errors import ConfigError
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
    devices = cdi_devices()
    if devices and mode in ("auto", "cdi"):
        return Gpu(kind="cdi", devices=devices)
    runtime = any(os.path.exists(program) for program in RUNTIME_PROGRAMS)  # noqa: PTH110
    card = os.path.exists("/dev/nvidiactl")  # noqa: PTH110
    if runtime and (card or mode == "nvidia") and mode in ("auto", "nvidia"):
        return Gpu(kind="nvidia", devices=_card_indices())
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


def cdi_devices() -> tuple[str, ...]:
    """Names of the NVIDIA devices in this machine's CDI specifications, without "all" (CDI spec, devices[].name)."""
    folders = (os.environ["RIGSTACK_CDI_DIR"],) if "RIGSTACK_CDI_DIR" in os.environ else CDI_FOLDERS
    names: dict[str, None] = {}
    for folder in folders:
        try:
            files = sorted(os.listdir(folder))  # noqa: PTH208
        except OSError:
            continue
        for file in files:
            if file.endswith((".json", ".yaml", ".yml")):
                names.update(dict.fromkeys(_names_in(Path(folder) / file)))
    return tuple(name for name in names if name != "all")


def _names_in(path: Path) -> tuple[str, ...]:
    """The device names of one specification, () when it is of another kind or broken.

    YAML is read by pattern: nvidia-ctk writes one `name:` a device, and a YAML library would cost the
    no-change path more than everything else it does.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ()
    if KIND not in text:
        return ()
    if path.suffix == ".json":
        try:
            spec = json.loads(text)
            return tuple(str(device["name"]) for device in spec["devices"]) if spec["kind"] == KIND else ()
        except (ValueError, KeyError, TypeError):
            return ()
    body = re.search(r"^devices:\n((?:[ -].*\n?)*)", text, re.M)
    if body is None or not re.search(rf"^kind: *['\"]?{re.escape(KIND)}['\"]?\s*$", text, re.M):
        return ()
    return tuple(re.findall(r"^ *(?:- )? *name: *['\"]?([^'\"\s]+)", body.group(1), re.M))


def _card_indices() -> tuple[str, ...]:
    try:
        nodes = os.listdir("/dev")  # noqa: PTH208
    except OSError:
        return ()
    return tuple(sorted((n.removeprefix("nvidia") for n in nodes if re.fullmatch(r"nvidia\d+", n)), key=int))
