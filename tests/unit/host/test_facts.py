"""What is asked of this machine: GPUs by CDI or runtime, the owner of code/, certificates, the DDNS password."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from builders import DEMO, a_rig

from rigstack.errors import ConfigError, HostError
from rigstack.host import devices, facts
from rigstack.host.devices import cdi_nodes, observe_gpu
from rigstack.host.facts import code_owner, observe_host, person
from rigstack.secret import Secret

# As `nvidia-ctk cdi generate` 1.17 writes it, shortened.
NVIDIA_CTK = """\
---
cdiVersion: 0.5.0
containerEdits:
  deviceNodes:
  - path: /dev/nvidia-modeset
  - path: /dev/nvidiactl
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  hooks:
  - args:
    - nvidia-cdi-hook
    - create-symlinks
    hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
  mounts:
  - containerPath: /usr/bin/nvidia-smi
    hostPath: /usr/bin/nvidia-smi
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: "0"
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia1
  name: "1"
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: GPU-8a56c0ff-61b5-44a4-a1c6-0d2b0f1d0a01
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
    - path: /dev/nvidia1
  name: all
kind: nvidia.com/gpu
"""

BY_HAND = """\
cdiVersion: "0.6.0"
kind: "nvidia.com/gpu"
devices:
  - name: "0"
    containerEdits:
      env: ["A=b"]
  - name: '1'
    containerEdits: {}
