"""The main job as its user lives it: init, up, a shell, files, a notebook in a browser, down, up, all still there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import chromium, open_notebook, trust
from tests.live_rig import LiveRig, docker, wait_for


def test_the_gateway_is_a_jump_host_and_nothing_else(rig: LiveRig) -> None:
    description = json.loads(rig.ssh("gateway").stdout)
    assert [project["name"] for project in description["projects"]] == ["demo"]
    assert json.loads(rig.ssh("gateway", "cat /etc/passwd").stdout) == description
    for target in ("localhost:22", "edge:443", "demo-notebook:8888"):
        refused = rig.ssh("-o", "ExitOnForwardFailure=yes", "-W", target, "gateway")
        assert refused.returncode != 0
        assert "administratively prohibited" in refused.stderr, target
    assert (
        "remote port forwarding failed"
        in rig.ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:localhost:22", "gateway").stderr
    )


def test_a_login_through_the_gateway_runs_python_and_prints_nothing_else(rig: LiveRig) -> None:
    done = rig.ssh("demo", 'python -c "import sys; print(sys.prefix)"')
    assert (done.returncode, done.stdout, done.stderr) == (0, "/home/dev/.env\n", "")
    assert rig.ssh("demo", "true").stdout == ""
    owner = rig.code().stat()
    assert rig.ssh("demo", "id -u; id -g").stdout.split() == [str(owner.st_uid), str(owner.st_gid)]
    for program in ("git", "tmux", "rsync", "vim", "uv", "python", "pip"):
        assert rig.ssh("demo", f"command -v {program}").returncode == 0, program


def test_an_interactive_login_lands_in_the_project(rig: LiveRig) -> None:
    done = subprocess.run(
        ["ssh", "-tt", "-F", str(rig.ssh_config), "demo"],
        input="pwd; exit\n",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "/code/demo" in done.stdout


def test_a_stranger_is_not_let_in(rig: LiveRig, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    stranger = [
        *("ssh", "-F", "/dev/null", "-p", str(rig.ssh_port), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
        *(
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            f"UserKnownHostsFile={rig.known_hosts}",
            "-o",
            "HostKeyAlias=gateway",
        ),
    ]
    for words in (["-i", str(tmp_path / "key")], ["-o", "PubkeyAuthentication=no"]):
        for account in ("jump", "root", "dev"):
            refused = subprocess.run(
                [*stranger, *words, f"{account}@127.0.0.1"], capture_output=True, text=True, timeout=30
            )
            assert refused.returncode == 255
            assert "Permission denied (publickey)" in refused.stderr
    assert rig.ssh("gateway").returncode == 0


def test_sftp_puts_a_file_that_the_notebook_sees_with_the_right_owner(rig: LiveRig, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(os.urandom(1 << 20))
    done = subprocess.run(
        ["sftp", "-F", str(rig.ssh_config), "-b", "-", "demo"],
        input=f"put {tmp_path}/weights.bin /code/demo/weights.bin\n",
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    landed = rig.code() / "weights.bin"
    assert landed.read_bytes() == (tmp_path / "weights.bin").read_bytes()
    assert landed.stat().st_uid == rig.code().stat().st_uid
    seen = rig.run("compose", "--", "exec", "-T", "demo-notebook", "stat", "-c", "%s", "/code/demo/weights.bin")
    assert seen.stdout.strip() == str(1 << 20)


def test_rsync_and_local_and_remote_forwards(rig: LiveRig, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("print(1)\n")
    shell = f"ssh -F {rig.ssh_config}"
    subprocess.run(["rsync", "-a", "-e", shell, f"{tmp_path}/src", "demo:/code/demo/"], check=True, timeout=60)
    assert (rig.code() / "src" / "a.py").read_text() == "print(1)\n"

    from tests.live_rig import free_port

    port, back = free_port(), 20000 + os.getpid() % 20000
    server = subprocess.Popen(
        [
            *("ssh", "-F", str(rig.ssh_config), "-o", "ExitOnForwardFailure=yes"),
            *("-L", f"127.0.0.1:{port}:127.0.0.1:6006", "-R", f"127.0.0.1:{back}:127.0.0.1:{port}", "demo"),
            "exec timeout 60 python -m http.server --bind 127.0.0.1 --directory /code/demo 6006",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}/src/a.py"

        def answer() -> str:
            return subprocess.run(["curl", "-s", "--max-time", "5", url], capture_output=True, text=True).stdout

        wait_for("the forwarded port answers", lambda: answer() == "print(1)\n")
        # Back out again: the workspace reaches the laptop's port, which leads into the workspace.
        assert rig.ssh("demo", f"curl -s --max-time 5 http://127.0.0.1:{back}/src/a.py").stdout == "print(1)\n"
    finally:
        server.terminate()
        server.wait(timeout=10)


@pytest.fixture
def mounted(rig: LiveRig, tmp_path: Path) -> Iterator[Path]:
    point = tmp_path / "mounted"
    point.mkdir()
    options = f"reconnect,ServerAliveInterval=5,ServerAliveCountMax=2,ssh_command=ssh -F {rig.ssh_config}"
    subprocess.run(["sshfs", "-o", options, "demo:/code/demo", str(point)], check=True, timeout=60)
    try:
        yield point
    finally:
        subprocess.run(["fusermount", "-u", "-z", str(point)], check=False)


def test_sshfs_mounts_the_code(rig: LiveRig, mounted: Path) -> None:
    (mounted / "from-laptop.txt").write_text("hello rig")
    assert (rig.code() / "from-laptop.txt").read_text() == "hello rig"
    assert (rig.code() / "from-laptop.txt").stat().st_uid == rig.code().stat().st_uid


HEALTH = "--format={{.State.Health.Status}}"
TICKS = 12
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "ticks",
            "metadata": {},
            "outputs": [],
            "source": "import sys, time\n"
            "print('prefix', sys.prefix, flush=True)\n"
            f"for tick in range({TICKS}):\n    print('tick', tick, flush=True)\n    time.sleep(1)\n"
            "print('all done')\nopen('finished', 'w').close()",
        }
    ],
    "metadata": {"kernelspec": {"name": "project", "display_name": "demo", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def test_a_notebook_runs_on_while_the_browser_is_closed(rig: LiveRig, tmp_path: Path, artifacts: Path) -> None:
    notebook = rig.code() / "story.ipynb"
    notebook.write_text(json.dumps(NOTEBOOK))
    os.chown(notebook, rig.code().stat().st_uid, rig.code().stat().st_gid)
    trust(tmp_path, rig.root_certificate)
    url = f"https://localhost:{rig.https_port}/p/demo/lab/tree/story.ipynb"

    with chromium(tmp_path, rig.https_port) as browser:
        page = browser.new_page()
        page.goto(f"https://localhost:{rig.https_port}/")
        page.screenshot(path=str(artifacts / "landing.png"))
        cell = open_notebook(page, url, rig.password)
        expect(page.locator("#jp-main-statusbar")).to_contain_text("demo | Idle", timeout=60_000)
        cell.click()
        page.keyboard.press("Shift+Enter")
        expect(page.locator(".jp-OutputArea-output").first).to_contain_text("tick 1", timeout=60_000)
        page.screenshot(path=str(artifacts / "notebook-running.png"))
        assert "all done" not in page.locator(".jp-OutputArea-output").first.inner_text()
        assert not (rig.code() / "finished").exists()

    wait_for("the kernel finished while nobody looked", (rig.code() / "finished").exists, timeout=60)
    with chromium(tmp_path, rig.https_port) as browser:
        page = browser.new_page()
        open_notebook(page, url, rig.password)
        output = page.locator(".jp-OutputArea-output").first
        expect(output).to_contain_text("all done", timeout=60_000)
        text = output.inner_text()
        page.screenshot(path=str(artifacts / "notebook-after.png"))
    assert [f"tick {tick}" in text for tick in range(TICKS)] == [True] * TICKS
    assert "prefix /home/dev/.env" in text


def test_a_notebook_opened_again_runs_its_cells_and_shows_each_output_once(rig: LiveRig, tmp_path: Path) -> None:
    notebook = rig.code() / "again.ipynb"
    cell = {**NOTEBOOK["cells"][0], "source": "print('ran')"}
    notebook.write_text(json.dumps({**NOTEBOOK, "cells": [cell]}))
    os.chown(notebook, rig.code().stat().st_uid, rig.code().stat().st_gid)
    trust(tmp_path, rig.root_certificate)
    url = f"https://localhost:{rig.https_port}/p/demo/lab/tree/again.ipynb?reset"  # without the tabs of other pages
    server = rig.containers()["demo-notebook"]
    with chromium(tmp_path, rig.https_port) as browser:
        context = browser.new_context()
        for count in (1, 2, 1):  # of the kernel's executions
            if count == 1:
                docker("restart", server)
                wait_for("the notebook is healthy", lambda: docker("inspect", HEALTH, server) == "healthy")
            with context.new_page() as page:
                shown = open_notebook(page, url, rig.password)
                expect(page.locator("#jp-main-statusbar")).to_contain_text("demo | Idle", timeout=60_000)
                shown.click()
                page.keyboard.press("Control+Enter")
                expect(shown.locator(".jp-InputPrompt")).to_have_text(f"[{count}]:", timeout=20_000)
                expect(shown.locator(".jp-OutputArea-output")).to_have_text("ran")
    wait_for("it is saved", lambda: '"execution_count": 1' in notebook.read_text())
    outputs = json.loads(notebook.read_text())["cells"][0]["outputs"]
    assert ["".join(output["text"]) for output in outputs] == ["ran\n"]


PLOT = """
from IPython.display import HTML
HTML('''<p id="plot">nothing</p><script src="https://cdn.example.net/plot.js"></script><script>
document.getElementById("plot").textContent = "drawn " + eval("40 + 2");
fetch("https://collector.example.net/").catch(() => 0);
</script>''')
"""
PDF = (
    "%PDF-1.1 1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj "
    "3 0 obj<</Type/Page/MediaBox[0 0 9 9]/Parent 2 0 R>>endobj trailer<</Root 1 0 R>>"
)
TELL = (
    "addEventListener('securitypolicyviolation', e => e.blockedURI && tell(e.effectiveDirective + ' ' + e.blockedURI))"
)


def test_pages_draw_plots_and_show_files_and_talk_to_their_own_notebook_only(rig: LiveRig, tmp_path: Path) -> None:
    """The pages' Content-Security-Policy stops a plot's script that sends something elsewhere, and nothing else."""
    cell = {**NOTEBOOK["cells"][0], "source": PLOT}
    (rig.code() / "plot.ipynb").write_text(json.dumps({**NOTEBOOK, "cells": [cell]}))
    (rig.code() / "paper.pdf").write_text(PDF)
    (rig.code() / "app").mkdir()
    (rig.code() / "app/index.html").write_text("<script>document.write('an app')</script>")
    for path in ("plot.ipynb", "paper.pdf", "app", "app/index.html"):
        os.chown(rig.code() / path, rig.code().stat().st_uid, rig.code().stat().st_gid)
    server = rig.containers()["demo-notebook"]
    docker("exec", "--workdir=/code/demo", server, "/opt/jupyter/bin/jupyter", "trust", "plot.ipynb")
    app = ("python3", "-m", "http.server", "--bind=127.0.0.1", "--directory=/code/demo/app", "8765")
    docker("exec", "--detach", server, *app)
    trust(tmp_path, rig.root_certificate)
    base, stopped = f"https://localhost:{rig.https_port}/p/demo", []
    with chromium(tmp_path, rig.https_port) as browser:
        context = browser.new_context()
        context.expose_function("tell", lambda what: stopped.append(what))
        context.add_init_script(TELL)
        with context.new_page() as page:
            shown = open_notebook(page, f"{base}/lab/tree/plot.ipynb?reset", rig.password)
            expect(page.locator("#jp-main-statusbar")).to_contain_text("demo | Idle", timeout=60_000)
            shown.click()
            page.keyboard.press("Control+Enter")
            expect(page.locator("#plot")).to_have_text("drawn 42", timeout=20_000)
            page.goto(f"{base}/lab/tree/paper.pdf")
            expect(page.locator(".jp-PDFContainer")).to_be_visible(timeout=20_000)
            page.goto(f"{base}/proxy/8765/")
            expect(page.locator("body")).to_have_text("an app")
    assert set(stopped) == {"connect-src https://collector.example.net/"}


# A room writes the document's path before it asks the store, with each start of the server. See rigstack_documents.py.
DOCUMENT = """
import asyncio, tempfile
from pycrdt import Decoder, Doc, Map, Text
from pycrdt.store import YDocNotFound
from rigstack_documents import DocumentStore

