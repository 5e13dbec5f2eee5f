"""A rebuild replaces nothing before the new image is seen to work, and ends nobody's work without a yes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.jupyter import Jupyter
from tests.live_rig import LiveRig, docker, wait_for
from tests.terminal import Terminal


def change(rig: LiveRig, line: str) -> None:
    with (rig.code() / "requirements.txt").open("a") as file:
        file.write(line + "\n")


def says(running: subprocess.Popen[str], words: str) -> str:
    """The line in which a command that runs says these words."""
    assert running.stderr is not None
    for line in running.stderr:
        if words in line:
            return line
    raise AssertionError(f"it never said: {words}")


@contextmanager
def ssh_session(rig: LiveRig, command: str) -> Iterator[subprocess.Popen[str]]:
    """Somebody logged in who runs `command`."""
    with subprocess.Popen(
        ["ssh", "-F", str(rig.ssh_config), "-tt", "demo", f"echo ready; exec {command}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as session:
        assert session.stdout is not None
        assert session.stdout.readline().strip() == "ready"
        try:
            yield session
        finally:
            session.kill()


def test_an_image_that_does_not_work_replaces_nothing(rig: LiveRig) -> None:
    before = rig.containers()
    script = rig.code() / "postBuild"
    script.write_text("#!/bin/bash\nrm -rf /opt/jupyter/lib/python3*/site-packages/jupyterlab\n")
    for _ in range(2):  # the second does not take the image for checked because it is there
        failed = rig.run("up")
        assert failed.returncode == 7, failed.stderr
        assert "the new image of demo was built and does not work" in failed.stderr
        assert "JupyterLab does not start in it" in failed.stderr
        assert rig.containers() == before
    script.unlink()
    assert "nothing to do" in rig.up().stdout


def test_a_session_is_named_and_left_alone(rig: LiveRig) -> None:
    before = rig.containers()
    change(rig, "six==1.17.0")
    with ssh_session(rig, "sleep 600") as session:
        rig.append("[projects.other]")
        refused = rig.run("up")
        assert refused.returncode == 8, refused.stderr
        assert "demo: left as it is, because of what runs in it" in refused.stderr
        assert "ssh session: sleep 600" in refused.stderr
        after = rig.containers()
        assert {name: after[name] for name in before} == before
        assert "other-workspace" in after  # everything else is done
        assert rig.run("up").returncode == 8
        with Terminal(rig, "up") as asked:
            asked.shows("ssh session: sleep 600")
            asked.shows("End them and go on with demo? [y/N]: ")
            asked.type("")
            assert asked.ends() == 8
        assert rig.containers() == after
        assert session.poll() is None
        with Terminal(rig, "up") as asked:
            asked.shows("End them and go on with demo? [y/N]: ")
            asked.type("y")
            assert asked.ends() == 0
        assert "image changed: requirements.txt: +six==1.17.0" in asked.screen
        assert session.wait(timeout=30) != 0
    assert rig.containers()["demo-workspace"] != before["demo-workspace"]


def test_wait_goes_on_when_a_job_has_ended(rig: LiveRig) -> None:
    workspace = rig.containers()["demo-workspace"]
    docker("exec", "-d", workspace, "setsid", "-f", "sleep", "600")
    change(rig, "toolz==1.0.0")
    assert "job: sleep 600" in rig.run("up").stderr
    waiting = rig.start("up", "--wait")
    says(waiting, "waiting for demo: job: sleep 600")
    assert rig.containers()["demo-workspace"] == workspace
    docker("exec", workspace, "pkill", "-f", "sleep 600")
    assert waiting.wait(timeout=120) == 0
    assert rig.containers()["demo-workspace"] != workspace


def test_wait_goes_on_when_a_session_and_a_kernel_have_ended(rig: LiveRig) -> None:
    before = rig.containers()
    jupyter = Jupyter(rig, "demo")
    kernel = jupyter.start()
    change(rig, "iniconfig==2.0.0")
    with ssh_session(rig, "sleep 602"):
        waiting = rig.start("up", "--wait")
        told = says(waiting, "waiting for demo: ")
        assert "ssh session: sleep 602" in told and "kernel: " in told
    told = says(waiting, "waiting for demo: kernel: ")
    assert "ssh session" not in told
    assert rig.containers() == before
    assert jupyter.cell(kernel, "print(6 * 7)") == "42\n"
    jupyter.stop(kernel)
    assert waiting.wait(timeout=120) == 0
    after = rig.containers()
    assert all(after[name] != before[name] for name in ("demo-workspace", "demo-notebook"))


def test_a_kernel_is_named_by_its_notebook(rig: LiveRig) -> None:
    notebook = rig.containers()["demo-notebook"]
    kernel = "import jupyter_client.manager as m, time; m.start_new_kernel(kernel_name='project'); time.sleep(600)"
    python = ["/opt/jupyter/bin/python", "-c", kernel]
    docker("exec", "-d", "-e", "JPY_SESSION_NAME=/code/demo/train.ipynb", notebook, "setsid", "-f", *python)
    wait_for("a kernel", lambda: "ipykernel" in docker("top", notebook, "-eo", "pid,args"))
    change(rig, "six==1.16.0")
    text = (rig.code() / "requirements.txt").read_text()
    (rig.code() / "requirements.txt").write_text(text.replace("six==1.17.0\n", ""))
    refused = rig.run("up")
    assert refused.returncode == 8, refused.stderr
    assert "kernel: /code/demo/train.ipynb" in refused.stderr
    rig.up("-y")


def test_a_project_s_files_are_deleted_when_its_name_was_typed(rig: LiveRig) -> None:
    code, home = rig.code("other"), rig.path / "homes/other"
    (code / "train.py").write_text("print()\n")
    before = rig.containers()
    docker("exec", "-d", before["other-workspace"], "setsid", "-f", "sleep", "600")
    for typed, status in (("othr", 8), ("other", 0)):
        assert (code / "train.py").exists() and "other-workspace" in rig.containers()
        with Terminal(rig, "project", "remove", "other", "--delete-files") as asked:
            asked.shows("This ends job: sleep 600")
            asked.shows(f"This deletes {code} and {home}, for ever.")
            asked.shows("Type the project's name to go on: ")
            asked.type(typed)
            assert asked.ends() == status, asked.screen
    assert not code.exists() and not home.exists()
    assert "projects.other" not in rig.toml
    left = {name: one for name, one in before.items() if not name.startswith("other-")}
    assert rig.containers() == left
    assert rig.up("--yes").returncode == 0
    assert rig.containers() == left
    assert [name for name in rig.networks() if "other" in name] == []


@contextmanager
def fake_systemctl(folder: Path) -> Iterator[dict[str, str]]:
    """An environment in which `systemctl` writes its words down: this machine must not really sleep."""
    folder.mkdir()
    (folder / "systemctl").write_text('#!/bin/sh\necho "$*" >> "$0.log"\n')
    (folder / "systemctl").chmod(0o755)
    yield {"PATH": f"{folder}:{os.environ['PATH']}"}
    assert (folder / "systemctl.log").read_text() == "suspend\n" * 2


def test_the_machine_does_not_go_to_sleep_on_a_session(rig: LiveRig, tmp_path: Path) -> None:
    with fake_systemctl(tmp_path / "bin") as env:
        with ssh_session(rig, "sleep 601"):
            refused = rig.run("suspend", env=env)
            assert refused.returncode == 8
            assert "demo-workspace: ssh session: sleep 601" in refused.stderr
            assert rig.run("suspend", "--force", "--dry-run", env=env).stdout == "would run: systemctl suspend\n"
            assert rig.run("suspend", "--force", env=env).returncode == 0
            waiting = subprocess.Popen(
                [*rig.program, "--rig", str(rig.path), "suspend", "--when-idle"],
                env={**os.environ, **env},
                stderr=subprocess.PIPE,
                text=True,
            )
            assert waiting.stderr is not None
            assert "sleep 601" in waiting.stderr.readline()
        said = waiting.stderr.read()
        assert waiting.wait(timeout=60) == 0
        # A machine of tests has no card that could wake it, and so it says.
        assert "you could not wake it from afar" in said
