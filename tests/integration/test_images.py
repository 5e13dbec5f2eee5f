"""Hand-installed packages, old images and the way back to them, on a real rig."""

from __future__ import annotations

import json

from tests.live_rig import LiveRig, docker

PRINT_SIX = "python -c 'import six; print(six.__version__)'"


def test_what_is_installed_by_hand_is_seen_written_down_and_kept(rig: LiveRig) -> None:
    assert rig.ssh("demo", "pip install -q six==1.16.0 && uv pip install -q toolz==1.0.0").returncode == 0
    notebook = rig.containers()["demo-notebook"]
    assert (
        docker("exec", notebook, "/home/dev/.env/bin/python", "-c", "import six, toolz; print(six.__version__)")
        == "1.16.0"
    )
    assert rig.run("project", "diff", "demo").stdout.splitlines() == ["+ six==1.16.0", "+ toolz==1.0.0"]
    rig.run("project", "freeze", "demo")
    text = (rig.code() / "requirements.txt").read_text()
    assert text.endswith("six==1.16.0\ntoolz==1.0.0\n")
    assert "nothing is installed by hand" in rig.run("project", "diff", "demo").stdout
    why = rig.run("image", "why", "demo").stdout
    assert why.startswith("demo would be rebuilt: requirements.txt: +six==1.16.0 +toolz==1.0.0")
    rig.up()
    assert rig.ssh("demo", PRINT_SIX).stdout.strip() == "1.16.0"


def test_packages_of_the_image_are_listed(rig: LiveRig) -> None:
    document = json.loads(rig.run("image", "packages", "demo", "--json").stdout)
    assert {"name": "six", "version": "1.16.0"} in document["python"]
    assert "openssh-server" in {one["name"] for one in document["debian"]}


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
    assert len(rig.run("image", "prune", "--dry-run").stdout.splitlines()) == 2
    assert rig.run("image", "prune").returncode == 0
    assert [row["image"] for row in images()] == kept
    assert rig.run("project", "rollback", "demo", "--to", "nonsense").returncode == 2