"""


@pytest.fixture
def cdi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cdi"
    folder.mkdir()
    monkeypatch.setenv("RIGSTACK_CDI_DIR", str(folder))
    return folder


def a_json(kind: str, *names: str) -> str:
    return json.dumps({"cdiVersion": "0.6.0", "kind": kind, "devices": [{"name": name} for name in names]})


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        ("nvidia.yaml", NVIDIA_CTK, ("0", "1", "GPU-8a56c0ff-61b5-44a4-a1c6-0d2b0f1d0a01", "all")),
        ("nvidia.yml", BY_HAND, ("0", "1")),
        ("nvidia.json", a_json("nvidia.com/gpu", "0", "all"), ("0", "all")),
        ("nvidia.txt", NVIDIA_CTK, ()),
        ("other.json", a_json("vendor.example/nvidia.com/gpu", "0"), ()),
        ("other.yaml", NVIDIA_CTK.replace("kind: nvidia.com/gpu", "kind: amd.com/gpu"), ()),
        ("mention.yaml", NVIDIA_CTK.replace("kind: nvidia", "kind: amd.com/gpu # like nvidia"), ()),
        ("broken.json", '{"kind": "nvidia.com/gpu", "devices": [', ()),
        ("odd.json", '{"kind": "nvidia.com/gpu", "devices": {"name": 1}}', ()),
        ("list.json", '["nvidia.com/gpu"]', ()),
        ("broken.yaml", "kind: nvidia.com/gpu\ndevices", ()),
        ("empty.yaml", "", ()),
    ],
)
def test_cdi_specifications(cdi: Path, file: str, text: str, names: tuple[str, ...]) -> None:
    (cdi / file).write_text(text)
    assert tuple(cdi_nodes()) == names


def test_several_specifications_name_each_device_once(cdi: Path) -> None:
    (cdi / "a.json").write_text(a_json("nvidia.com/gpu", "1", "0"))
    (cdi / "b.yaml").write_text(NVIDIA_CTK)
    (cdi / "c.yaml").write_bytes(b"\xff")
    assert tuple(cdi_nodes()) == ("1", "0", "GPU-8a56c0ff-61b5-44a4-a1c6-0d2b0f1d0a01", "all")


def test_a_card_is_one_card_under_all_its_names(cdi: Path) -> None:
    (cdi / "nvidia.yaml").write_text(NVIDIA_CTK)
    gpu = observe_gpu("auto")
    assert gpu.aliases == (("GPU-8a56c0ff-61b5-44a4-a1c6-0d2b0f1d0a01", "0"),)
    assert gpu.cards == ("0", "1")
    uuid = {"name": "MIG-ab", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}, {"path": "/dev/cap1"}]}}
    index = {"name": "0:0", "containerEdits": {"deviceNodes": [{"path": "/dev/cap1"}, {"path": "/dev/nvidia0"}]}}
    spec = {"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [uuid, index, {"name": "GPU-cd"}]}
    (cdi / "nvidia.yaml").unlink()
    (cdi / "nvidia.json").write_text(json.dumps(spec))
    assert observe_gpu("auto").canonical("MIG-ab") == "0:0"
    assert observe_gpu("auto").canonical("GPU-cd") == "GPU-cd"


def test_a_device_called_all_may_be_missing_or_alone(cdi: Path) -> None:
    (cdi / "nvidia.yaml").write_text(NVIDIA_CTK)
    assert observe_gpu("auto").every == ("all",)
    assert "all" not in observe_gpu("auto").devices
    (cdi / "nvidia.yaml").write_text(BY_HAND)
    assert observe_gpu("auto").every == ("0", "1")
    (cdi / "nvidia.yaml").unlink()
    (cdi / "wsl.json").write_text(a_json("nvidia.com/gpu", "all"))  # what nvidia-ctk writes in WSL
    alone = observe_gpu("auto")
    assert (alone.kind, alone.devices, alone.cards, alone.every) == ("cdi", (), ("all",), ("all",))


def test_gpu_modes_with_cdi(cdi: Path) -> None:
    (cdi / "nvidia.yaml").write_text(BY_HAND)
    for mode in ("auto", "cdi"):
        assert (observe_gpu(mode).kind, observe_gpu(mode).devices) == ("cdi", ("0", "1"))
    assert observe_gpu("none").kind == "none"
    assert "[gpu] mode" in observe_gpu("none").why


def test_gpu_modes_without_anything(cdi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "RUNTIME_PROGRAMS", (str(tmp_path / "none"),))
    assert observe_gpu("auto").kind == "none"
    assert observe_gpu("auto").why
    for mode in ("cdi", "nvidia"):
        with pytest.raises(ConfigError, match=f'gpu.mode is "{mode}", but') as raised:
            observe_gpu(mode)
        assert "host setup" in raised.value.remedy


def test_the_nvidia_runtime(cdi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-container-runtime"
    program.write_text("")
    monkeypatch.setattr(devices, "RUNTIME_PROGRAMS", (str(program),))
    assert observe_gpu("nvidia").kind == "nvidia"


def test_code_that_belongs_to_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").symlink_to("/usr")
    with pytest.raises(HostError, match="belongs to root") as raised:
        code_owner(tmp_path)
    assert raised.value.remedy.startswith("chown -R ")
    assert "chown -R 0:" not in raised.value.remedy


def test_the_owner_of_code(tmp_path: Path) -> None:
    assert code_owner(tmp_path) == person()
    (tmp_path / "code").mkdir()
    if os.geteuid() == 0:
        os.chown(tmp_path / "code", 1234, 2345)
        assert code_owner(tmp_path) == (1234, 2345)
    else:
        assert code_owner(tmp_path) == (os.geteuid(), (tmp_path / "code").stat().st_gid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a person behind it")
@pytest.mark.parametrize(
    ("uid", "gid", "expected"),
    [
        ("1001", "1002", (1001, 1002)),
        ("1001", None, (1001, 1001)),
        ("0", "0", (1000, 1000)),
        ("x", "y", (1000, 1000)),
        (None, None, (1000, 1000)),
    ],
)
def test_the_person_behind_sudo(
    monkeypatch: pytest.MonkeyPatch, uid: str | None, gid: str | None, expected: tuple[int, int]
) -> None:
    for name, value in (("SUDO_UID", uid), ("SUDO_GID", gid)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert person() == expected


def test_a_host_is_observed(tmp_path: Path, cdi: Path) -> None:
    (tmp_path / "code/demo").mkdir(parents=True)
    (tmp_path / "code/demo/requirements.txt").write_text("numpy\n")
    for folder in ("code", "code/demo"):
        if os.geteuid() == 0:
            os.chown(tmp_path / folder, 1000, 1000)
    (tmp_path / "ca.pem").write_text("")
    rig = a_rig("[images]\nca_bundle = 'ca.pem'\n" + DEMO, directory=str(tmp_path))
    host = observe_host(rig)
    assert host.inputs["demo"].files == (("requirements.txt", "numpy\n"),)
    assert host.ca_bundle == str(tmp_path / "ca.pem")
    assert set(host.image_sources) >= {"base", "project", "gateway", "edge", "ddns"}
    assert host.host_keys == {"gateway": "", "demo": ""}
    assert host.machine == host.machine.lower()
    assert host == observe_host(rig)


def test_files_that_rig_toml_names_must_be_there(tmp_path: Path) -> None:
    rig = a_rig("[images]\nca_bundle = 'ca.pem'\n", directory=str(tmp_path))
    with pytest.raises(ConfigError, match=r"images\.ca_bundle: there is no file .*/ca\.pem"):
        observe_host(rig)
    ddns = "[ddns]\nprovider = 'dyndns2'\nserver = 'd.example.net'\nhostname = 'rig.example.net'\n"
    rig = a_rig(ddns, directory=str(tmp_path))
    with pytest.raises(ConfigError, match=r"ddns\.password_file: cannot read .*/secrets/ddns-password"):
        observe_host(rig)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/ddns-password").write_text(" hunter 2 \n")
    assert observe_host(rig).ddns_password.reveal() == " hunter 2 "


def test_a_certificate_that_does_not_work_is_refused_before_it_is_copied(tmp_path: Path, cdi: Path) -> None:
    for name in ("one", "other"):
        words = (
            f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x -keyout {name}.key"
        )
        subprocess.run(
            ["openssl", *words.split(), "-out", f"{name}.crt"], cwd=tmp_path, check=True, capture_output=True
        )
    (tmp_path / "code").mkdir()
    if os.geteuid() == 0:
        os.chown(tmp_path / "code", 1000, 1000)

    def observed(certificate: str, key: str) -> dict[str, Secret]:
        text = f"[tls]\nmode = 'files'\ncertificate = '{certificate}'\nkey = '{key}'\n"
        return dict(observe_host(a_rig(text, directory=str(tmp_path))).tls)

    assert set(observed("one.crt", "one.key")) == {"certificate.pem", "key.pem"}
    with pytest.raises(ConfigError, match="do not work together"):
        observed("one.crt", "other.key")
    (tmp_path / "half.crt").write_text((tmp_path / "one.crt").read_text()[:200])
    with pytest.raises(ConfigError, match="do not work together"):
        observed("half.crt", "one.key")


def test_a_machine_s_own_authorities_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_text("")
    monkeypatch.setattr(facts, "LOCAL_CERTIFICATES", str(tmp_path / "local"))
    monkeypatch.setattr(facts, "SYSTEM_BUNDLE", str(bundle))
    rig, without = a_rig("", directory=str(tmp_path)), a_rig("[images]\nca_bundle = ''", directory=str(tmp_path))
    assert observe_host(rig).ca_bundle == ""
    (tmp_path / "local").mkdir()
    assert observe_host(rig).ca_bundle == ""
    (tmp_path / "local/office.crt").write_text("")
    assert observe_host(rig).ca_bundle == str(bundle)
    assert observe_host(without).ca_bundle == ""


def test_an_image_s_sources_count_bytes_names_and_the_executable_bit(tmp_path: Path) -> None:
    folder = tmp_path / "images/edge/deep"
    folder.mkdir(parents=True)
    (folder / "health").write_text("x")
    before = facts._image_sources(tmp_path)
    assert list(before["edge"]) == ["deep/health"]
    (folder / "health").chmod(0o755)
    executable = facts._image_sources(tmp_path)
    assert executable != before
    (folder / "health").write_text("y")
    assert facts._image_sources(tmp_path) != executable


def test_ipv6_is_what_the_kernel_speaks_not_whether_there_is_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    loopback = "00000000000000000000000000000001 01 80 10 80       lo\n"
    monkeypatch.setattr(facts.Path, "read_text", lambda _: loopback)
    assert facts.has_ipv6()
    monkeypatch.setattr(facts.Path, "read_text", lambda _: "")
    assert not facts.has_ipv6()
