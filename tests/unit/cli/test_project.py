"""`rigstack project`: new, list, info, remove on a rig directory, without an engine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from bare_rig import make_bare_rig, rigstack

from rigstack import process


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    return make_bare_rig(tmp_path)


def test_new_makes_a_place_to_work_in(rig: Path) -> None:
    done = rigstack(rig, "project", "new", "9-lives")
    assert done.status == 0, done.stderr
    assert done.stderr == "next: rigstack up\n"
    folder = rig / "code/9-lives"
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if ".git/" not in str(path))
    assert files == [
        *(".git", ".gitignore", "README.md", "data", "notebooks", "notebooks/start.ipynb"),
        *("requirements.txt", "src", "src/p_9_lives.py"),
    ]
    notebook = json.loads((folder / "notebooks/start.ipynb").read_text())
    first = "".join(notebook["cells"][0]["source"])
    assert "%autoreload 2" in first and "%matplotlib inline" in first
    assert os.readlink(folder / "data") == "/data/9-lives"  # noqa: PTH115
    assert (rig / "data/9-lives").is_dir()
    assert {path.lstat().st_uid for path in folder.rglob("*")} == {(rig / "code").stat().st_uid}
    assert (rig / "rig.toml").read_text() == (
        "# mine\n[rig]\nname = 'box'\n\n[projects.demo]\ngpus = 1 # one is enough\n\n[projects.9-lives]\n"
    )


def test_new_takes_a_folder_that_is_there_as_it_is(rig: Path) -> None:
    (rig / "code/mine").mkdir()
    done = rigstack(rig, "project", "new", "mine")
    assert "was there and stays as it is" in done.stdout
    assert list((rig / "code/mine").iterdir()) == []
    assert "[projects.mine]" in (rig / "rig.toml").read_text()


def test_new_from_a_repository(rig: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    commit = ("-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "-m", "x")
    source.mkdir()
    (source / "requirements.txt").write_text("six\n")
    for words in (("init", "-q"), ("add", "."), commit):
        assert process.run(("git", "-C", str(source), *words)).ok
    done = rigstack(rig, "project", "new", "theirs", "--from", f"file://{source}")
    assert done.status == 0, done.stderr
    assert (rig / "code/theirs/requirements.txt").read_text() == "six\n"
    assert not (rig / "code/theirs/README.md").exists()
    failed = rigstack(rig, "project", "new", "none", "--from", f"file://{tmp_path}/none")
    assert failed.status == 3
    assert "git cannot clone" in failed.stderr
    assert not (rig / "code/none").exists()
    assert "none" not in (rig / "rig.toml").read_text()


@pytest.mark.parametrize(
    ("name", "said"),
    [("Demo", "cannot be a project's name"), ("edge", "uses itself"), ("demo", "already"), ("../x", "cannot be")],
)
def test_new_refuses(rig: Path, name: str, said: str) -> None:
    before = (rig / "rig.toml").read_text()
    done = rigstack(rig, "project", "new", name)
    assert done.status == 2
    assert said in done.stderr
    assert (rig / "rig.toml").read_text() == before
    assert list((rig / "code").iterdir()) == []


def test_list_and_info(rig: Path) -> None:
    rigstack(rig, "project", "new", "cifar")
    document = json.loads(rigstack(rig, "project", "list", "--json").stdout)
    assert [(one["name"], one["made_of"]) for one in document["projects"]] == [
        ("demo", "nothing of its own"),
        ("cifar", "requirements.txt"),
    ]
    assert "cifar" in rigstack(rig, "project", "list").stdout
    info = json.loads(rigstack(rig, "project", "info", "demo", "--json").stdout)
    assert info["schema"] == 1
    assert info["settings"] == {"gpus": 1}
    assert info["state"] == "absent"
    assert "requirements.txt" in rigstack(rig, "project", "info", "cifar").stdout
    assert rigstack(rig, "project", "info", "none").status == 2


def test_remove_forgets_and_files_stay(rig: Path) -> None:
    rigstack(rig, "project", "new", "cifar")
    done = rigstack(rig, "project", "remove", "cifar")
    assert done.status == 0, done.stderr
    assert (rig / "code/cifar/README.md").is_file()
    text = (rig / "rig.toml").read_text()
    assert "cifar" not in text and "# one is enough" in text


def test_files_are_deleted_only_when_the_name_was_typed(rig: Path) -> None:
    rigstack(rig, "project", "new", "cifar")
    for words in ((), ("--confirm", "cifa")):
        refused = rigstack(rig, "project", "remove", "cifar", "--delete-files", *words)
        assert refused.status == 8
        assert (rig / "code/cifar").is_dir()
        assert "cifar" in (rig / "rig.toml").read_text()
