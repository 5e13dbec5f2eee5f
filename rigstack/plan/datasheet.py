"""What GPUs should reach by their datasheets, and `rigstack gpu check`'s figures held against it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rigstack.value import Value


class Datasheet(Value):
    """bandwidth: of its memory, GB/s. tflops: dense products of 16-bit matrices on tensor cores, 32-bit sums."""

    bandwidth: float
    tflops: float


# The driver's name for the card begins like this; the first that fits counts. "Sparse" figures are halved.
# Source: NVIDIA's datasheet of each card; for GeForce the architecture white papers, appendix A.
DATASHEETS: dict[str, Datasheet] = {
    "NVIDIA H200": Datasheet(bandwidth=4800, tflops=989),
    "NVIDIA H100 NVL": Datasheet(bandwidth=3900, tflops=835),
    "NVIDIA H100 PCIe": Datasheet(bandwidth=2000, tflops=756),
    "NVIDIA H100 80GB HBM3": Datasheet(bandwidth=3350, tflops=989),
    "NVIDIA A100-SXM4-80GB": Datasheet(bandwidth=2039, tflops=312),
    "NVIDIA A100 80GB PCIe": Datasheet(bandwidth=1935, tflops=312),
    "NVIDIA A100-SXM4-40GB": Datasheet(bandwidth=1555, tflops=312),
    "NVIDIA A100-PCIE-40GB": Datasheet(bandwidth=1555, tflops=312),
    "NVIDIA A30": Datasheet(bandwidth=933, tflops=165),
    "NVIDIA A10G": Datasheet(bandwidth=600, tflops=70),
    "NVIDIA A10": Datasheet(bandwidth=600, tflops=125),
    "NVIDIA L40S": Datasheet(bandwidth=864, tflops=362),
    "NVIDIA L40": Datasheet(bandwidth=864, tflops=181),
    "NVIDIA L4": Datasheet(bandwidth=300, tflops=121),
    "Tesla V100-SXM2": Datasheet(bandwidth=900, tflops=125),
    "Tesla T4": Datasheet(bandwidth=320, tflops=65),
    "NVIDIA RTX 6000 Ada": Datasheet(bandwidth=960, tflops=364),
    "NVIDIA RTX A6000": Datasheet(bandwidth=768, tflops=155),
    "NVIDIA GeForce RTX 5090": Datasheet(bandwidth=1792, tflops=209.5),
    "NVIDIA GeForce RTX 4090": Datasheet(bandwidth=1008, tflops=165.2),
    "NVIDIA GeForce RTX 3090": Datasheet(bandwidth=936, tflops=71),
}
LOW = 0.5  # below this share of the datasheet something is wrong: shared with others, too hot, a wrong slot


def datasheet(name: str) -> Datasheet | None:
    """The datasheet of the card that the driver calls `name`, or None for one that is not in the table."""
    return next((sheet for start, sheet in DATASHEETS.items() if name.startswith(start)), None)


def assess_check(found: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of programs/gpu-check.py with each figure's share of the datasheet, and what is wrong in words."""
    devices = list(found.get("devices") or ())
    name = str(devices[0]["name"]) if devices else ""
    sheet = datasheet(name)
    checks, problems = [], []
    for check in found.get("checks") or ():
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
                problems.append(f"{check['name']}: {value:.0f} {unit} is {share:.0%} of the datasheet's {nominal:g}")
        state = str(check.get("state", "failed"))
        if state == "failed":
            problems.append(f"{check['name']}: {check.get('words', '')}")
        checks.append(
            {
                "name": check["name"],
                "state": state,
                "words": str(check.get("words", "")),
                "version": str(check.get("version", "")),
                "dtype": str(check.get("dtype", "")),
                **figures,
            }
        )
    return {"devices": devices, "checks": checks, "problems": problems}


def check_rows(document: Mapping[str, Any]) -> list[list[str]]:
    """A row for each check: its name, how it went, its figure, and the share of the datasheet."""
    rows = []
    for check in document["checks"]:
        bandwidth, product = check.get("bandwidth"), check.get("tflops")
        what = f"{check['name']} {check['version']}".strip()
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
