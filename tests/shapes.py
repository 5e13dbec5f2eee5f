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
[dependency-groups]
dev = [{dev}]
[tool.ruff]
line-length = 100
"""
MAIN = """import importlib.metadata
def hello():
    print("hello from", __file__, importlib.metadata.version("{name}"))
"""

Files = dict[str, str]


def package(name: str, *, below: str = "", dependencies: str = "", dev: str = "") -> Files:
    """A package with a src layout; dev: its dependencies for development."""
    return {
        f"{below}pyproject.toml": PACKAGE.format(name=name, dependencies=dependencies, dev=dev),
        f"{below}src/{name}/__init__.py": "",
        f"{below}src/{name}/main.py": MAIN.format(name=name),
    }


# Suites that people run: with pytest where the repository asks for it, else with what Python has.
PYTEST = "import sys, pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'tests']))"
UNITTEST = "import unittest; unittest.main(module=None, argv=['', 'discover', '-s', 'tests'])"


# A C extension without a wheel, constraints, extras, an include, and packages of its own beside and below.
REQUIREMENTS: Files = {
    "requirements.txt": "-r base.txt\n-c constraints.txt\n-e ./tools[colour]\n./old\nsix\n",
    "base.txt": "--no-binary sgp4\r\nsgp4==2.25  # größe \N{SNOWMAN}, and lines as Windows ends them\r\n",
    "constraints.txt": "six==1.16.0\n",
    **package("tools", below="tools/"),
    "old/setup.py": "from setuptools import setup\n"
    "setup(name='old', version='0.9', py_modules=['old'], install_requires=open('requirements.in').read().split())\n",
    "old/requirements.in": "toolz==1.0.0\n",
    "old/setup.cfg": "",
    "old/old.py": "answer = 42\n",
}
# A package with a C extension of its own, and a suite that only passes when it was compiled.
COMPILED: Files = {
    "requirements.txt": "-e .\npytest==8.4.2\n",
    "pyproject.toml": '[build-system]\nrequires = ["setuptools>=80"]\nbuild-backend = "setuptools.build_meta"\n'
    '[project]\nname = "fastsum"\nversion = "0.1"\n',
    "setup.py": "from setuptools import Extension, setup\n"
    "setup(package_dir={'': 'src'}, packages=['fastsum'],\n"
    "      ext_modules=[Extension('fastsum._fast', ['src/fastsum/_fast.c'])])\n",
    "src/fastsum/__init__.py": "from fastsum._fast import total\n",
    "src/fastsum/_fast.c": """#include <Python.h>
