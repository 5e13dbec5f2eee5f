"""What pip and uv leave in the home is read as they wrote it, and written down where the project keeps such lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bare_rig import make_bare_rig, rigstack

from rigstack.config.edit import with_dependencies
from rigstack.host.hand_installed import observe_hand_installed
from rigstack.render.requirements import named_versions, with_lines


def install(
    home: Path,
    name: str,
    version: str,
    *,
    requested: bool = True,
    python: str = "3.13",
    requires: tuple[str, ...] = (),
    **more: str,
) -> None:
    """As pip does it. requires: further lines of METADATA."""
    package = name.replace("-", "_")
    info = (
        home / f".local/share/rigstack/env-{python}/lib/python{python[:4]}/site-packages/{package}-{version}.dist-info"
    )
    info.mkdir(parents=True)
    fields = "".join(f"{field}\n" for field in requires)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{fields}\nName: not this\n"
    )
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
    assert [(one.line("demo"), one.requested) for one in sets.packages] == [
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
        ("SIX[x]>=1 ; a > 'b'  # why\n", "SIX[x]==1.17.0 ; a > 'b'  # why\n"),
        ("six>=1  # why\n", "six==1.17.0  # why\n"),
        ("six @ git+https://h/x@main#egg=six  # why\n", "six==1.17.0  # why\n"),
        ("six-more==1\n# six\n", "six-more==1\n# six\nsix==1.17.0\n"),
    ],
)
def test_a_line_is_written_in_its_place(before: str, after: str) -> None:
    assert with_lines(before, {"six": "six==1.17.0"}) == after


def test_dependencies_of_a_pyproject() -> None:
    text = '[project]\nname = "x"  # me\ndependencies = [\n    "Six>=1",  # why\n]\n'
    changed = with_dependencies(text, ("six==1.17.0", "toolz==1.0"))
    assert changed == (
        '[project]\nname = "x"  # me\ndependencies = [\n    "Six==1.17.0",  # why\n    "toolz==1.0",\n]\n'
    )
    text = '[project]\nname = "x"\n[dependency-groups]\ndev = ["six[x]>=1; a > \'b\'"]  # tests\n'
    changed = with_dependencies(text, ("six @ git+https://h/x.git@abc",))
    assert "dev = [\"six[x] @ git+https://h/x.git@abc; a > 'b'\"]  # tests" in changed
    assert 'dependencies = ["a==1"]' in with_dependencies('[project]\nname = "x"\n', ("a==1",))


def test_diff_and_freeze(tmp_path: Path) -> None:
    rig = make_bare_rig(tmp_path)
    home, folder = rig / "homes/demo", rig / "code/demo"
    folder.mkdir()
    (folder / "requirements.txt").write_text("numpy\n")
    assert "nothing is installed by hand" in rigstack(rig, "project", "diff", "demo").stdout
    install(home, "six", "1.17.0")
    install(home, "dep", "1.0", requested=False)
    (home / ".local/share/rigstack/env-3.13/lib/python3.13/site-packages/six-1.17.0.dist-info/METADATA").write_text(
        "Name: six\nVersion: 1.17.0\nRequires-Dist: dep>=1\n"
    )
    use(home)
    said = rigstack(rig, "project", "diff", "demo")
    assert said.stdout == "+ six==1.17.0\n"
    assert "and 1 that these brought along" in said.stderr
    document = json.loads(rigstack(rig, "project", "diff", "demo", "--json").stdout)
    assert ([one["line"] for one in document["packages"]], document["brought_along"]) == (["six==1.17.0"], 1)
    assert rigstack(rig, "project", "freeze", "demo", "--dry-run").stdout == "requirements.txt: +six==1.17.0\n"
    assert (folder / "requirements.txt").read_text() == "numpy\n"
    rigstack(rig, "project", "freeze", "demo")
    assert (folder / "requirements.txt").read_text() == "numpy\nsix==1.17.0\n"
    assert "nothing is installed by hand" in rigstack(rig, "project", "diff", "demo").stdout
    assert rigstack(rig, "project", "freeze", "demo").stdout == "nothing to write down\n"


def test_extras_and_what_is_left_of_packages_that_are_gone(tmp_path: Path) -> None:
    rig = make_bare_rig(tmp_path)
    home = rig / "homes/demo"
    extra = (
        "Provides-Extra: fast",
        "Provides-Extra: slow",
        "Requires-Dist: base",
        "Requires-Dist: speed; extra == 'fast'",
    )
    install(home, "x", "1", requires=(*extra, 'Requires-Dist: sloth ; python_version > "3" and extra == "slow"'))
    install(home, "base", "1", requested=False)
    install(home, "speed", "2", requested=False)
    install(home, "orphan", "3", requested=False)
    use(home)
    said = rigstack(rig, "project", "diff", "demo")
    assert said.stdout.splitlines() == ["+ orphan==3", "+ x[fast]==1"]
    assert "and 2 that these brought along" in said.stderr


def direct(url: str, **more: object) -> str:
    return json.dumps({"url": url, **more})


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (direct("https://tok@h/x.zip", archive_info={}), "x @ https://h/x.zip"),
        (
            direct("https://h/x.git", vcs_info={"vcs": "git", "commit_id": "a"}, subdirectory="p"),
            "x @ git+https://h/x.git@a#subdirectory=p",
        ),
        (direct("ssh://git@h/x.git", vcs_info={"vcs": "git", "commit_id": "a"}), "x @ git+ssh://git@h/x.git@a"),
        (direct("ssh://me:pw@h/x.git", vcs_info={"vcs": "git", "commit_id": "a"}), "x @ git+ssh://me@h/x.git@a"),
        (direct("file:///code/demo/my%20pkg", dir_info={"editable": True}), "-e ./my pkg"),
        (direct("file:///code/demo", dir_info={}), "."),
        (direct("file:///code/demo/x.whl", archive_info={}), "./x.whl"),
        (direct("file:///home/dev/x", dir_info={"editable": True}), ""),
        ("{", "x==1"),
    ],
)
def test_where_a_package_is_from(tmp_path: Path, said: str, line: str) -> None:
    install(tmp_path, "x", "1", direct_url=said)
    use(tmp_path)
    assert [one.line("demo") for one in observe_hand_installed(tmp_path).packages] == [line]


def test_what_is_written_down_already_is_no_difference(tmp_path: Path) -> None:
    rig = make_bare_rig(tmp_path)
    home, folder = rig / "homes/demo", rig / "code/demo"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/setup.py").touch()
    git = direct("https://h/x.git", vcs_info={"vcs": "git", "commit_id": "abc"})
    install(home, "x", "1", direct_url=git)
    install(home, "mine", "1", direct_url=direct("file:///code/demo/sub", dir_info={"editable": True}))
    install(home, "six", "1.17.0")
    use(home)
    assert rigstack(rig, "project", "diff", "demo").stdout.splitlines() == [
        "+ -e ./sub",
        "+ six==1.17.0",
        "+ x @ git+https://h/x.git@abc",
    ]
    assert rigstack(rig, "project", "freeze", "demo").status == 0
    assert "nothing is installed by hand" in rigstack(rig, "project", "diff", "demo").stdout
    (folder / "requirements.txt").unlink()
    (folder / "pyproject.toml").write_text('[project]\nname = "y"\ndependencies = ["six>=1"]\n')
    (folder / "uv.lock").write_text('[[package]]\nname = "six"\nversion = "1.17.0"\n')
    assert "six" not in rigstack(rig, "project", "diff", "demo").stdout


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("requirements.txt", "numpy==2 --hash=sha256:aa\n", "has hashes"),
        ("environment.yml", "dependencies: [numpy]\n", "write these below pip: in environment.yml"),
        ("Dockerfile", "FROM x\n", "next:  write into it, such as RUN pip install -e ./sub"),
        (".devcontainer.json", '{"image": "x"}', "next:  write into a Dockerfile (`build` in it), such as RUN pip"),
        ("pyproject.toml", '[project]\nname = "y"\n', "cannot name folders among its dependencies"),
    ],
)
def test_files_that_freeze_does_not_write(tmp_path: Path, file: str, text: str, said: str) -> None:
    rig = make_bare_rig(tmp_path)
    (rig / "code/demo").mkdir()
    (rig / "code/demo" / file).write_text(text)
    source = direct("file:///code/demo/sub", dir_info={"editable": True})
    install(rig / "homes/demo", "mine", "1", direct_url=source)
    use(rig / "homes/demo")
    refused = rigstack(rig, "project", "freeze", "demo")
    assert refused.status == 2
    assert said in refused.stderr and "-e ./sub" in refused.stderr
    assert (rig / "code/demo" / file).read_text() == text


def test_freeze_writes_below_pip_of_an_environment_yml(tmp_path: Path) -> None:
    rig = make_bare_rig(tmp_path)
    file = rig / "code/demo/environment.yml"
    file.parent.mkdir()
    file.write_text("dependencies:\n  - numpy=2  # fast\n  - pip:\n    - six>=1  # old\n")
    install(rig / "homes/demo", "six", "1.17.0")
    use(rig / "homes/demo")
    assert rigstack(rig, "project", "freeze", "demo").stdout == "environment.yml: +six==1.17.0\n"
    assert file.read_text() == "dependencies:\n  - numpy=2  # fast\n  - pip:\n    - six==1.17.0  # old\n"
    assert "nothing is installed by hand" in rigstack(rig, "project", "diff", "demo").stdout


def test_a_requirements_txt_that_no_image_is_made_of_is_not_written(tmp_path: Path) -> None:
    rig = make_bare_rig(tmp_path)
    folder = rig / "code/demo"
    folder.mkdir()
    (folder / "requirements.txt").write_text("numpy\n")
    (folder / "Dockerfile").write_text("FROM x\n")
    install(rig / "homes/demo", "six", "1.17.0")
    use(rig / "homes/demo")
    assert "RUN pip install six==1.17.0" in rigstack(rig, "project", "freeze", "demo").stderr
    (folder / "Dockerfile").write_text("FROM x\nCOPY requirements.txt /\n")
    assert rigstack(rig, "project", "freeze", "demo").stdout == "requirements.txt: +six==1.17.0\n"
