"""A rig on which everything is as wanted: `up` does nothing with one request, and `status` says that it runs."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import command
import pytest
from fake_engine import fake_engine, http

from rigstack import process
from rigstack.config.load import load_rig
from rigstack.host.facts import observe_host
from rigstack.host.files import ensure_folder, write_file
from rigstack.host.ssh_keys import ensure_host_key
from rigstack.plan.desired import PASSWORD_FILE, Desired, desire
from rigstack.plan.gpu_history import INTERVAL, RECORD, SLOTS


@pytest.fixture
def settled_rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Desired]:
    """A rig directory as `up` leaves it, and what it is wanted to be."""
    monkeypatch.setenv("RIGSTACK_CDI_DIR", str(tmp_path / "no-cdi"))
    (tmp_path / "rig.toml").write_text("[rig]\nname = 'box'\n[projects.demo]\n[projects.cifar]\n")
    (tmp_path / "code").mkdir()
    if os.geteuid() == 0:
        os.chown(tmp_path / "code", 1000, 1000)
    rig = load_rig(tmp_path)
    for folder in desire(rig, observe_host(rig)).folders:
        ensure_folder(tmp_path / folder.path, mode=folder.mode, owner=None)
    for name in ("gateway", "demo", "cifar"):
        ensure_host_key(tmp_path / "state/keys" / name / "ssh_host_ed25519_key", name, owner=None)
    desired = desire(rig, observe_host(rig))
    for file in (*desired.files, *desired.edge_files):
        write_file(tmp_path / file.path, file.text, mode=file.mode, owner=None)
    write_file(tmp_path / PASSWORD_FILE, "", mode=0o600, owner=None)
    return tmp_path, desired


@pytest.fixture
def settled_gpu_rig(settled_rig: tuple[Path, Desired], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Desired]:
    """The same on a machine with two GPUs, of which demo was given the second."""
    root, _ = settled_rig
    monkeypatch.setenv("RIGSTACK_CDI_DIR", str(root / "cdi"))
    (root / "cdi").mkdir()
    spec = {"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [{"name": "0"}, {"name": "1"}]}
    (root / "cdi/nvidia.json").write_text(json.dumps(spec))
    (root / "rig.toml").write_text("[rig]\nname = 'box'\n[projects.demo]\ngpus = 1\n[projects.cifar]\ngpus = 'none'\n")
    rig = load_rig(root)
    desired = desire(rig, observe_host(rig), {"demo": ("1",), "cifar": ()})
    for file in (*desired.files, *desired.edge_files):
        write_file(root / file.path, file.text, mode=file.mode, owner=None)
    return root, desired


def listed(root: Path, desired: Desired, *, gpus: str = "", **changed: str) -> list[dict[str, object]]:
    """The desired containers as the engine lists them.

    gpus: what demo's were given. changed: service (with _ for -) -> status.
    """
    return [
        {
            "Id": f"id-{service.name}",
            "Image": desired.image(service.image).tag,
            "State": "running",
            "Status": changed.get(service.name.replace("-", "_"), "Up 3 minutes (healthy)"),
            "Labels": {
                "com.docker.compose.service": service.name,
                "rigstack.rig": "box",
                "rigstack.directory": str(root),
                "rigstack.role": service.role,
                "rigstack.project": service.project,
                "rigstack.hash": service.hash,
                **({"rigstack.gpus": gpus} if gpus and service.project == "demo" else {}),
            },
            "NetworkSettings": {"Networks": {f"rigstack-box_{one}": {} for one in ("front", *service.networks)}},
        }
        for service in desired.services
    ]


def rigstack(root: Path, url: str, *words: str) -> process.Completed:
    return command.rigstack(*words, cwd=root, env={"DOCKER_HOST": url})


def test_up_does_nothing_with_one_request(settled_rig: tuple[Path, Desired]) -> None:
    root, desired = settled_rig
    with fake_engine(root, {"/containers/json": listed(root, desired)}) as engine:
        done = rigstack(root, engine.url, "up")
        assert len(engine.asked) == 1
        assert (done.status, done.stdout) == (0, "nothing to do: everything runs as rig.toml says\n"), done.stderr
        document = json.loads(rigstack(root, engine.url, "up", "--json").stdout)
        assert (document["schema"], document["steps"]) == (1, [])
        assert rigstack(root, engine.url, "up", "--dry-run").stdout == "nothing to do\n"


@pytest.mark.parametrize(("version", "ipv6"), [("1.45", "false"), ("1.46", "true")])
def test_an_engine_before_27_has_no_addresses_for_ipv6(tmp_path: Path, version: str, ipv6: str) -> None:
    """Networks that ask it for some cannot be made (Debian 13 has such an engine)."""
    (tmp_path / "rig.toml").write_text("[rig]\nname = 'box'\n")
    answer = http(200, []).replace(b"\r\n", f"\r\nApi-Version: {version}\r\n".encode(), 1)
    program = (
        "import sys; from pathlib import Path; from rigstack.cli.rig import survey; from rigstack.host import facts\n"
        "from rigstack.config.load import load_rig; from rigstack.config.rigdir import RigDir\n"
        "facts.has_ipv6 = lambda: True; root = Path(sys.argv[1]); seen = survey(RigDir(path=root), load_rig(root))\n"
        "print(next(one.text for one in seen.desired.files if one.path == 'state/compose.env'))"
    )
    with fake_engine(tmp_path, {"/containers/json": answer, "/images/json": []}) as engine:
        done = process.run((sys.executable, "-c", program, str(tmp_path)), env={"DOCKER_HOST": engine.url})
    assert f"RIGSTACK_IPV6='{ipv6}'" in done.stdout, done.stderr


def test_a_gpu_that_was_given_stays_without_a_look_at_any_gpu(
    settled_gpu_rig: tuple[Path, Desired], tmp_path: Path
) -> None:
    """No live figures are asked for: Python is told to refuse the import of NVML's module."""
    root, desired = settled_gpu_rig
    (tmp_path / "refused").mkdir()
    (tmp_path / "refused/pynvml.py").write_text("raise SystemExit('pynvml was imported')")
    env = {"PYTHONPATH": str(tmp_path / "refused")}
    words = (sys.executable, "-m", "rigstack", "up")
    with fake_engine(root, {"/containers/json": listed(root, desired, gpus="1")}) as engine:
        done = process.run(words, cwd=str(root), env={**env, "DOCKER_HOST": engine.url})
        assert done.stdout == "nothing to do: everything runs as rig.toml says\n", done.stderr
        assert len(engine.asked) == 1
        shown = json.loads(rigstack(root, engine.url, "status", "--json").stdout)["projects"]
        assert [project["devices"] for project in shown] == [["1"], []]
        page = rigstack(root, engine.url, "status").stdout
        assert "healthy    healthy   1     https" in page, page
    with fake_engine(tmp_path / "refused", {"/containers/json": [], "/images/json": []}) as engine:
        done = process.run((*words, "--dry-run"), cwd=str(root), env={**env, "DOCKER_HOST": engine.url})
        assert "pynvml was imported" in done.stderr, "with nothing running there is a choice to make"


