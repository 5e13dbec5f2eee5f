"""What pip and uv leave in the home is read as they wrote it, and written down where the project keeps such lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bare_rig import make_bare_rig, rigstack

from rigstack.config.edit import with_dependencies
from rigstack.host.hand_installed import observe_hand_installed
from rigstack.render.requirements import named_versions, with_lines


def install(home: Path, name: str, version: str, *, requested: bool = True, python: str = "3.13", **more: str) -> None:
    """As pip does it."""
    package = name.replace("-", "_")
    info = (
        home / f".local/share/rigstack/env-{python}/lib/python{python[:4]}/site-packages/{package}-{version}.dist-info"
    )
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not this\n")
    if requested:
        (info / "REQUESTED").touch()
    for file, text in more.items():
        (info / f"{file}.json").write_text(text)


def use(home: Path, python: str = "3.13") -> None:
    (home / ".env").symlink_to(f".local/share/rigstack/env-{python}")


def test_sets_of_other_pythons_are_apart(tmp_path: Path) -> None:
    assert observe_hand_installed(tmp_path).packages == ()
    install(tmp_path, "Six", "1.17.0")
    install(tmp_path, "numpy", "1.0", python="3.12")
    install(tmp_path, "brought-along", "2.0", requested=False)
    git = json.dumps({"url": "https://me:pw@h/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}})
    install(tmp_path, "x", "1", direct_url=git)
    use(tmp_path)
    sets = observe_hand_installed(tmp_path)
    assert [(one.line, one.requested) for one in sets.packages] == [
        ("brought-along==2.0", False),
        ("Six==1.17.0", True),
        ("x @ git+https://h/x.git@abc", True),
    ]
    assert sets.aside == (("env-3.12", 1),)


def test_lines_that_name_packages() -> None:
    text = "# no\n-r x\nNumPy >= 1.0  # why\ntorch[x]==2.0 ; python_version > '3'\nsix\n./pkg\n"
    assert named_versions(text) == {"numpy": ">=1.0", "torch": "==2.0", "six": ""}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "six==1.17.0\n"),
        ("numpy\n", "numpy\nsix==1.17.0\n"),
        ("six\nnumpy", "six==1.17.0\nnumpy\n"),
        ("SIX[x]>=1 ; a > 'b'  # why\n", "SIX[x]==1.17.0; a > 'b'  # why\n"),
        ("six>=1  # why\n", "six==1.17.0  # why\n"),
    ],
)
def test_a_line_is_written_in_its_place(before: str, after: str) -> None:
    assert with_lines(before, {"six": "six==1.17.0"}) == after


def test_dependencies_of_a_pyproject() -> None:
    text = '[project]\nname = "x"  # me\ndependencies = [\n    "Six>=1",  # why\n]\n'
    changed = with_dependencies(text, ("six==1.17.0", "toolz==1.0"))
    assert '"six==1.17.0"' in changed and '"toolz==1.0"' in changed
    assert "Six>=1" not in changed and "# me" in changed
    assert 'dependencies = ["a==1"]' in with_dependencies('[project]\nname = "x"\n', ("a==1",))


def test_diff_and_freeze(tmp_path: Path) -> None:
    rig = make_bare_rig(tmp_path)
    home, folder = rig / "homes/demo", rig / "code/demo"
    folder.mkdir()
    (folder / "requirements.txt").write_text("numpy\n")
    assert "nothing is installed by hand" in rigstack(rig, "project", "diff", "demo").stdout
    install(home, "six", "1.17.0")
    install(home, "dep", "1.0", requested=False)
    use(home)
    said = rigstack(rig, "project", "diff", "demo")
    assert said.stdout == "+ six==1.17.0\n"
    assert "and 1 that these brought along" in said.stderr
    document = json.loads(rigstack(rig, "project", "diff", "demo", "--json").stdout)
    assert [one["name"] for one in document["packages"]] == ["dep", "six"]
    assert rigstack(rig, "project", "freeze", "demo", "--dry-run").stdout == "requirements.txt: +six==1.17.0\n"
    assert (folder / "requirements.txt").read_text() == "numpy\n"
    rigstack(rig, "project", "freeze", "demo")
    assert (folder / "requirements.txt").read_text() == "numpy\nsix==1.17.0\n"
    assert rigstack(rig, "project", "diff", "demo").stdout == ""
    assert rigstack(rig, "project", "freeze", "demo").stdout == "nothing to write down\n"
