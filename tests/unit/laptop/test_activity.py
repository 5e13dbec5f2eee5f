"""What a workspace answers when a laptop asks what is active: the real script in a real shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from rigstack.laptop.activity import activity_script, parse_activity

NOTEBOOK = """\
      1       0    9000 /sbin/docker-init -- /usr/local/lib/rigstack/entrypoint notebook
      7       1    9000 /opt/jupyter/bin/python /opt/jupyter/bin/jupyter-lab --no-browser
     20       7     300 /home/dev/.env/bin/python -m ipykernel_launcher -f /run/rigstack/jupyter/kernel-12ab.json
--
/proc/20/environ /code/demo/a b.ipynb
"""


def ask(home: Path) -> str:
    done = subprocess.run(
        ["sh", "-s"], input=activity_script(), capture_output=True, text=True, env={**os.environ, "HOME": str(home)}
    )
    return done.stdout


def test_what_the_notebook_wrote_down_is_told(tmp_path: Path) -> None:
    told = tmp_path / ".local/share/rigstack/notebook-processes"
    told.parent.mkdir(parents=True)
    kernel = "kernel: /code/demo/a b.ipynb (process 20, for 5 min)"
    assert kernel not in parse_activity(ask(tmp_path))
    told.write_text(NOTEBOOK)
    assert kernel in parse_activity(ask(tmp_path))
    os.utime(told, (1, 1))  # by a notebook that stopped long ago
    assert kernel not in parse_activity(ask(tmp_path))
