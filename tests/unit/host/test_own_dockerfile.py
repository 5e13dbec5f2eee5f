"""A Dockerfile of the project's own: what counts as its input, and what is refused before anything is built."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rigstack.errors import ConfigError
from rigstack.host.project import context
from rigstack.host.project.context import dockerfile_sources, ignore_rules, is_ignored
from rigstack.host.project_files import read_project_inputs


@pytest.mark.parametrize(
    ("line", "patterns"),
    [
        ("COPY a.txt b /app/", ("a.txt", "b")),
        ('COPY --chown=1:1 ["a b.txt", "/app/"]', ("a b.txt",)),
        ("COPY --from=build /x /y", ()),
        ("ADD https://h/x.tar.gz /x", ()),
        ("COPY src/*.py \\\n  # a remark\n  pkg/ /app/", ("src/*.py", "pkg")),
        ("COPY <<EOF /x\nCOPY not.this /y\nEOF\nCOPY this /y", ("this",)),
        ("RUN --mount=type=bind,source=req.txt,target=/r pip install -r /r", ("req.txt",)),
        ("RUN --mount=type=cache,target=/c true", ()),
        ("# COPY x /y", ()),
    ],
)
def test_the_files_that_it_names(line: str, patterns: tuple[str, ...]) -> None:
    assert dockerfile_sources("FROM x\n" + line) == context.Sources(patterns=patterns, everything=False)


@pytest.mark.parametrize("line", ["COPY . /app", "ADD ./ /app", "COPY * /app", "COPY $WHAT /app", "COPY / /app"])
def test_the_whole_folder(line: str) -> None:
    assert dockerfile_sources("FROM x\n" + line).everything


@pytest.mark.parametrize(
    ("rules", "name", "ignored"),
    [
        ("*.log", "x.log", True),
        ("*.log", "sub/x.log", False),
        ("**/*.log", "sub/deep/x.log", True),
        ("**/*.log", "x.log", True),
        ("data", "data/x/y", True),
        ("/data/", "data/x", True),
        ("data", "my-data", False),
        ("data/?.txt", "data/a.txt", True),
        ("data/[ab].txt", "data/c.txt", False),
        ("data\n!data/keep", "data/keep", False),
        ("*\n!src", "src/x.py", False),
        ("# x\n\n", "x", False),
        ("a+b", "a+b", True),
        ("", "sub/.git/HEAD", True),
        ("", "sub/__pycache__/x.pyc", True),
    ],
)
def test_dockerignore(tmp_path: Path, rules: str, name: str, ignored: bool) -> None:
    (tmp_path / ".dockerignore").write_text(rules)
    assert is_ignored(name, ignore_rules(tmp_path / ".dockerignore")) is ignored


def a_project(folder: Path, dockerfile: str) -> Path:
    for name in (
        "src/a.py",
        "src/b.py",
        "data/big.bin",
        "train.py",
        "caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{SNOWMAN}.txt",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


def names(folder: Path) -> list[str]:
    own = read_project_inputs(folder).dockerfile
    assert own is not None
    return [copy.name for copy in own.copies]


def test_only_what_it_copies_is_an_input(tmp_path: Path) -> None:
    assert names(a_project(tmp_path, "FROM x\nCOPY src/*.py /app/\n")) == ["src/a.py", "src/b.py"]
    assert names(a_project(tmp_path, "FROM x\nCOPY src /app/\n")) == ["src/a.py", "src/b.py"]
    assert names(a_project(tmp_path, "FROM x\n")) == []
    (tmp_path / ".dockerignore").write_text("data\n*.py\nDockerfile\n")
    everything = names(a_project(tmp_path, "FROM x\nCOPY . /app/\n"))
    assert everything == [
        ".dockerignore",
        "caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{SNOWMAN}.txt",
        "src/a.py",
        "src/b.py",
    ]
    assert "every edit rebuilds" in read_project_inputs(tmp_path).notes[0]


def test_content_and_mode_count_and_times_do_not(tmp_path: Path) -> None:
    a_project(tmp_path, "FROM x\nCOPY src /app/\n")
    before = read_project_inputs(tmp_path)
    os.utime(tmp_path / "src/a.py", (1, 1))
    assert read_project_inputs(tmp_path) == before
    (tmp_path / "src/a.py").chmod(0o755)
    assert read_project_inputs(tmp_path) != before


def test_a_link_out_of_the_project(tmp_path: Path) -> None:
    a_project(tmp_path / "demo", "FROM x\nCOPY src /app/\n")
    (tmp_path / "demo/src/inside").symlink_to("a.py")
    names(tmp_path / "demo")
    (tmp_path / "demo/src/out").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match="src/out is a link out of the project, to /etc/passwd"):
        names(tmp_path / "demo")
    (tmp_path / "demo/.dockerignore").write_text("src/out\n")
    assert names(tmp_path / "demo") == ["src/a.py", "src/b.py", "src/inside"]


def test_a_file_too_large_to_copy_is_named(tmp_path: Path) -> None:
    a_project(tmp_path, "FROM x\nCOPY . /app/\n")
    with (tmp_path / "data/big.bin").open("wb") as big:
        big.truncate(2 * 1024**3)
    with pytest.raises(ConfigError, match="copies more than 256 MB") as raised:
        names(tmp_path)
    assert raised.value.details[0] == "2,048 MB  data/big.bin"
    assert ".dockerignore" in raised.value.remedy


def test_the_line_that_would_pull_a_frontend_is_emptied(tmp_path: Path) -> None:
    a_project(tmp_path, "# syntax=docker/dockerfile:1.7\nFROM x\n")
    own = read_project_inputs(tmp_path).dockerfile
    assert own is not None and own.text == "#\nFROM x\n"


def test_no_from_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no FROM line"):
        read_project_inputs(a_project(tmp_path, "RUN true\n"))


def test_which_of_several_counts(tmp_path: Path) -> None:
    a_project(tmp_path, "FROM x\n")
    (tmp_path / "requirements.txt").write_text("six\n")
    assert read_project_inputs(tmp_path).dockerfile is not None
    assert "requirements.txt count only where" in read_project_inputs(tmp_path).notes[0]
    assert read_project_inputs(tmp_path, "files").files == (("requirements.txt", "six\n"),)
    with pytest.raises(ConfigError, match=r"there is no .*devcontainer\.json"):
        read_project_inputs(tmp_path, "devcontainer")
    (tmp_path / ".devcontainer.json").write_text('{"image": "y"}')
    own = read_project_inputs(tmp_path).dockerfile
    assert own is not None and own.text == "FROM y\n"
    own = read_project_inputs(tmp_path, "dockerfile").dockerfile
    assert own is not None and own.text == "FROM x\n"
