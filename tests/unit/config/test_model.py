"""Good rig.toml texts become the model; a project's own settings count where rig.toml is silent; the rig is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import ALICE, a_rig
from hypothesis import given
from hypothesis import strategies as st

from rigstack.config.load import load_rig, parse_rig
from rigstack.config.model import Project
from rigstack.config.rigdir import find_rig
from rigstack.config.schema import PROJECT, TABLES
from rigstack.errors import ConfigError, RigstackError


def test_an_empty_file_is_a_rig_of_defaults(tmp_path: Path) -> None:
    rig = parse_rig("", rig_dir=tmp_path)
    assert (rig.dir, rig.name, rig.hostname, rig.gpu_mode) == (str(tmp_path), "rig", "", "auto")
    assert (rig.access.ssh_port, rig.access.https_port, rig.access.http_port) == (22222, 443, 80)
    assert rig.access.authorized_keys == ()
    assert rig.tls.mode == "auto"
    assert rig.ddns is None
    assert rig.projects == ()


def test_a_full_project() -> None:
    rig = a_rig(
        """\
        [projects.cifar]
        gpus = [0, "1:0", "GPU-aa11"]
        gpu_sharing = "exclusive"
        build = "files"
        python = "3.12"
        index = ["https://download.example.net/whl"]
        cuda = "13.0"
        apt = ["ffmpeg", "libgl1=1.7.0-1"]
        memory = "16G"
        shm = "1.5g"
        memlock = "unlimited"
        pids = 64
        ports = [6006, 8000]
        ssh_port = 22301
        env = { WANDB_MODE = "offline", A = "x$y" }
        """
    )
    assert rig.project("cifar") == Project(
        name="cifar",
        gpus=("0", "1:0", "GPU-aa11"),
        gpu_sharing="exclusive",
        build="files",
        python="3.12",
        index=("https://download.example.net/whl",),
        cuda="13.0",
        apt=("ffmpeg", "libgl1=1.7.0-1"),
        memory="16g",
        shm="1.5g",
        memlock="unlimited",
        pids=64,
        ports=(6006, 8000),
        ssh_port=22301,
        env=(("A", "x$y"), ("WANDB_MODE", "offline")),
    )
    assert rig.project("mnist") is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"all"', "all"),
        ('"none"', "none"),
        ("0", 0),
        ("2", 2),
        ("[0]", ("0",)),
        ('["0", 3]', ("0", "3")),
        ('["GPU-8a56c0ff-0000"]', ("GPU-8a56c0ff-0000",)),
        ('["MIG-8a56c0ff"]', ("MIG-8a56c0ff",)),
        ('["0:1"]', ("0:1",)),
    ],
)
def test_the_forms_of_gpus(written: str, meant: object) -> None:
    project = a_rig(f"[projects.demo]\ngpus = {written}").project("demo")
    assert project is not None
    assert project.gpus == meant


@pytest.mark.parametrize(("written", "meant"), [("", ""), ("512m", "512m"), ("8G", "8g"), ("1b", "1b"), ("3k", "3k")])
def test_the_forms_of_sizes(written: str, meant: str) -> None:
    project = a_rig(f"[projects.demo]\nmemory = '{written}'").project("demo")
    assert project is not None
    assert project.memory == meant


@pytest.mark.parametrize("entry", [ALICE, ALICE.rpartition(" ")[0], "github:a-lice", "file:~/.ssh/id_ed25519.pub"])
def test_who_may_log_in(entry: str) -> None:
    assert a_rig(f"[access]\nauthorized_keys = ['{entry}']").access.authorized_keys == (entry,)


@pytest.mark.parametrize(
    ("written", "meant"), [("", ""), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("0:0::1", "::1")]
)
def test_addresses_to_bind(written: str, meant: str) -> None:
    assert a_rig(f"[access]\nbind = '{written}'").access.bind == meant


def test_names_and_ddns() -> None:
    rig = a_rig("[rig]\nname = 'big-box'\nhostname = 'Rig.Example.NET'\n[ddns]\nprovider='dyndns2'\nserver='d.net'")
    assert (rig.name, rig.hostname) == ("big-box", "rig.example.net")
    assert rig.ddns is not None
    assert rig.ddns.hostname == "rig.example.net"
    assert (rig.ddns.password_file, rig.ddns.interval, rig.ddns.tls) == ("secrets/ddns-password", 30, True)


def test_values_cannot_be_changed() -> None:
    rig = a_rig()
    with pytest.raises(AttributeError):
        rig.name = "other"  # type: ignore[misc]


def a_project_that_says(root: Path, text: str) -> Path:
    folder = root / "code" / "demo"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(text)
    return folder / "pyproject.toml"


def test_a_project_carries_its_own_settings_and_rig_toml_wins(tmp_path: Path) -> None:
    a_project_that_says(tmp_path, "[project]\nname = 'x'\n[tool.rigstack]\nshm = '2g'\nmemory = '4g'\ngpus = 1\n")
    (tmp_path / "rig.toml").write_text("[projects.demo]\nmemory = '32g'\n")
    project = load_rig(tmp_path).project("demo")
    assert project is not None
    assert (project.shm, project.memory, project.gpus) == ("2g", "32g", 1)


def test_a_mistake_in_a_projects_own_settings_names_that_file(tmp_path: Path) -> None:
    file = a_project_that_says(tmp_path, "[tool.rigstack]\nshm = 2\nmemry = '4g'\n")
    rig = parse_rig("[projects.demo]\n[projects.other]", rig_dir=tmp_path)
    assert list(rig.broken) == ["demo"]
    assert [line.split(" is ")[0] for line in rig.broken["demo"].details] == [
        f"{file}:2: tool.rigstack.shm: 2",
        f"{file}:3: tool.rigstack.memry: there",
    ]
    with pytest.raises(ConfigError, match=r"rig\.toml has 1 mistake"):
        parse_rig("[projects.demo]\npids = 1", rig_dir=tmp_path)


@pytest.mark.parametrize("text", ["[tool.rigstack", "tool = '[tool.rigstack]'\n", "[tool]\nrigstack = 3"])
def test_a_broken_pyproject_never_shows_a_traceback(tmp_path: Path, text: str) -> None:
    a_project_that_says(tmp_path, text)
    try:
        parse_rig("[projects.demo]", rig_dir=tmp_path)
    except RigstackError as error:
        assert "pyproject.toml" in error.what


SCALARS = st.integers() | st.booleans() | st.text(alphabet='aA0.-_ :/@"$\n', max_size=12) | st.just("github:x")
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.lists(st.lists(SCALARS, max_size=1), max_size=1)
PLACES = [f"{table}.{key}" for table, keys in TABLES.items() for key in keys] + [f"projects.p.{key}" for key in PROJECT]
PLACES += ["rig", "projects", "projects.edge", "x.y", "access.x"]


@given(st.dictionaries(st.sampled_from(PLACES), VALUES, max_size=6))
def test_any_document_gives_a_rig_or_a_config_error(document: dict[str, object]) -> None:
    text = "".join(f"{place} = {json.dumps(value)}\n" for place, value in document.items())
    try:
        parse_rig(text, rig_dir=Path("/nowhere"))
    except ConfigError as error:
        assert error.details or "not valid TOML" in error.what


def a_rig_directory(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "rig.toml").write_text("")
    return path


def test_the_rig_that_is_named_comes_before_the_nearest_before_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, near, named = (tmp_path / one for one in ("home", "near", "named"))
    monkeypatch.setenv("HOME", str(home))
    deep = near / "code" / "demo"
    deep.mkdir(parents=True)
    with pytest.raises(ConfigError, match="no rig found"):
        find_rig(None, start=deep)
    a_rig_directory(home / "rig")
    assert find_rig(None, start=deep).path == home / "rig"
    (near / "rig.toml").write_text("")
    assert find_rig(None, start=deep).path == near
    with pytest.raises(ConfigError, match=r"named is not a rig directory: it has no rig\.toml") as raised:
        find_rig(str(named), start=deep)
    assert "rigstack init" in raised.value.remedy
    a_rig_directory(named)
    assert find_rig(str(named), start=deep).path == named
    monkeypatch.chdir(tmp_path)
    assert find_rig("named", start=deep).path == named
    assert find_rig("~/rig", start=deep).path == home / "rig"