static PyObject *total(PyObject *self, PyObject *numbers) {
    double sum = 0;
    PyObject *items = PySequence_Fast(numbers, "numbers are expected");
    if (!items) return NULL;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items); i++)
        sum += PyFloat_AsDouble(PySequence_Fast_GET_ITEM(items, i));
    Py_DECREF(items);
    return PyErr_Occurred() ? NULL : PyFloat_FromDouble(sum);
}
static PyMethodDef methods[] = {{"total", total, METH_O, "The sum."}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", NULL, -1, methods};
PyMODINIT_FUNC PyInit__fast(void) { return PyModule_Create(&module); }
""",
    "tests/test_fast.py": "import fastsum, fastsum._fast, pytest\n"
    "def test_compiled():\n    assert fastsum._fast.__file__.endswith('.so')\n"
    "def test_total():\n    assert fastsum.total([1, 2.5]) == 3.5\n"
    "def test_wrong():\n    with pytest.raises(TypeError):\n        fastsum.total(['x'])\n",
}
# pytest is in the group `dev`, as `uv add --dev` writes it.
PYPROJECT: Files = {
    **package("plainpy", dependencies='"attrs==25.3.0"', dev='"pytest==8.4.2"'),
    "tests/test_it.py": "import attrs, plainpy.main\ndef test_it():\n    assert attrs.__version__ == '25.3.0'\n",
    ".devcontainer.json": """{"postCreateCommand": {
        "a": "echo one > created; cd /", "b": ["sh", "-c", "echo two >> created"]
    }}""",
}
LOCKED: Files = {
    **package("locked", dependencies='"six==1.16.0"', dev='"pytest==8.4.2"'),
    "tests/test_it.py": "import six, locked.main\ndef test_it():\n    assert six.__version__ == '1.16.0'\n",
}
CONDA: Files = {
    "environment.yml": """name: x
channels: [conda-forge]
dependencies:
  - python>=3.11
  - conda-forge::toolz=1.0
  - "cudatoolkit[version='>=11']"
  - pip:
    - six==1.16.0
    - -r more.txt
""",
    "more.txt": "packaging==25.0\n",
}
# A library of the system (opencv loads libGL) and a program of it (ffmpeg), in the image and in what postBuild runs.
APT: Files = {
    "apt.txt": "libgl1  # opencv wants it\nlibglib2.0-0t64\nffmpeg\n",
    "requirements.txt": "opencv-python==4.12.0.88\nnumpy<2.3\npytest==8.4.2\n",
    "postBuild": "#!/bin/bash\nffmpeg -v error -f lavfi -i testsrc=size=64x48:rate=10:duration=1 /opt/clip.mp4\n",
    "tests/test_clip.py": "import cv2\ndef test_clip():\n    clip = cv2.VideoCapture('/opt/clip.mp4')\n"
    "    frames = []\n    while (read := clip.read())[0]:\n        frames.append(read[1])\n"
    "    assert [one.shape for one in frames] == [(48, 64, 3)] * 10\n    assert frames[0].std() > 0\n",
}
# Packages of a virtual environment that its Dockerfile puts first on PATH, as many do.
DOCKERFILE: Files = {
    "Dockerfile": """# syntax=docker/dockerfile:1
FROM rigstack/debian:trixie AS system
RUN --mount=type=secret,id=apt_mirror apt-get update \\
 && apt-get install -y --no-install-recommends python3-venv ca-certificates
RUN --mount=type=secret,id=ca_bundle --mount=type=secret,id=pip_index \\
    [ ! -s /run/secrets/ca_bundle ] || export PIP_CERT=/run/secrets/ca_bundle; \\
    python3 -m venv /opt/theirs && /opt/theirs/bin/pip install --no-cache-dir six==1.16.0
ENV PATH=/opt/theirs/bin:$PATH
RUN useradd --uid 1000 theirs && echo they > /etc/whose
COPY settings /etc/settings
ENV THEIR_VALUE='${not} %{ours}'
ENTRYPOINT ["sleep"]
""",
    "settings/one.conf": "one\n",
    "settings/größe \N{SNOWMAN} $x.conf": "odd\n",
    "train.py": "print('theirs')\n",
    "tests/test_theirs.py": "import pathlib, unittest, six\nclass Theirs(unittest.TestCase):\n"
    "    def test_packages(self):\n        self.assertEqual(six.__version__, '1.16.0')\n"
    "        self.assertTrue(six.__file__.startswith('/opt/theirs/'))\n"
    "    def test_settings(self):\n        self.assertEqual(pathlib.Path('/etc/whose').read_text(), 'they\\n')\n"
    "    def test_odd_names(self):\n        self.assertIn('gr\u00f6\u00dfe \N{SNOWMAN} $x.conf', "
    "[one.name for one in pathlib.Path('/etc/settings').iterdir()])\n",
}
DEVCONTAINER: Files = {
    ".devcontainer/devcontainer.json": """{
  // what VS Code writes
  "name": "x", "build": {"dockerfile": "Dockerfile", "args": {"SAID": "a ${b}"}},
  "workspaceFolder": "/workspaces/dev", /* where it
     would be there */
  "remoteUser": "vscode",
  "containerEnv": {"WHERE": "${containerWorkspaceFolder}/data"},
  "forwardPorts": [6006],
  "features": {"ghcr.io/devcontainers/features/node:1": {"version": "lts"}},
  "mounts": [
    "source=dev-history,target=/commandhistory,type=volume",
    {"source": "${localWorkspaceFolder}/assets", "target": "/assets", "type": "bind"},
    "source=/var/run/docker.sock,target=/var/run/docker.sock,type=bind",
    "source=${localEnv:HOME}/.ssh,target=/home/vscode/.ssh,type=bind,readonly",
  ],
  "postCreateCommand": "echo $WHERE > created && pwd >> created",
}
""",
    "assets/one.txt": "one\n",
    ".devcontainer/Dockerfile": 'FROM rigstack/debian:trixie\nARG SAID\nRUN echo "$SAID" > /etc/said\n',
    "tests/test_dev.py": "import os, pathlib, unittest\nclass Dev(unittest.TestCase):\n"
    "    def test_where(self):\n        self.assertEqual(os.environ['WHERE'], '/code/dev/data')\n"
    "        self.assertEqual(pathlib.Path('/etc/said').read_text(), 'a ${b}\\n')\n",
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