def test_status_of_a_rig_that_runs(settled_rig: tuple[Path, Desired]) -> None:
    root, desired = settled_rig
    with fake_engine(root, {"/containers/json": listed(root, desired)}) as engine:
        done = rigstack(root, engine.url, "status")
        assert len(engine.asked) == 1
        document = json.loads(rigstack(root, engine.url, "status", "--json").stdout)
    assert done.status == 0, done.stderr
    assert done.stdout.startswith(f"box: running   {root}\n")
    for part in ("edge", "gateway", "SHA256:", "demo", "cifar", "/p/demo/"):
        assert part in done.stdout
    assert document["rig"]["state"] == "running"
    assert "what runs is not" not in str(document["problems"])


def test_status_of_a_rig_with_a_sick_part(settled_rig: tuple[Path, Desired]) -> None:
    root, desired = settled_rig
    containers = listed(root, desired, demo_notebook="Up 2 hours (unhealthy)")
    with fake_engine(root, {"/containers/json": containers}) as engine:
        done = rigstack(root, engine.url, "status")
    assert done.status == 5
    assert "! demo-notebook is unhealthy\n  rigstack logs demo-notebook" in done.stdout


def test_a_changed_setting_is_planned_and_told(settled_rig: tuple[Path, Desired]) -> None:
    root, desired = settled_rig
    (root / "rig.toml").write_text("[rig]\nname = 'box'\n[projects.demo]\nmemory = '1g'\n[projects.cifar]\n")
    have = [{"RepoTags": [image.tag for image in desired.images]}]
    answers: dict[str, object] = {"/containers/json": listed(root, desired), "/images/json": have}
    with fake_engine(root, answers) as engine:
        plan = rigstack(root, engine.url, "up", "--dry-run").stdout
        status = rigstack(root, engine.url, "status")
    assert plan.splitlines()[1].startswith("2. start demo-workspace, demo-notebook - demo-workspace: its settings")
    assert status.status == 0
    assert "! what runs is not what rig.toml says" in status.stdout


