"""The overlay and its variables: all that compose is told, as text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from builders import a_host, a_rig
from golden import assert_golden

from rigstack.config.model import Rig
from rigstack.plan.desired import Desired, desire
from rigstack.plan.host import Gpu

FULL = """\
[rig]
name = "box"
hostname = "rig.example.net"
[access]
bind = "192.168.1.10"
https_port = 8443
[ddns]
provider = "dyndns2"
server = "dyn.example.net"
[gpu]
history = true
[projects.cifar]
gpus = ["0", "GPU-aa11"]
memory = "16g"
shm = "1g"
memlock = "1.5g"
pids = 1024
ssh_port = 22301
env = { WANDB_MODE = "offline", COST = "5$ ${HOME} $$" }
[projects.plain]
gpus = "none"
"""


def text_of(desired: Desired, path: str) -> str:
    """The generated file with tags and hashes replaced by what they are of."""
    text = next(file.text for file in desired.files if file.path == path)
    for image in desired.images:
        text = text.replace(image.tag, f"tag of {image.name}")
    for service in desired.services:
        text = text.replace(f'"{service.hash}"', f'"hash of {service.name}"')
    return text


def desired_of(text: str, *, directory: str = "/rig", gpu: Gpu | None = None, ca_bundle: str = "") -> Desired:
    rig: Rig = a_rig(text, directory=directory)
    return desire(rig, a_host(rig, gpu=gpu, ca_bundle=ca_bundle))


def overlay(text: str, **given: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text_of(desired_of(text, **given), "state/compose.json"))
    return parsed


def test_the_overlay_of_a_full_rig() -> None:
    desired = desired_of(FULL, gpu=Gpu(kind="cdi", devices=("0", "1")), ca_bundle="/etc/ssl/ca.crt")
    assert_golden("compose.json", text_of(desired, "state/compose.json"))
    assert_golden("compose.env", text_of(desired, "state/compose.env"))


def test_the_overlay_of_a_rig_without_projects() -> None:
    assert overlay("")["networks"] == {}
    assert list(overlay("")["services"]) == ["edge", "gateway"]


CDI = Gpu(kind="cdi", devices=("0", "1", "2", "GPU-aa00", "GPU-aa11", "GPU-aa22"))  # nvidia-ctk names each card twice
UUIDS = Gpu(kind="cdi", devices=("GPU-aa00", "GPU-aa11"))
NVIDIA = Gpu(kind="nvidia", devices=("0", "1", "2"))


@pytest.mark.parametrize(
    ("gpu", "gpus", "device"),
    [
        (CDI, '"all"', {"driver": "cdi", "device_ids": ["nvidia.com/gpu=all"]}),
        (CDI, "2", {"driver": "cdi", "device_ids": ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]}),
        (CDI, '[2, "0:1"]', {"driver": "cdi", "device_ids": ["nvidia.com/gpu=2", "nvidia.com/gpu=0:1"]}),
        (CDI, "5", {"driver": "cdi", "device_ids": [f"nvidia.com/gpu={n}" for n in range(3)]}),
        (UUIDS, "1", {"driver": "cdi", "device_ids": ["nvidia.com/gpu=GPU-aa00"]}),
        (CDI, '"none"', None),
        (CDI, "0", None),
        (NVIDIA, '"all"', {"driver": "nvidia", "count": "all"}),
        (NVIDIA, "1", {"driver": "nvidia", "device_ids": ["0"]}),
        (NVIDIA, '["GPU-aa11"]', {"driver": "nvidia", "device_ids": ["GPU-aa11"]}),
        (NVIDIA, '"none"', None),
        (Gpu(kind="none"), '"all"', None),
        (Gpu(kind="none"), "[0]", None),
    ],
)
def test_gpu_requests(gpu: Gpu, gpus: str, device: dict[str, object] | None) -> None:
    services = overlay(f"[projects.demo]\ngpus = {gpus}", gpu=gpu)["services"]
    for name in ("demo-workspace", "demo-notebook"):
        if device is None:
            assert "deploy" not in services[name]
        else:
            devices = services[name]["deploy"]["resources"]["reservations"]["devices"]
            assert devices == [{**device, "capabilities": ["gpu"]}]
        wanted = device is not None and gpu.kind == "nvidia"
        assert ("NVIDIA_DRIVER_CAPABILITIES" in services[name]["environment"]) == wanted


def test_values_with_a_dollar_are_not_interpolated() -> None:
    folder = "/home/a$b/${HOME}'s rig"
    desired = desired_of('[projects.demo]\nenv = { A = "$HOME ${X:-y} $$" }', directory=folder, ca_bundle="/c$a.crt")
    services = json.loads(text_of(desired, "state/compose.json"))["services"]
    workspace = services["demo-workspace"]
    assert workspace["environment"]["A"] == "$$HOME $${X:-y} $$$$"
    doubled = "/home/a$$b/$${HOME}'s rig"
    assert workspace["volumes"][0]["source"] == f"{doubled}/code/demo"
    assert workspace["volumes"][-1]["source"] == "/c$$a.crt"
    assert {service["labels"]["rigstack.directory"] for service in services.values()} == {doubled}
    assert "RIGSTACK_DIR='/home/a$b/${HOME}\\'s rig'\n" in text_of(desired, "state/compose.env")


@pytest.mark.parametrize(
    ("bind", "ipv6", "prefix"),
    [
        ("", True, ""),
        ("", False, "0.0.0.0:"),
        ("127.0.0.1", True, "127.0.0.1:"),
        ("::1", True, "[::1]:"),
    ],
)
def test_the_address_to_bind(bind: str, ipv6: bool, prefix: str) -> None:
    rig = a_rig(f"[access]\nbind = '{bind}'\n[projects.demo]\nssh_port = 2201")
    desired = desire(rig, a_host(rig).replace(ipv6=ipv6))
    assert f"RIGSTACK_BIND='{prefix}'\n" in text_of(desired, "state/compose.env")
    ports = json.loads(text_of(desired, "state/compose.json"))["services"]["demo-workspace"]["ports"]
    assert ports == [f"{prefix}2201:22"]


def test_only_the_workspace_publishes_a_port_and_only_when_asked() -> None:
    services = overlay("[projects.a]\nssh_port = 2201\n[projects.b]\nports = [6006]")["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["a-workspace"]


def test_an_edge_that_asks_an_authority_has_a_way_out_and_no_other() -> None:
    for tls, network in (("", "gate"), ('mode = "acme"', "front"), ('mode = "internal"', "gate")):
        desired = desired_of(f"[rig]\nhostname = 'rig.example.net'\n[tls]\n{tls}\n[projects.a]")
        expected = "front" if not tls else network  # "auto" with a public name asks, too
        assert f"RIGSTACK_EDGE_NETWORK='{expected}'\n" in text_of(desired, "state/compose.env")
        assert set(json.loads(text_of(desired, "state/compose.json"))["services"]["edge"]["networks"]) == {
            expected,
            "p-a",
        }


@pytest.mark.parametrize("ipv6", [True, False])
def test_a_port_of_its_own_keeps_ipv6_clients_addresses_where_there_is_ipv6(ipv6: bool) -> None:
    rig = a_rig("[projects.a]\nssh_port = 2201\n[projects.b]", directory="/rig")
    desired = desire(rig, a_host(rig).replace(ipv6=ipv6))
    document = json.loads(text_of(desired, "state/compose.json"))
    assert document["networks"] == {"p-a": {}, "p-b": {}, **({"s-a": {"enable_ipv6": True}} if ipv6 else {})}
    found = {name: set(service["networks"]) for name, service in document["services"].items()}
    assert found["a-workspace"] == {"p-a", "s-a"} if ipv6 else {"p-a"}
    assert found["a-notebook"] == {"p-a"}


def test_projects_do_not_share_a_network() -> None:
    services = overlay("[projects.a]\n[projects.b]")["services"]
    networks = {name: set(service["networks"]) for name, service in services.items()}
    assert networks["edge"] == {"gate", "p-a", "p-b"}
    assert networks["gateway"] == {"gate", "p-a", "p-b"}
    assert networks["a-workspace"] == networks["a-notebook"] == {"p-a"}
    assert networks["b-workspace"] == networks["b-notebook"] == {"p-b"}
