"""What `status`, `logs`, `password` and `trust` say and do, held against a real rig."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigstack.assets import assets_dir
from rigstack.engine.containers import compose_argv
from tests.live_rig import PATIENCE, LiveRig, docker, wait_for


def code(rig: LiveRig, path: str, *words: str) -> str:
    """The HTTP status of a path of the edge."""
    done = rig.curl(path, "-o", "/dev/null", "-w", "%{http_code}", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_contract_of_status_json(rig: LiveRig) -> None:
    done = rig.run("status", "--json")
    assert done.returncode == 0
    status = json.loads(done.stdout)
    assert status["schema"] == 1
    assert {"name": rig.name, "hostname": "", "state": "running"}.items() <= status["rig"].items()
    assert status["edge"]["state"] == "healthy"
    assert status["edge"]["url"].endswith(f":{rig.https_port}/")
    assert status["edge"]["tls"]["mode"] == "internal"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT.*", status["edge"]["tls"]["expires"])
    key = (rig.path / "state/keys/gateway/ssh_host_ed25519_key.pub").read_text()
    shown = subprocess.run(["ssh-keygen", "-lf", "-"], input=key, capture_output=True, text=True, check=True)
    assert status["gateway"] == {
        "state": "healthy",
        "port": rig.ssh_port,
        "fingerprint": shown.stdout.split()[1],
    }
    assert {"state", "hostname", "address", "public_address"} <= status["ddns"].keys()
    (project,) = status["projects"]
    assert project["name"] == "demo"
    assert project["state"] == "running"
    assert project["gpus"] == "all"
    assert project["image"] == docker("inspect", "--format={{.Config.Image}}", rig.containers()["demo-workspace"])
    assert project["workspace"] == {"state": "running", "health": "healthy"}
    assert project["notebook"] == {
        "state": "running",
        "health": "healthy",
        "url": f"{status['edge']['url']}p/demo/",
    }


def test_the_page_for_people(rig: LiveRig) -> None:
    done = rig.run("status")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{rig.name}: running")
    assert "\x1b" not in done.stdout, "no colour where there is no terminal"
    for words in (
        r"edge +healthy +https://",
        rf"gateway +healthy +port {rig.ssh_port} +SHA256:",
        r"demo +healthy +heal",
    ):
        assert re.search(words, done.stdout), words


def test_a_stopped_container_is_named_with_a_remedy(rig: LiveRig) -> None:
    docker("stop", "--time", "1", rig.containers()["demo-workspace"])
    done = rig.run("status", "--json")
    assert done.returncode == 5
    status = json.loads(done.stdout)
    assert status["rig"]["state"] == "degraded"
    assert status["projects"][0]["state"] == "degraded"
    assert {"what": "demo-workspace is exited", "remedy": "rigstack logs demo-workspace"} in status["problems"]
    page = rig.run("status")
    assert page.returncode == 5
    assert "! demo-workspace is exited" in page.stdout
    rig.up()
    assert rig.run("status").returncode == 0


@pytest.fixture
def quickly_checked(rig: LiveRig, tmp_path: Path) -> Iterator[str]:
    """The notebook's container with a health check every second instead of twice a minute; else the same."""
    override = tmp_path / "quick.json"
    check = {"interval": "1s", "timeout": "1s", "retries": 2}
    override.write_text(json.dumps({"services": {"demo-notebook": {"healthcheck": check}}}))
    argv = compose_argv(
        rig.path, str(assets_dir()), "-f", str(override), "up", "--detach", "--no-deps", "demo-notebook"
    )
    subprocess.run(argv, check=True, capture_output=True, timeout=PATIENCE)
    wait_for("it is healthy", lambda: rig.status()["projects"][0]["notebook"]["health"] == "healthy", timeout=60)
    yield rig.containers()["demo-notebook"]
    docker("rm", "--force", rig.containers()["demo-notebook"])
    rig.up()


def test_an_unhealthy_service_is_named_with_a_remedy(rig: LiveRig, quickly_checked: str) -> None:
    docker("exec", quickly_checked, "pkill", "-STOP", "-f", "jupyter-lab")
    wait_for("it is unhealthy", lambda: rig.status()["projects"][0]["notebook"]["health"] == "unhealthy")
    done = rig.run("status", "--json")
    assert done.returncode == 5
    status = json.loads(done.stdout)
    assert status["projects"][0]["notebook"]["state"] == "running"
    assert {"what": "demo-notebook is unhealthy", "remedy": "rigstack logs demo-notebook"} in status["problems"]
    waited = rig.run("up", "--timeout", "5")
    assert waited.returncode == 5
    assert "demo-notebook did not become healthy" in waited.stderr
    docker("exec", quickly_checked, "pkill", "-CONT", "-f", "jupyter-lab")
    wait_for("it is well again", lambda: rig.run("status").returncode == 0)


