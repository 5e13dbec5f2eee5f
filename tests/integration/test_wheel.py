"""The wheel alone, installed far from the checkout, is all that a rig needs; and it builds the very same images."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_rig import LiveRig, docker

TOP = Path(__file__).resolve().parents[2]


def done(*argv: str | Path, cwd: Path) -> str:
    """A command that must succeed, in a folder that is not the checkout, with nothing that leads back to it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    completed = subprocess.run(
        [str(word) for word in argv], cwd=cwd, capture_output=True, text=True, timeout=300, env=environment
    )
    assert completed.returncode == 0, f"{argv}: {completed.stdout}{completed.stderr}"
    return completed.stdout.strip()


def assets(top: Path) -> dict[str, bool]:
    """compose.yaml and every file of images/, caddy/ and programs/ below `top` -> whether it is executable.

    Without what pip compiles when it installs, which must not count.
    """
    folders = (top / "images", top / "caddy", top / "programs")
    files = [top / "compose.yaml", *(file for folder in folders for file in folder.rglob("*"))]
    kept = [file for file in files if file.is_file() and file.suffix != ".pyc"]
    return {str(file.relative_to(top)): bool(file.stat().st_mode & 0o100) for file in kept}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    done(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, TOP, cwd=out)
    (made,) = out.glob("rigstack-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel in it; its dependencies are those of the tests' own environment."""
    folder = tmp_path_factory.mktemp("installed")
    folder.chmod(0o755)
    done(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv/bin/python"
    done(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-index", wheel),
        cwd=folder,
    )
    (packages,) = (folder / "venv/lib").glob("python*/site-packages")
    # A path and not an import: nested .pth files, such as that of an editable rigstack, are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    home = done(python, "-c", "import rigstack; print(rigstack.__file__)", cwd=folder)
    assert Path(home).is_relative_to(folder), "the checkout would be tested"
    return folder


@pytest.fixture(scope="module")
def installed_assets(installed: Path) -> Path:
    return Path(
        done(
            installed / "venv/bin/python",
            "-c",
            "from rigstack.assets import assets_dir; print(assets_dir())",
            cwd=installed,
        )
    )


@pytest.fixture(scope="module")
def rig(installed: Path, tmp_path_factory: pytest.TempPathFactory, base_images: None) -> Iterator[LiveRig]:
    """A rig that was made by the installed rigstack and is run by it."""
    folder = tmp_path_factory.mktemp("rig")
    folder.chmod(0o755)
    program = ("env", "-C", str(installed), str(installed / "venv/bin/rigstack"))
    made = LiveRig(folder, name=f"t{secrets.token_hex(3)}", program=program)
    yield made
    made.destroy()


def test_the_wheel_holds_the_stack_with_its_modes(wheel: Path, installed_assets: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {
            info.filename.removeprefix("rigstack/_assets/"): bool(info.external_attr >> 16 & 0o100)
            for info in archive.infolist()
            if info.filename.startswith("rigstack/_assets/")
        }
    assert held == assets(TOP)
    assert assets(installed_assets) == assets(TOP)
    assert held["images/base/lib/entrypoint"]
    assert not held["compose.yaml"]


def test_it_runs_outside_the_checkout(installed: Path, wheel: Path) -> None:
    version = done(installed / "venv/bin/rigstack", "--version", cwd=installed)
    assert version == f"rigstack {wheel.name.split('-')[1]}"
    assert "Usage: rigstack" in done(installed / "venv/bin/rigstack", "--help", cwd=installed)
    assert "authorized_keys" in done(installed / "venv/bin/rigstack", "config", "reference", cwd=installed)


def test_its_compose_page_is_valid_by_itself(installed: Path, installed_assets: Path) -> None:
    done("docker", "compose", "-f", installed_assets / "compose.yaml", "config", "--quiet", cwd=installed)


def image_tags(rig: LiveRig) -> set[str]:
    """Every tag that the rig's generated compose files name."""
    texts = (rig.path / "state/compose.env").read_text() + (rig.path / "state/compose.json").read_text()
    return set(re.findall(r"rigstack/[\w-]+:[0-9a-f]{12}", texts))


def test_it_brings_a_rig_up_with_the_images_of_the_checkout(rig: LiveRig, installed_assets: Path) -> None:
    planned = rig.run("up", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    from_checkout = subprocess.run(
        [sys.executable, "-m", "rigstack", "--rig", str(rig.path), "up", "--dry-run"],
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    built = [line for line in planned.stdout.splitlines() if "build rigstack/" in line]
    assert built
    assert built == [line for line in from_checkout.stdout.splitlines() if "build rigstack/" in line]

    rig.up()
    rig.pin_host_keys()
    assert rig.status()["rig"]["state"] == "running"
    assert "nothing to do" in rig.up().stdout
    assert str(installed_assets) in (rig.path / "state/compose.env").read_text()
    tags = image_tags(rig)
    assert len(tags) == 3
    assert {docker("inspect", "--format={{.Config.Image}}", one) for one in rig.containers().values()} == tags
    assert rig.ssh("demo", "python -c 'import numpy; print(numpy.__name__)'").stdout == "numpy\n"
    assert rig.curl("/p/demo/api").stdout.startswith('{"version"')
    assert rig.curl("/nowhere", "-o", "/dev/null", "-w", "%{http_code}").stdout == "404"

    subprocess.run(
        [sys.executable, "-m", "rigstack", "--rig", str(rig.path), "up"], cwd=TOP, check=True, capture_output=True
    )
    assert image_tags(rig) == tags


def test_what_pip_compiled_is_not_in_the_images(rig: LiveRig, installed_assets: Path) -> None:
    assert list(installed_assets.rglob("__pycache__")), "pip compiled nothing: nothing was tried"
    found = docker("exec", rig.containers()["demo-workspace"], "find", "/usr/local/lib/rigstack", "-name", "*.pyc")
    assert found == ""


def test_its_scripts_are_executable_in_the_images(rig: LiveRig) -> None:
    workspace = rig.containers()["demo-workspace"]
    lost = docker(
        "exec",
        workspace,
        *("find", "/usr/local/lib/rigstack", "-type", "f", "-name", "[a-z]*-*", "!", "-perm", "-0555"),
    )
    assert lost == ""
    for service in ("edge", "gateway"):
        docker("exec", rig.containers()[service], "test", "-x", "/usr/local/lib/rigstack/health")
