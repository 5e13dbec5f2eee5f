"""What GPUs should reach by their datasheets, and `rigstack gpu check`'s figures held against it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rigstack.value import Value


class Datasheet(Value):
    """bandwidth: of its memory, GB/s (10^9). tflops: dense products of 16-bit matrices on tensor cores with 32-bit
    sums, 10^12 a second; None where NVIDIA publishes none. Datasheets that give "with sparsity" are halved.
    """

    bandwidth: float
    tflops: float | None = None


# By the driver's exact name: a laptop's chip, a "Ti" and a MIG instance begin with the name of another card.
DATASHEETS: dict[str, Datasheet] = {
    # NVIDIA Blackwell Architecture Technical Brief, HGX B200: 4.5 PFLOPS sparse. 7680 bits at 3996 MHz, as the driver
    # tells (github.com/pytorch/ao/pull/4002); NVIDIA rounds it to "up to 8 TB/s".
    "NVIDIA B200": Datasheet(bandwidth=7700, tflops=2250),
    # NVIDIA H200 Tensor Core GPU datasheet, SXM and NVL: 1979 and 1671 sparse.
    "NVIDIA H200": Datasheet(bandwidth=4800, tflops=989),
    "NVIDIA H200 NVL": Datasheet(bandwidth=4800, tflops=835),
    # NVIDIA H100 Tensor Core GPU datasheet, SXM, NVL, and (older edition) PCIe: 1979, 1671 and 1513 sparse.
    "NVIDIA H100 80GB HBM3": Datasheet(bandwidth=3350, tflops=989),
    "NVIDIA H100 NVL": Datasheet(bandwidth=3900, tflops=835),
    "NVIDIA H100 PCIe": Datasheet(bandwidth=2000, tflops=756),
    # NVIDIA A100 Tensor Core GPU datasheet: 312 dense; 40 GB: 1555 GB/s; 80 GB: 2039 (SXM), 1935 (PCIe).
    "NVIDIA A100-SXM4-80GB": Datasheet(bandwidth=2039, tflops=312),
    "NVIDIA A100 80GB PCIe": Datasheet(bandwidth=1935, tflops=312),
    "NVIDIA A100-SXM4-40GB": Datasheet(bandwidth=1555, tflops=312),
    "NVIDIA A100-PCIE-40GB": Datasheet(bandwidth=1555, tflops=312),
    # NVIDIA A30, A10 and (for AWS) A10G datasheets: 165, 125 and 70 dense.
    "NVIDIA A30": Datasheet(bandwidth=933, tflops=165),
    "NVIDIA A10": Datasheet(bandwidth=600, tflops=125),
    "NVIDIA A10G": Datasheet(bandwidth=600, tflops=70),
    # NVIDIA L40S, L40 and L4 datasheets: 362.05 and 181.05 dense, 242 sparse.
    "NVIDIA L40S": Datasheet(bandwidth=864, tflops=362),
    "NVIDIA L40": Datasheet(bandwidth=864, tflops=181),
    "NVIDIA L4": Datasheet(bandwidth=300, tflops=121),
    # NVIDIA V100 Tensor Core GPU datasheet.
    "Tesla V100-SXM2-16GB": Datasheet(bandwidth=900, tflops=125),
    "Tesla V100-SXM2-32GB": Datasheet(bandwidth=900, tflops=125),
    "Tesla V100-PCIE-16GB": Datasheet(bandwidth=900, tflops=112),
    "Tesla V100-PCIE-32GB": Datasheet(bandwidth=900, tflops=112),
    "Tesla V100S-PCIE-32GB": Datasheet(bandwidth=1134, tflops=130),
    # NVIDIA T4 product brief (PB-09256): 256 bits at 10 Gbit/s.
    "Tesla T4": Datasheet(bandwidth=320, tflops=65),
    # NVIDIA RTX Blackwell PRO GPU Architecture, appendix; the other editions run at lower clocks.
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": Datasheet(bandwidth=1792, tflops=503.8),
    "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition": Datasheet(bandwidth=1792),
    # NVIDIA Ada GPU Architecture, appendix A; NVIDIA Ampere GA102 GPU Architecture, appendix A and B.
    "NVIDIA RTX 6000 Ada Generation": Datasheet(bandwidth=960, tflops=364.2),
    "NVIDIA RTX A6000": Datasheet(bandwidth=768, tflops=154.8),
    # "Peak FP16 Tensor TFLOPS with FP32 Accumulate" in NVIDIA RTX Blackwell GPU Architecture (appendix A), Ada, GA102.
    "NVIDIA GeForce RTX 5090": Datasheet(bandwidth=1792, tflops=209.5),
    "NVIDIA GeForce RTX 4090": Datasheet(bandwidth=1008, tflops=165.2),
    "NVIDIA GeForce RTX 3090": Datasheet(bandwidth=936, tflops=71),
    # NVIDIA DGX Spark datasheet; it gives FP4 only.
    "NVIDIA GB10": Datasheet(bandwidth=273),
}
LOW = 0.5  # below this share of the datasheet something is wrong: shared with others, too hot, a wrong slot


def datasheet(name: str) -> Datasheet | None:
    """The datasheet of the card that the driver calls `name`, or None for one that is not in the table."""
    return DATASHEETS.get(name)


def assess_check(found: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of programs/gpu-check.py with each figure's share of the datasheet, and what is wrong in words."""
    devices = list(found.get("devices") or ())
    checks, problems = [], []
    for check in found.get("checks") or ():
        number = check.get("gpu", 0)
        sheet = datasheet(str(devices[number]["name"])) if number < len(devices) else None
        name = _name(check, devices)
        figures = {}
        for key, unit, nominal in (
            ("bandwidth", "GB/s", sheet.bandwidth if sheet else None),
            ("tflops", "TFLOP/s", sheet.tflops if sheet else None),
        ):
            value = check.get(key)
            if value is None:
                continue
            share = round(value / nominal, 3) if nominal else None
            figures[key] = {"value": round(value, 1), "datasheet": nominal, "share": share}
            if share is not None and share < LOW:
                problems.append(f"{name}: {value:.0f} {unit} is {share:.0%} of the datasheet's {nominal:g}")
        state = str(check.get("state", "failed"))
        if state == "failed":
            problems.append(f"{name}: {check.get('words', '')}")
        if check.get("gpus", len(devices)) != len(devices):
            problems.append(f"{name} sees {check['gpus']} of {len(devices)} GPUs")
        checks.append(
            {
                "name": check["name"],
                "gpu": check.get("gpu"),
                "state": state,
                "words": str(check.get("words", "")),
                "version": str(check.get("version", "")),
                "dtype": str(check.get("dtype", "")),
                **figures,
            }
        )
    if devices and not any("tflops" in check for check in checks):
        problems.append("no matrix product was measured: no torch, jax or cupy works in this project")
    return {"devices": devices, "checks": checks, "problems": problems}


def _name(check: Mapping[str, Any], devices: Sequence[object]) -> str:
    """ "torch", or "driver, GPU 1" of several."""
    several = len(devices) > 1 and check.get("gpu") is not None
    return f"{check['name']}, GPU {check['gpu']}" if several else str(check["name"])


def check_rows(document: Mapping[str, Any]) -> list[list[str]]:
    """A row for each check: its name, how it went, its figure, and the share of the datasheet."""
    rows = []
    for check in document["checks"]:
        bandwidth, product = check.get("bandwidth"), check.get("tflops")
        what = f"{_name(check, document['devices'])} {check['version']}".strip()
        if bandwidth:
            rows.append([what, check["state"], f"{bandwidth['value']:g} GB/s memory", _share(bandwidth, "GB/s")])
        elif product:
            figure = f"{product['value']:g} TFLOP/s {check['dtype']} matmul"
            rows.append([what, check["state"], figure, _share(product, "TFLOP/s")])
        else:
            rows.append([what, check["state"], check["words"], ""])
    return rows


def _share(figure: Mapping[str, Any], unit: str) -> str:
    if figure["share"] is None:
        return "no datasheet for this card"
    return f"{figure['share']:.0%} of {figure['datasheet']:g} {unit}"
