"""The entry point, as a person's shell calls it: exit codes, what goes where, and what is not imported."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import command
import pytest
from builders import ALICE
from fake_engine import fake_engine

from rigstack import __version__, process
from rigstack.cli import COMMANDS
from rigstack.host.lock import rig_lock
from rigstack.process import Completed

NOWHERE = "unix:///nonexistent/docker.sock"


def rigstack(*words: str, cwd: Path, home: Path | None = None, **env: str) -> Completed:
    """Runs rigstack in a folder with a home of its own and no engine, unless DOCKER_HOST names one."""
    given = {"HOME": str(home or cwd), "DOCKER_HOST": NOWHERE, "RIGSTACK_CDI_DIR": str(cwd / "no-cdi"), **env}
    return command.rigstack(*words, cwd=cwd, env=given)


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    """A rig directory with one project, whose code belongs to somebody who is not root."""
    (tmp_path / "rig.toml").write_text("[rig]\nname = 'box'\n[projects.demo]\n")
    (tmp_path / "code/demo").mkdir(parents=True)
    for folder in ("code", "code/demo"):
        if os.geteuid() == 0:
            os.chown(tmp_path / folder, 1000, 1000)
    return tmp_path


def test_bad_settings_exit_2_and_name_their_lines(rig: Path) -> None:
    (rig / "rig.toml").write_text("[access]\nssh_prot = 22\n[gpu]\nmode = 'cuda'\n")
    done = rigstack("config", "check", cwd=rig)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: {rig}/rig.toml has 2 mistakes",
        f"  {rig}/rig.toml:2: access.ssh_prot: there is no such key; did you mean 'ssh_port'?",
        f'  {rig}/rig.toml:4: gpu.mode: \'cuda\' is not right; expected one of "auto", "cdi", "nvidia", "none"',
        "  next:  mend the lines named above; `rigstack config reference` explains every key",
    ]


def test_good_settings(rig: Path) -> None:
    done = rigstack("config", "check", cwd=rig / "code/demo")
    assert (done.status, done.stderr) == (0, "")
    assert str(rig / "rig.toml") in done.stdout


@pytest.mark.parametrize(
    "words", [("up",), ("down",), ("status",), ("logs",), ("compose", "ps"), ("trust",), ("config", "check")]
)
def test_without_a_rig_exit_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = rigstack(*words, cwd=tmp_path)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no rig found")
    assert "rigstack init" in done.stderr


@pytest.mark.parametrize("named", ["--rig", "RIGSTACK_RIG"])
def test_a_rig_named_that_is_none(tmp_path: Path, named: str) -> None:
    words, env = (("--rig", "x"), {}) if named == "--rig" else ((), {named: "x"})
    done = rigstack(*words, "status", cwd=tmp_path, **env)
    assert done.status == 2
    assert f"{tmp_path}/x is not a rig directory" in done.stderr


@pytest.mark.parametrize("words", [("up",), ("up", "--dry-run"), ("status",), ("status", "--json"), ("down",)])
def test_without_an_engine_exit_3(rig: Path, words: tuple[str, ...]) -> None:
    done = rigstack(*words, cwd=rig)
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr.startswith("error: no engine answers at /nonexistent/docker.sock")
    assert "rigstack host setup" in done.stderr
    assert not (rig / "state/compose.json").exists()


def test_an_engine_elsewhere_exit_3(rig: Path) -> None:
    done = rigstack("status", cwd=rig, DOCKER_HOST="ssh://me@box")
    assert done.status == 3
    assert "ssh://me@box" in done.stderr


@pytest.mark.parametrize(
    ("word", "hint"), [("stauts", "Did you mean 'status'?"), ("upp", "Did you mean 'up'?"), ("xyzzy", "")]
)
def test_an_unknown_command_exit_2(tmp_path: Path, word: str, hint: str) -> None:
    done = rigstack(word, cwd=tmp_path)
    assert (done.status, done.stdout) == (2, "")
    assert f"No such command '{word}'. {hint}".strip() in done.stderr


def test_an_unknown_option_and_project_exit_2(rig: Path) -> None:
    assert rigstack("up", "--drry-run", cwd=rig).status == 2
    done = rigstack("up", "dmeo", cwd=rig)
    assert done.status == 2
    assert 'error: there is no project "dmeo"' in done.stderr
    assert "demo" in done.stderr.splitlines()[-1]
    done = rigstack("logs", "dmeo", cwd=rig)
    assert done.status == 2
    assert "demo-notebook" in done.stderr


def test_commands_that_need_a_rig_that_was_up(rig: Path) -> None:
    for words in (("compose", "ps"), ("logs",)):
        done = rigstack(*words, cwd=rig)
        assert (done.status, "was never brought up" in done.stderr) == (2, True)
    done = rigstack("trust", cwd=rig)
    assert (done.status, "rigstack up" in done.stderr) == (3, True)


def test_a_start_from_nothing_does_the_same(rig: Path) -> None:
    """The other tests' commands are forked from a process that has imported everything (command.py)."""
    for words in (("status",), ("--version",), ("stauts",), ("config", "check")):
        env = {"HOME": str(rig), "DOCKER_HOST": NOWHERE}
        done = process.run((sys.executable, "-m", "rigstack", *words), cwd=str(rig), env=env)
        forked = command.rigstack(*words, cwd=rig, env=env)
        assert (done.status, done.stdout, done.stderr) == (forked.status, forked.stdout, forked.stderr)