async def main(path):
    for word in ("all ", "that ", "was ", "written", ""):
        doc, updates = Doc(), []
        doc.get("state", type=Map)["path"] = "a.ipynb"
        store = DocumentStore(path="doc")
        store.db_path = path
        store.squash_after_inactivity_of = shortened
        async with store:
            try:
                await store.apply_updates(doc)
            except YDocNotFound:
                await store.encode_state_as_update(doc)
            doc.observe(lambda event: updates.append(event.update))
            text = doc.get("text", type=Text)
            text += word
            for update in updates:
                await store.write(update)
    state = Decoder(doc.get_state())
    counts = {state.read_var_uint(): state.read_var_uint() for _ in range(state.read_var_uint())}
    print(text, min(counts.values()))  # 0 changes of somebody: the first is missing, and a browser waits for it

with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(folder + "/documents.db"))
"""


@pytest.mark.parametrize("shortened", ["None", "0"])
def test_a_document_s_store_is_whole_after_any_number_of_starts(rig: LiveRig, shortened: str) -> None:
    program = DOCUMENT.replace("= shortened", f"= {shortened}")
    done = rig.run("compose", "--", "exec", "-T", "demo-notebook", "/opt/jupyter/bin/python", "-c", program)
    assert (done.stdout, done.returncode) == ("all that was written 1\n", 0), done.stderr


def test_no_page_shows_anything_of_a_project_without_the_password(rig: LiveRig) -> None:
    notebook = rig.code() / "secret-plan.ipynb"
    notebook.write_text(json.dumps({**NOTEBOOK, "cells": []}))
    assert rig.curl("/p/demo/api").stdout.startswith('{"version"')
    for path in ("/", "/projects/", "/nowhere", "/p/demo/", "/p/demo/lab", "/p/demo/tree", "/p/demo/api/contents"):
        page = rig.curl(path, "--location").stdout
        assert "secret-plan" not in page, path
        if not path.startswith("/p/"):
            assert "demo" not in page, path
    for path in (
        "api/contents",
        "api/kernels",
        "api/terminals",
        "files/secret-plan.ipynb",
        "api/collaboration/session",
    ):
        code = rig.curl(f"/p/demo/{path}", "-o", "/dev/null", "-w", "%{http_code}").stdout
        assert code in ("302", "403", "404", "405"), (path, code)
    assert rig.curl("/projects/", "--user", f"rig:{rig.password}").stdout.count("/p/demo/") == 1
    wrong = rig.curl("/projects/", "--user", "rig:wrong", "-o", "/dev/null", "-w", "%{http_code}")
    assert wrong.stdout == "401"


def test_a_package_installed_by_hand_is_in_both_and_survives_a_rebuild(rig: LiveRig) -> None:
    assert rig.ssh("demo", "pip install --quiet wcwidth==0.2.13").returncode == 0
    ask = "import wcwidth; print(wcwidth.__version__)"
    notebook = ("compose", "--", "exec", "-T", "demo-notebook", "/home/dev/.env/bin/python", "-c", ask)
    assert rig.run(*notebook).stdout.strip() == "0.2.13"
    (rig.code() / "requirements.txt").write_text("numpy\nsix\n")
    refused = rig.run("up")  # the notebook's kernel still runs: nobody's work ends without a yes
    assert refused.returncode == 8, refused.stderr
    assert "kernel" in refused.stderr
    rig.up("--yes")
    assert rig.ssh("demo", f"python -c '{ask}'").stdout.strip() == "0.2.13"
    assert rig.run(*notebook).stdout.strip() == "0.2.13"


def test_down_and_up_again_keeps_host_keys_files_and_homes(rig: LiveRig) -> None:
    rig.ssh("demo", "echo mine > ~/mine; echo work > /code/demo/work.txt; echo set > /data/set.txt")
    keys = {path: path.read_bytes() for path in (rig.path / "state/keys").rglob("ssh_host_*")}
    authority = rig.root_certificate.read_bytes()
    assert rig.run("down").returncode == 0
    assert rig.containers() == {}
    rig.up()
    # known_hosts is as it was: strict checking passes only with the same host keys.
    assert rig.ssh("demo", "cat ~/mine /code/demo/work.txt /data/set.txt").stdout.split() == ["mine", "work", "set"]
    assert {path: path.read_bytes() for path in keys} == keys
    assert rig.root_certificate.read_bytes() == authority
