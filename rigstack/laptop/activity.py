"""What is active on a rig, asked from a laptop: each workspace tells of itself and of its project's notebook.

The laptop may log in to workspaces and to nothing else, so it learns nothing of the host beside the rig, and nothing
new listens anywhere. A notebook writes down what runs in it at each health check (images/base/lib/health-notebook),
in the home that the two containers share.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from rigstack.assets import assets_dir
from rigstack.laptop import ssh
from rigstack.laptop.home import LaptopHome
from rigstack.plan.activity import activities, parse_processes
from rigstack.plan.remote import Connection, RemoteProject

PATIENCE = 30.0  # seconds
# What is older than two minutes was told by a notebook that does not run any more (it tells every 30 s).
SCRIPT = """
echo "== $$"
{list}
echo ==
find ~/.local/share/rigstack/notebook-processes -mmin -2 -exec cat {{}} \\; 2> /dev/null
"""


def activity_script() -> str:
    """What a workspace's shell runs; parse_activity reads what it prints."""
    text = (assets_dir() / "images/base/lib/list-processes").read_text(encoding="utf-8")
    return SCRIPT.format(list=text)


def parse_activity(text: str) -> tuple[str, ...]:
    """What somebody would miss in a project's two containers, in words; the one who asked does not count."""
    _, _, rest = text.partition("== ")
    asker, _, rest = rest.partition("\n")
    workspace, _, notebook = rest.partition("\n==\n")
    found = activities(parse_processes(workspace), asker=int(asker or 0)) + activities(parse_processes(notebook))
    return tuple(str(one) for one in found)


def observe_activity(home: LaptopHome, connection: Connection) -> dict[str, tuple[str, ...] | None]:
    """Project -> what is active in it, in words; None for a workspace that could not be asked."""

    def ask(project: RemoteProject) -> tuple[str, ...] | None:
        argv = ssh.client_argv(home, "-o", "BatchMode=yes", connection.direct_alias(project.name), "sh -s")
        done = ssh.run_ssh(argv, stdin=activity_script(), timeout=PATIENCE)
        return parse_activity(done.stdout) if done.ok else None

    projects = connection.rig.projects
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip((one.name for one in projects), pool.map(ask, projects), strict=True))