def test_version_and_reference(tmp_path: Path) -> None:
    assert rigstack("--version", cwd=tmp_path).stdout == f"rigstack {__version__}\n"
    assert rigstack("config", "reference", cwd=tmp_path).stdout.startswith("# rig.toml:")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(tmp_path: Path, shell: str) -> None:
    done = rigstack("completion", shell, cwd=tmp_path)
    assert done.status == 0
    assert "_RIGSTACK_COMPLETE" in done.stdout
    assert rigstack("completion", cwd=tmp_path, SHELL="/bin/sh").status == 2


HEAVY = ("docker", "python_on_whales", "rich", "pydantic", "tomlkit", "requests", "argon2", "pynvml", "asyncio")


@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), ("config", "check"), ("status", "--json"), ("connect", "--help")]
)
def test_light_commands_import_nothing_heavy(rig: Path, words: tuple[str, ...]) -> None:
    code = (
        "import atexit, sys, rigstack.__main__ as main\n"
        f"atexit.register(lambda: print('LOADED', *[one for one in {HEAVY} if one in sys.modules], file=sys.stderr))\n"
        "main.main()\n"
    )
    with fake_engine(rig) as engine:
        env = {"HOME": str(rig), "DOCKER_HOST": engine.url}
        done = process.run((sys.executable, "-c", code, *words), cwd=str(rig), env=env)
        assert bool(engine.asked) == (words[0] == "status")
        engine.asked.append("enough")
    assert done.stdout
    assert done.stderr.splitlines()[-1] == "LOADED"


def test_help_imports_no_command(tmp_path: Path) -> None:
    done = process.run((sys.executable, "-X", "importtime", "-m", "rigstack", "--help"), cwd=str(tmp_path))
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    ours = {one for one in loaded if one.startswith("rigstack")}
    assert ours <= {"rigstack", "rigstack.cli", "rigstack.errors"}
    assert "subprocess" not in loaded
    for name, (_, _, summary) in COMMANDS.items():
        assert name in done.stdout
        assert summary.split(":")[0][:20] in done.stdout


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}, {"CLICOLOR_FORCE": "0"}])
def test_no_colour_and_no_spinner_off_a_terminal(rig: Path, env: dict[str, str]) -> None:
    with fake_engine(rig) as engine:
        for words in (("status",), ("up", "--dry-run"), ("status", "--nope")):
            done = rigstack(*words, cwd=rig, **{"DOCKER_HOST": engine.url, **env})
            assert done.stdout + done.stderr
            assert "\x1b" not in done.stdout + done.stderr
            assert "\r" not in done.stdout + done.stderr


def test_json_has_a_schema_and_the_contract_s_keys(rig: Path) -> None:
    with fake_engine(rig) as engine:
        status = rigstack("status", "--json", cwd=rig, DOCKER_HOST=engine.url)
        plan = rigstack("up", "--dry-run", "--json", cwd=rig, DOCKER_HOST=engine.url)
    assert status.status == 5
    document = json.loads(status.stdout)
    assert next(iter(document.items())) == ("schema", 1)
    assert {"rig", "edge", "gateway", "ddns", "projects"} <= document.keys()
    assert {"name", "hostname", "state"} <= document["rig"].keys()
    assert document["rig"]["state"] == "down"
    assert {"state", "url", "tls"} <= document["edge"].keys()
    assert {"mode", "expires"} <= document["edge"]["tls"].keys()
    assert {"state", "port", "fingerprint"} <= document["gateway"].keys()
    assert {"state", "hostname", "address", "public_address"} <= document["ddns"].keys()
    assert {"name", "image", "state", "gpus", "workspace", "notebook"} <= document["projects"][0].keys()
    assert {"state", "health"} <= document["projects"][0]["workspace"].keys()
    assert {"state", "health", "url"} <= document["projects"][0]["notebook"].keys()
    assert plan.status == 0
    steps = json.loads(plan.stdout)
    assert steps["schema"] == 1
    assert steps["steps"][0]["cause"] == "not there"


def test_a_dry_run_changes_nothing(rig: Path) -> None:
    before = sorted(rig.rglob("*"))
    with fake_engine(rig) as engine:
        done = rigstack("up", "--dry-run", cwd=rig, DOCKER_HOST=engine.url)
        down = rigstack("down", "--dry-run", cwd=rig, DOCKER_HOST=engine.url)
    assert done.status == down.status == 0
    assert done.stdout.splitlines()[0].startswith("1. make folders ")
    assert down.stdout == "nothing to do: nothing runs\n"
    assert [one for one in sorted(rig.rglob("*")) if one.name != "engine.sock"] == before


def test_another_rigstack_holds_the_lock_exit_6(rig: Path) -> None:
    with fake_engine(rig) as engine, rig_lock(rig, "up"):
        for words in (("up", "--no-wait"), ("down", "--no-wait")):
            done = rigstack(*words, cwd=rig, DOCKER_HOST=engine.url)
            assert (done.status, done.stdout) == (6, "")
            assert f"process {os.getpid()} (rigstack up" in done.stderr


def test_keys_are_public_in_what_is_shown(rig: Path) -> None:
    (rig / "rig.toml").write_text(f"[access]\nauthorized_keys = ['''{ALICE}''']\n[projects.demo]\n")
    with fake_engine(rig) as engine:
        done = rigstack("status", cwd=rig, DOCKER_HOST=engine.url)
    assert "no key may log in" not in done.stdout
    assert done.status == 5
