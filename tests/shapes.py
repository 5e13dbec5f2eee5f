"""Repositories in the shapes that people have, small: each with an example that only runs when it was understood."""

from __future__ import annotations

from pathlib import Path

PACKAGE = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "1.2.3"
dependencies = [{dependencies}]
[project.optional-dependencies]
colour = ["colorama==0.4.6"]
[project.scripts]
{name}-hello = "{name}.main:hello"
[tool.ruff]
line-length = 100
"""
MAIN = """import importlib.metadata
def hello():
    print("hello from", __file__, importlib.metadata.version("{name}"))
"""

Files = dict[str, str]


def package(name: str, *, below: str = "", dependencies: str = "") -> Files:
    """A package with a src layout."""
    return {
        f"{below}pyproject.toml": PACKAGE.format(name=name, dependencies=dependencies),
        f"{below}src/{name}/__init__.py": "",
        f"{below}src/{name}/main.py": MAIN.format(name=name),
    }


# A C extension without a wheel, constraints, extras, an include, and packages of its own beside and below.
REQUIREMENTS: Files = {
    "requirements.txt": "-r base.txt\n-c constraints.txt\n-e ./tools[colour]\n./old\nsix\n",
    "base.txt": "--no-binary sgp4\nsgp4==2.25\n",
    "constraints.txt": "six==1.16.0\n",
    **package("tools", below="tools/"),
    "old/setup.py": "from setuptools import setup\n"
    "setup(name='old', version='0.9', py_modules=['old'], install_requires=open('requirements.in').read().split())\n",
    "old/requirements.in": "toolz==1.0.0\n",
    "old/setup.cfg": "",
    "old/old.py": "answer = 42\n",
}
PYPROJECT: Files = {
    **package("plainpy", dependencies='"attrs==25.3.0"'),
    "tests/test_it.py": "import attrs, plainpy.main\ndef test_it():\n    assert attrs.__version__ == '25.3.0'\n",
}
CONDA: Files = {
    "environment.yml": """name: x
channels: [conda-forge]
dependencies:
  - python
  - conda-forge::toolz=1.0
  - cudatoolkit
  - pip:
    - six==1.16.0
    - -r more.txt
""",
    "more.txt": "packaging==25.0\n",
}
APT: Files = {
    "apt.txt": "libgl1  # opencv wants it\nsqlite3\n",
    "postBuild": "#!/bin/bash\nsqlite3 /opt/made.db 'create table t(x)'\n",
}
DOCKERFILE: Files = {
    "Dockerfile": "# syntax=docker/dockerfile:1\nFROM rigstack/debian:trixie AS system\n"
    "RUN useradd --uid 1000 theirs && echo they > /etc/whose\n"
    "COPY settings /etc/settings\nENV THEIR_VALUE='${not} %{ours}'\nENTRYPOINT [\"sleep\"]\n",
    "settings/one.conf": "one\n",
    "train.py": "print('theirs')\n",
}
DEVCONTAINER: Files = {
    ".devcontainer/devcontainer.json": """{
  // what VS Code writes
  "name": "x", "build": {"dockerfile": "Dockerfile", "args": {"SAID": "a ${b}"}},
  "remoteUser": "vscode",
  "containerEnv": {"WHERE": "${containerWorkspaceFolder}/data"},
  "forwardPorts": [6006],
  "mounts": ["source=x,target=/y,type=volume"],
  "postCreateCommand": "echo $WHERE > created && pwd >> created",
}
""",
    ".devcontainer/Dockerfile": 'FROM rigstack/debian:trixie\nARG SAID\nRUN echo "$SAID" > /etc/said\n',
}


def write(folder: Path, files: Files, owner: tuple[int, int]) -> None:
    """Puts the files into a project's folder, as its owner would."""
    import os

    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if os.geteuid() == 0:
        for one in folder.rglob("*"):
            os.chown(one, *owner, follow_symlinks=False)
