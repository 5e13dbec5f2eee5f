"""Hand-installed packages, old images and the way back to them, on a real rig."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.jupyter import Jupyter
from tests.live_rig import LiveRig, docker
from tests.python_mirror import ARCHIVE, VERSION, python_mirror

PRINT_SIX = "python -c 'import six; print(six.__version__)'"


def test_what_is_installed_by_hand_is_seen_written_down_and_kept(rig: LiveRig) -> None:
    jupyter = Jupyter(rig, "demo")
    kernel = jupyter.start()
    jupyter.cell(kernel, "%pip install -q six==1.16.0")
    assert jupyter.cell(kernel, "import six; print(six.__version__)") == "1.16.0\n"
    assert rig.ssh("demo", PRINT_SIX).stdout == "1.16.0\n"
    assert rig.ssh("demo", "uv pip install -q toolz==1.0.0").returncode == 0
    assert jupyter.cell(kernel, "import toolz; print(toolz.__version__)") == "1.0.0\n"
    jupyter.stop(kernel)
    assert rig.run("project", "diff", "demo").stdout.splitlines() == ["+ six==1.16.0", "+ toolz==1.0.0"]
    rig.run("project", "freeze", "demo")
    text = (rig.code() / "requirements.txt").read_text()
    assert text.endswith("six==1.16.0\ntoolz==1.0.0\n")
    assert "nothing is installed by hand" in rig.run("project", "diff", "demo").stdout
    why = rig.run("image", "why", "demo").stdout
    assert why.startswith("demo would be rebuilt: requirements.txt: +six==1.16.0 +toolz==1.0.0")
    rig.up()
    assert rig.ssh("demo", PRINT_SIX).stdout.strip() == "1.16.0"
    assert Jupyter(rig, "demo").run("import six, toolz; print(six.__file__)").startswith("/home/dev/.env/")


def test_a_further_environment_is_a_kernel_by_one_command(rig: LiveRig) -> None:
    refused = rig.run("project", "kernel", "demo")
    assert refused.returncode == 2
    command = refused.stderr.partition("in the workspace: ")[2].strip()  # what it says to do is enough
    done = rig.ssh("demo", f"cd /code/demo && {command}; uv pip install -q --python .venv six==1.17.0")
    assert done.returncode == 0, done.stderr
    jupyter = Jupyter(rig, "demo")
    assert jupyter.kernels() == {"project": "demo"}
    assert rig.run("project", "kernel", "demo", "--title", "newer six").returncode == 0
    assert jupyter.kernels() == {"project": "demo", "venv-venv": "newer six"}
    ask = "import six, sys; print(six.__version__, sys.prefix)"
    assert jupyter.run(ask, "venv-venv") == "1.17.0 /code/demo/.venv\n"
    assert jupyter.run(ask) == "1.16.0 /home/dev/.env\n"
    assert rig.run("project", "kernel", "demo", "--remove").returncode == 0
    assert jupyter.kernels() == {"project": "demo"}


def test_packages_of_the_image_are_listed(rig: LiveRig) -> None:
    document = json.loads(rig.run("image", "packages", "demo", "--json").stdout)
    assert {"name": "six", "version": "1.16.0"} in document["python"]
    assert "openssh-server" in {one["name"] for one in document["debian"]}
    row = next(
        one for one in json.loads(rig.run("image", "list", "--layers", "--json").stdout)["images"] if one["deployed"]
    )
    assert row["project"] == "demo"
    assert any("install-python" in layer["made_by"] and layer["size"] > 1e6 for layer in row["layers"])
    assert sum(layer["size"] for layer in row["layers"]) <= row["size"] * 1.01


def test_back_to_the_previous_image_and_on_again(rig: LiveRig) -> None:
    def deployed() -> str:
        return next(row["image"] for row in images() if row["deployed"])

    def images() -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(rig.run("image", "list", "--json").stdout)["images"]
        return found

    now = deployed()
    done = rig.run("project", "rollback", "demo", "--yes")
    assert done.returncode == 0, done.stderr
    assert "[1/" in done.stderr and "build" not in done.stderr
    before = deployed()
    assert before != now
    assert "demo is rolled back to" in rig.up().stderr
    assert deployed() == before
    undone = rig.run("project", "rollback", "demo", "--undo", "--yes")
    assert undone.returncode == 0, undone.stderr
    assert deployed() == now

    for line in ("attrs==25.3.0", "packaging==25.0"):
        with (rig.code() / "requirements.txt").open("a") as file:
            file.write(line + "\n")
        rig.up("--yes")
    kept = [row["image"] for row in images()][:2]
    assert len(images()) == 4
    shared = f"rigstack/base:{rig.name}"  # an old one, on which nothing is built
    old = ("--build-arg=SOURCE_DATE_EPOCH=1", "--label=rigstack.image=base", f"--tag={shared}")
    subprocess.run(["docker", "build", "-q", *old, "-"], input="FROM scratch\n", text=True, check=True)
    doomed = rig.run("image", "prune", "--dry-run").stdout
    assert doomed.count(f"rigstack/{rig.name}-") == 2
    assert doomed.count(shared) == 1
    assert rig.run("image", "prune").returncode == 0
    assert docker("image", "ls", "-q", shared) == ""
    assert [row["image"] for row in images()] == kept
    assert rig.run("project", "rollback", "demo", "--to", "nonsense").returncode == 2


@pytest.mark.skipif(VERSION in ("", "3.13"), reason="this machine has no other Python than the image to be fetched")
def test_another_python_is_fetched_and_sets_aside_what_was_installed_by_hand(rig: LiveRig) -> None:
    here = docker("network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Gateway}}")
    assert rig.ssh("demo", "pip install -q iniconfig==2.0.0").returncode == 0
    ask = "import sys; print('%d.%d' % sys.version_info[:2]); import iniconfig"
    before = rig.toml
    with python_mirror() as mirror:
        rig.set("python_mirror", f'"{mirror.url(here)}"')
        rig.append(f'python = "{VERSION}"')  # [projects.demo] is the last table
        said = rig.up("--yes", "--no-cache").stderr  # or the build of an earlier run would do, and ask nobody
    assert mirror.asked[-1] == ARCHIVE
    assert f"note: demo: Python is now {VERSION}-uv; " in said
    assert "installed by hand for 3.13 are set aside, not lost" in said
    done = rig.ssh("demo", f'python -c "{ask}"')
    assert done.stdout == f"{VERSION}\n"
    assert "No module named 'iniconfig'" in done.stderr
    assert Jupyter(rig, "demo").run("import sys; print('%d.%d' % sys.version_info[:2])") == f"{VERSION}\n"
    assert rig.ssh("demo", "pip install -q iniconfig==2.1.0").returncode == 0
    assert "set aside, for another Python" in rig.run("project", "diff", "demo").stderr

    (rig.path / "rig.toml").write_text(before)
    assert f"installed by hand for {VERSION}-uv are set aside" in rig.up("--yes").stderr
    shown = Jupyter(rig, "demo").run("import importlib.metadata as m; print(m.version('iniconfig'))")
    assert shown == "2.0.0\n"


def environment(rig: LiveRig, project: str) -> dict[str, str]:
    """Digest of each file that the deployed image of a project has in its environment; compiled code aside."""
    script = "cd /opt/env && find . -type f ! -name '*.pyc' -exec sha256sum {} + && find . -type l -printf '%l %p\\n'"
    listed = docker("exec", rig.containers()[f"{project}-workspace"], "sh", "-c", script)
    return {path: sum_ for sum_, path in (line.split(maxsplit=1) for line in listed.splitlines())}


def steps(rig: LiveRig, project: str) -> int:
    """By how many steps the packages of the deployed image were installed."""
    image = json.loads(docker("inspect", rig.containers()[f"{project}-workspace"]))[0]["Image"]
    return docker("image", "history", "--no-trunc", "--format={{.CreatedBy}}", image).count("install-python")


def log_of_last_build(rig: LiveRig) -> str:
    return max((rig.path / "state/logs").glob("build-*.log"), key=lambda path: path.stat().st_mtime).read_text()


def test_an_added_line_installs_what_it_adds_and_makes_what_a_build_from_nothing_makes(rig: LiveRig) -> None:
    for name in ("grown", "fresh"):
        (rig.code(name)).mkdir()
        rig.append(f"[projects.{name}]")
    wanted = rig.code("grown") / "requirements.txt"
    wanted.write_text("click\n")
    rig.up("grown")
    assert steps(rig, "grown") == 1
    wanted.write_text("click\nsix==1.16.0\n")
    rig.up("grown")
    assert steps(rig, "grown") == 2

    (rig.code("fresh") / "requirements.txt").write_text(wanted.read_text())
    (rig.path / "state/build/steps.json").unlink()
    rig.up("fresh")
    assert steps(rig, "fresh") == 1
    assert environment(rig, "grown") == environment(rig, "fresh")

    # Without the cache nothing of before is taken, not even what a step would add to.
    wanted.write_text("click\nsix==1.16.0\ntoolz==1.0.0\n")
    rig.up("grown", "--no-cache")
    assert steps(rig, "grown") == 1
    text = log_of_last_build(rig)
    done = dict(re.findall(r"^#(\d+) (\[.*)$", text, re.M))
    assert any("RUN" in title for title in done.values())
    assert not [done[number] for number in re.findall(r"^#(\d+) CACHED", text, re.M) if "RUN" in done[number]]

    # Its click is too new for the added line: both in one step then, and no layer with the other click.
    wanted.write_text("click\nsix==1.16.0\nflask==1.1.4\n")
    rig.up("grown")
    assert "rigstack: not an addition: click" in log_of_last_build(rig)
    assert steps(rig, "grown") == 1
    listed = json.loads(rig.run("image", "packages", "grown", "--json").stdout)["python"]
    assert next(one["version"] for one in listed if one["name"].lower() == "click").startswith("7.")