def test_a_project_with_a_mistake_in_its_files_stands_in_no_other_s_way(settled_rig: tuple[Path, Desired]) -> None:
    root, desired = settled_rig
    (root / "code/cifar/pyproject.toml").write_text('[project]\nname = "x\n')
    (root / "rig.toml").write_text("[rig]\nname = 'box'\n[projects.demo]\nmemory = '1g'\n[projects.cifar]\n")
    have = [{"RepoTags": [image.tag for image in desired.images]}]
    answers: dict[str, object] = {"/containers/json": listed(root, desired), "/images/json": have}
    with fake_engine(root, answers) as engine:
        page = rigstack(root, engine.url, "status")
        document = json.loads(rigstack(root, engine.url, "status", "--json").stdout)
        plan = rigstack(root, engine.url, "up", "--dry-run")
        of_demo = rigstack(root, engine.url, "up", "--dry-run", "demo")
        of_cifar = rigstack(root, engine.url, "up", "--dry-run", "cifar")
        check = rigstack(root, engine.url, "config", "check")
        made_of = rigstack(root, engine.url, "project", "list")
    broken = f"{root}/code/cifar/pyproject.toml is not valid TOML"
    assert page.status == 2
    assert f"! cifar: {broken}" in page.stdout and "demo     healthy" in page.stdout
    assert [(one["name"], bool(one["error"])) for one in document["projects"]] == [("demo", False), ("cifar", True)]
    assert plan.status == 2
    assert f"error: cifar is left as it is: {broken}" in plan.stderr
    assert plan.stdout == of_demo.stdout
    assert "start demo-workspace, demo-notebook" in plan.stdout and "cifar" not in plan.stdout
    assert of_demo.status == 0, of_demo.stderr
    assert (of_cifar.status, of_cifar.stdout, check.status) == (2, "", 2)
    assert broken in of_cifar.stderr and broken in check.stderr
    assert f"error: {broken}" in made_of.stdout


def test_a_gpu_check_without_a_gpu_is_one_line(settled_rig: tuple[Path, Desired]) -> None:
    root, desired = settled_rig
    with fake_engine(root, {"/containers/json": listed(root, desired)}) as engine:
        done = rigstack(root, engine.url, "gpu", "check", "demo")
        assert rigstack(root, engine.url, "gpu", "check", "nothing").status == 2
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr == "error: demo has no GPU: this machine has no NVIDIA driver\n"


def test_the_history_of_gpus_is_shown_or_it_is_told_how_to_keep_one(settled_rig: tuple[Path, Desired]) -> None:
    root, _ = settled_rig
    told = rigstack(root, "unix:///nowhere", "gpus", "--since", "1h")
    assert (told.status, told.stdout) == (2, "")
    assert "[gpu] history is off in rig.toml" in told.stderr
    assert "expected an age such as" in rigstack(root, "unix:///nowhere", "gpus", "--since", "soon").stderr
    now = int(time.time())
    ring = bytearray(RECORD.size * SLOTS)
    RECORD.pack_into(ring, now // INTERVAL % SLOTS * RECORD.size, now, 50, 60, 100, 512, 1024)
    (root / "state/gpu-history").mkdir()
    (root / "state/gpu-history/GPU-aa.ring").write_bytes(ring)
    lines = rigstack(root, "unix:///nowhere", "gpus", "--since", "1h").stdout.splitlines()
    assert lines[0] == "GPU GPU-aa"
    assert lines[1].endswith("▄| mean 50%, most 50%")
    table = rigstack(root, "unix:///nowhere", "gpus", "--since", "1h", "--csv").stdout.splitlines()
    assert table[1:] == [f"{now},GPU-aa,50,512,1024,60,100"]
    shown = json.loads(rigstack(root, "unix:///nowhere", "gpus", "--since", "1h", "--json").stdout)
    assert shown["gpus"][0]["samples"][0]["memory_used"] == 512 * 1024**2
