"""The files that a new project starts with."""

from __future__ import annotations

import json

TEMPLATES = ("science", "bare")

_README = """# {name}

This folder is /code/{name} in the workspace and the notebook, and code/{name} in the rig directory.

- `requirements.txt`: Python packages for the project's image; `apt.txt`: Debian packages, one a line
- `src/`: code to import (it is reloaded while a notebook runs); `notebooks/`: start with `start.ipynb`
- `data`: leads to /data/{name}, which is on the host's disk and in no image

After a change of requirements: `rigstack up` on the GPU host.
"""
_IGNORE = """# data sets, models and what running leaves behind
/data
*.ckpt
*.pt
*.safetensors
runs/
wandb/
__pycache__/
.ipynb_checkpoints/
.venv/
.env
"""
_CODE = '''"""Code of {name} that notebooks and programs import."""


def wave(points: int) -> list[float]:
    """One period of a sine in so many points."""
    import math

    return [math.sin(2 * math.pi * point / points) for point in range(points)]
'''
_CELLS = (
    "%load_ext autoreload\n%autoreload 2\n%matplotlib inline\nimport sys\n\nsys.path.insert(0, '../src')",
    "import matplotlib.pyplot as plt\n\nfrom {module} import wave\n\nplt.plot(wave(100));",
)


def render_starter(name: str, template: str) -> dict[str, str]:
    """File below the project's folder -> text. template: one of TEMPLATES."""
    files = {".gitignore": _IGNORE, "README.md": _README.format(name=name), "requirements.txt": "matplotlib\nnumpy\n"}
    if template == "bare":
        return {".gitignore": _IGNORE, "README.md": f"# {name}\n", "requirements.txt": ""}
    module = name.replace("-", "_")
    if not module[0].isalpha():
        module = f"p_{module}"
    files[f"src/{module}.py"] = _CODE.format(name=name)
    files["notebooks/start.ipynb"] = render_notebook([cell.format(module=module) for cell in _CELLS])
    return files


def render_notebook(cells: list[str]) -> str:
    """A notebook of code cells on the project's kernel (nbformat 4.5: https://nbformat.readthedocs.io)."""
    document = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"start-{number}",
                "metadata": {},
                "outputs": [],
                "source": cell.splitlines(keepends=True),
            }
            for number, cell in enumerate(cells, 1)
        ],
        "metadata": {"kernelspec": {"display_name": "project", "language": "python", "name": "project"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1) + "\n"