def test_logs_of_a_project_and_of_a_service(rig: LiveRig) -> None:
    workspace = rig.run("logs", "demo-workspace")
    assert workspace.returncode == 0
    assert "Server listening" in workspace.stdout
    assert "Jupyter" not in workspace.stdout
    both = rig.run("logs", "demo", "--tail", "all").stdout
    assert "Server listening" in both
    assert "Jupyter" in both
    unknown = rig.run("logs", "demmo")
    assert unknown.returncode == 2
    assert "demo, edge, gateway" in unknown.stderr


def test_down_is_a_state_too(rig: LiveRig) -> None:
    assert rig.run("down").returncode == 0
    done = rig.run("status", "--json")
    assert done.returncode == 5
    assert json.loads(done.stdout)["rig"]["state"] == "down"
    assert {"what": "nothing runs", "remedy": "rigstack up"} in json.loads(done.stdout)["problems"]
    rig.up()


def log_in(rig: LiveRig, jar: Path, password: str) -> str:
    """JupyterLab's login form as a browser sends it; the HTTP status (302: in, 401: refused)."""
    jar.unlink(missing_ok=True)
    assert code(rig, "/p/demo/login", "-c", str(jar)) == "200"
    cookie = re.search(r"\t_xsrf\t(\S+)", jar.read_text())
    assert cookie
    form = ("--data-urlencode", f"password={password}", "--data-urlencode", f"_xsrf={cookie.group(1)}")
    return code(rig, "/p/demo/login", "-b", str(jar), "-c", str(jar), *form)


def test_a_new_password_counts_at_once_and_ends_old_logins_but_no_kernel(rig: LiveRig, tmp_path: Path) -> None:
    jar, old, new = tmp_path / "cookies", rig.password, f"new {secrets.token_hex(8)}"
    assert old, "up showed no password"
    assert log_in(rig, jar, old) == "302"
    assert code(rig, "/p/demo/api/contents", "-b", str(jar)) == "200"
    assert code(rig, "/projects/", "--user", f"rig:{old}") == "200"
    notebook = rig.containers()["demo-notebook"]
    started = docker("inspect", "--format={{.State.StartedAt}}", notebook)

    done = subprocess.run(
        [*rig.program, "--rig", str(rig.path), "password", "--stdin"],
        input=new + "\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert new not in done.stdout + done.stderr
    wait_for("the old login ends", lambda: code(rig, "/p/demo/api/contents", "-b", str(jar)) == "403", timeout=10)
    assert log_in(rig, jar, old) == "401"
    assert code(rig, "/projects/", "--user", f"rig:{old}") == "401"
    assert log_in(rig, jar, new) == "302"
    assert code(rig, "/p/demo/api/contents", "-b", str(jar)) == "200"
    assert code(rig, "/projects/", "--user", f"rig:{new}") == "200"
    assert docker("inspect", "--format={{.State.StartedAt}}", notebook) == started, "kernels ended"
    docker("restart", "--time=2", notebook)
    wait_for("the notebook is back", lambda: rig.status()["projects"][0]["notebook"]["health"] == "healthy")
    assert code(rig, "/p/demo/api/contents", "-b", str(jar)) == "200", "a login does not outlive a restart"
    assert "nothing to do" in rig.up().stdout
    rig.password = new


def test_trust_is_what_it_takes_to_verify_the_edge(rig: LiveRig, tmp_path: Path) -> None:
    url = f"https://localhost:{rig.https_port}/"
    saved = tmp_path / "root.crt"
    assert rig.run("trust", "--export", str(saved)).returncode == 0
    assert rig.run("trust", "--export", "-").stdout == saved.read_text()
    without = subprocess.run(["curl", "-sS", url], capture_output=True, text=True)
    assert without.returncode == 60, "it verifies without the certificate: nothing was tried"
    done = subprocess.run(["curl", "-sS", "--cacert", saved, url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "<html" in done.stdout
    assert "demo" not in done.stdout, "who has not logged in learns a project's name"


def test_the_rest_is_404_and_http_leads_to_https(rig: LiveRig) -> None:
    assert code(rig, "/") == "200"
    assert code(rig, "/projects/") == "401"
    for path in ("/nowhere", "/p/", "/p/nobody/", "/api", "/p/demo/../../etc/passwd"):
        assert code(rig, path, "--path-as-is") == "404", path
    assert code(rig, "/", "-H", "Host: somebody.example") == "404"
    done = subprocess.run(
        [
            *("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"),
            f"http://localhost:{rig.http_port}/p/demo/lab?a=b",
        ],
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"308 https://localhost:{rig.https_port}/p/demo/lab?a=b"
