"""Which of a container's processes somebody would miss, from what ps prints."""

from __future__ import annotations

import pytest
from builders import DEMO, DEMO_AND_CIFAR, a_desire, settled

from rigstack.plan.activity import activities, ending, parse_processes, services_of, spoken
from rigstack.plan.reconcile import reconcile

WORKSPACE = """
      1       0    9000 /sbin/docker-init -- /usr/local/lib/rigstack/entrypoint workspace
      7       1    9000 sshd: /usr/sbin/sshd -D -e -f /usr/local/lib/rigstack/sshd_config [listener]
"""
NOTEBOOK = """
      1       0    9000 /sbin/docker-init -- /usr/local/lib/rigstack/entrypoint notebook
      7       1    9000 /opt/jupyter/bin/python /opt/jupyter/bin/jupyter-lab --no-browser --ServerApp.ip=0.0.0.0
"""


def running(base: str, *lines: str, sessions: str = "") -> list[str]:
    return [str(one) for one in activities(parse_processes(base + "\n".join(lines) + "\n--\n" + sessions))]


def test_an_idle_container_has_none() -> None:
    assert running(WORKSPACE) == running(NOTEBOOK) == []
    assert activities(parse_processes("")) == ()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (
            ["22 7 60 sshd-session: dev [priv]", "35 22 60 sshd-session: dev@pts/1", "36 35 59 -bash"],
            ["ssh session: -bash (process 36, for 1 min)"],
        ),
        (
            ["22 7 9 sshd: dev [priv]", "35 22 9 sshd: dev@notty", "36 35 9 bash -c x", "37 36 8 python train.py"],
            ["ssh session: python train.py (process 37, for 9 s)"],
        ),
        (
            ["22 7 9 sshd-session: dev [priv]", "35 22 9 sshd-session: dev@internal-sftp"],
            ["sftp session: internal-sftp (process 35, for 9 s)"],
        ),
        # A connection that only waits, for an IDE or ssh's ControlPersist.
        (["22 7 9 sshd-session: dev [priv]", "35 22 9 sshd-session: dev"], []),
        (["22 7 9 sshd-session: dev [priv]", "35 22 9 sshd-session: dev@notty"], []),
        (
            ["30 1 7200 python train.py", "31 30 7200 python train.py"],
            ["job: python train.py (process 30, for 2 h 0 min)"],
        ),
        (
            ["33 1 200000 tmux new -d", "34 33 200000 -bash", "35 34 99 python train.py --epochs 3"],
            ["job: python train.py --epochs 3 (process 35, for 2 d)"],
        ),
        (["33 1 60 tmux: server", "34 33 60 -bash"], ["job: -bash (process 34, for 1 min)"]),
        # What an editor left behind, and what came by `docker exec`.
        (["40 1 60 sh /home/dev/.vscode-server/bin/x/server.sh", "41 40 60 /home/dev/.vscode-server/node"], []),
        (["40 0 1 /bin/sh -c ps", "41 40 0 ps -ww -eo pid=,ppid=,etimes=,args="], []),
    ],
)
def test_in_a_workspace(lines: list[str], found: list[str]) -> None:
    assert running(WORKSPACE, *lines) == found


def test_in_a_notebook() -> None:
    found = running(
        NOTEBOOK,
        "20 7 300 /home/dev/.env/bin/python -m ipykernel_launcher -f /run/rigstack/jupyter/kernel-12ab.json",
        "21 20 10 python worker.py",
        "22 7 300 /home/dev/.env/bin/python -m ipykernel_launcher -f /run/rigstack/jupyter/kernel-34cd.json",
        "30 7 60 /bin/bash -l",
        "31 30 50 htop",
        "40 7 60 tensorboard --logdir runs",
        sessions="/proc/20/environ /code/demo/a b.ipynb\n/proc/21/environ /code/demo/a b.ipynb\n",
    )
    assert found == [
        "kernel: /code/demo/a b.ipynb (process 20, for 5 min)",
        "kernel: a notebook (process 22, for 5 min)",
        "terminal: htop (process 31, for 1 min)",
        "job: tensorboard --logdir runs (process 40, for 1 min)",
    ]


def test_who_asks_does_not_count() -> None:
    lines = ["22 7 9 sshd-session: dev [priv]", "35 22 9 sshd-session: dev@notty", "36 35 9 sh -s", "37 36 0 ps -ww"]
    others = ["45 22 9 sshd-session: dev@notty", "46 45 9 python train.py"]
    text = WORKSPACE + "\n".join(lines + others) + "\n--\n"
    assert [one.what for one in activities(parse_processes(text), asker=36)] == ["python train.py"]
    assert len(activities(parse_processes(text))) == 2


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (3599, "59 min"), (3660, "1 h 1 min"), (172800, "2 d")]
)
def test_durations(seconds: int, words: str) -> None:
    assert spoken(seconds) == words


def test_what_a_plan_ends() -> None:
    before = a_desire(DEMO_AND_CIFAR)
    seen = settled(before)
    after = a_desire(DEMO_AND_CIFAR, files={"demo": {"requirements.txt": "torch\n"}})
    plan = reconcile(after, seen)
    assert {what: [one.service for one in of] for what, of in ending(plan, seen).items()} == {
        "demo": ["demo-workspace", "demo-notebook"]
    }
    assert services_of("demo", seen) == {"demo-workspace", "demo-notebook"}
    gone = ending(reconcile(a_desire("[projects.cifar]"), seen), seen)
    assert list(gone) == ["demo"]
    gateway = ending(reconcile(a_desire(DEMO_AND_CIFAR, sources={"gateway": {"x": "y"}}), seen), seen)
    assert {what: [one.service for one in of] for what, of in gateway.items()} == {
        "gateway": ["demo-workspace", "cifar-workspace"]
    }
    assert services_of("gateway", seen) == {"gateway"}
    first = settled(before, containers={"demo-workspace": None, "demo-notebook": {"state": "exited"}})
    assert ending(reconcile(before, first), first) == {}
    assert ending(reconcile(a_desire(DEMO), settled(a_desire(DEMO))), settled(a_desire(DEMO))) == {}
