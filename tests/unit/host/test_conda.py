"""An environment.yml in pip's and Debian's words, and what of it cannot be said in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigstack.errors import ConfigError
from rigstack.host.project.conda import CondaEnvironment, parse_environment


def parsed(text: str) -> CondaEnvironment:
    return parse_environment(Path("/p/environment.yml"), text)


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("numpy", "numpy"),
        ("numpy=*", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy=1.26.4=py312h1234_0", "numpy==1.26.4"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy 1.26.4", "numpy==1.26.4"),
        ("numpy 1.26.*", "numpy==1.26.*"),
        ("numpy=1.26.*", "numpy==1.26.*"),
        ("numpy 1.26.4 py312_0", "numpy==1.26.4"),
        ("numpy>=1.26,<2", "numpy>=1.26,<2"),
        ("numpy >=1.26, !=1.26.3", "numpy>=1.26,!=1.26.3"),
        ("numpy=1.26,!=1.26.3", "numpy==1.26.*,!=1.26.3"),
        ("conda-forge::numpy=1.26", "numpy==1.26.*"),
        ("conda-forge/linux-64::numpy", "numpy"),
        ("numpy[version='>=1.26']", "numpy>=1.26"),
        ("NumPy", "numpy"),
        ("pytorch=2.5", "torch==2.5.*"),
        ("opencv", "opencv-python-headless"),
    ],
)
def test_specifications(spec: str, line: str) -> None:
    found = parsed(f'dependencies: ["{spec}"]\n')
    assert [requirement for _, requirement in found.wheels] == [line]


@pytest.mark.parametrize("spec", ["numpy=1.2|=1.3", "numpy>>1", "=1.2", "/a/b.conda"])
def test_what_pip_has_no_words_for(spec: str) -> None:
    with pytest.raises(ConfigError, match="cannot be told to pip"):
        parsed(f'dependencies: ["{spec}"]\n')


@pytest.mark.parametrize(
    ("spec", "python"),
    [
        ("python", ""),
        ("python=3", ""),
        ("python=3.13", ""),
        ("python>=3.10", ""),
        ("python=3.12", "3.12"),
        ("python=3.11.9", "3.11"),
        ("conda-forge::python==3.11.4", "3.11"),
        ("python 3.10.*", "3.10"),
        ("python>=3.10,<3.12", "3.11"),
        ("python<3.13", "3.12"),
        ("python>3.13", "3.14"),
        ("python>=3.9,!=3.13.*", "3.14"),
    ],
)
def test_its_python(spec: str, python: str) -> None:
    assert parsed(f'dependencies: ["{spec}"]\n').python == python


def test_a_python_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"no Python for 'python=2\.7'"):
        parsed("dependencies: [python=2.7]\n")


def test_a_whole_file() -> None:
    found = parsed(
        """# ours
name: x
channels: [conda-forge, nodefaults, bioconda]
dependencies:
  - python=3.12
  - "numpy>=1.26"   # why
  - ffmpeg
  - cudatoolkit=12
  - pip
  - pip:
      - six==1.17.0
      - -r more.txt
variables:
  WANDB_MODE: offline
odd: 1
"""
    )
    assert found == CondaEnvironment(
        wheels=(("numpy", "numpy>=1.26"),),
        debian=(("ffmpeg", "ffmpeg"),),
        pip=("six==1.17.0", "-r more.txt"),
        python="3.12",
        notes=(
            "environment.yml: variables are not honoured: write WANDB_MODE into env of [tool.rigstack] or rig.toml",
            "environment.yml: channels bioconda: packages come from the package index; see index in [projects.NAME]",
            "environment.yml: odd is not honoured: rigstack does not know it",
        ),
    )
    assert parsed("") == parsed("name: x\n") == CondaEnvironment()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dependencies:\n  - [\n", r"/p/environment\.yml is not valid YAML in line \d: "),
        ("dependencies:\n\t- numpy\n", r"not valid YAML in line 2: found character"),
        ("- numpy\n", "has no list of dependencies"),
        ("dependencies: numpy\n", "dependencies is not a list"),
        ("dependencies:\n  - 3.12\n", r"dependencies: 3\.12 is no package"),
        ("dependencies:\n  - conda: [x]\n", "is no package"),
        ("dependencies: [!!python/object/apply:os.system [id]]\n", "not valid YAML in line 1: could not determine"),
    ],
)
def test_mistakes(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        parsed(text)
    assert raised.value.remedy
