"""Packages written into an environment.yml, comments and all else left alone."""

from __future__ import annotations

import pytest

from rigstack.render.environment import with_pip_lines

HEAD = "name: x  # mine\nchannels: [conda-forge]\ndependencies:\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  - numpy=2\n", "  - numpy=2\n  - pip:\n      - six==1.17.0\n"),
        ("- numpy=2\n- pip\n\n# the end\n", "- numpy=2\n- pip\n- pip:\n    - six==1.17.0\n\n# the end\n"),
        ("  - pip:  # of the index\n", "  - pip:  # of the index\n      - six==1.17.0\n"),
        (
            "  - pip:\n    # first\n    - a==1  # why\n    - -r more.txt\n  - numpy  # last\n",
            "  - pip:\n    # first\n    - a==1  # why\n    - -r more.txt\n    - six==1.17.0\n  - numpy  # last\n",
        ),
        ("  - pip:\n    - SIX[x]>=1  # why\n    - b\n", "  - pip:\n    - SIX[x]==1.17.0  # why\n    - b\n"),
        ("  - pip:\n      - b\nvariables:\n  A: b\n", "  - pip:\n      - b\n      - six==1.17.0\nvariables:\n  A: b\n"),
    ],
)
def test_a_line_is_written_below_pip(before: str, after: str) -> None:
    assert with_pip_lines(HEAD + before, {"six": "six==1.17.0"}) == HEAD + after


def test_folders_and_addresses_too() -> None:
    lines = {"own": "-e ./own", "x": "x @ git+https://h/x.git@abc"}
    assert with_pip_lines(HEAD + "- pip:\n  - b\n", lines) == (
        HEAD + "- pip:\n  - b\n  - -e ./own\n  - x @ git+https://h/x.git@abc\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "dependencies: [numpy, {pip: [b]}]\n",
        "name: x\n",
        "",
        HEAD + "  - six=1.16\n  - pip:\n    - b\n",
        HEAD + "  - conda-forge::six\n",
        HEAD + "  - pip:\n    - 'six>=1'\n",
        HEAD + "  - pip: [b]\n",
        HEAD + "  - pip:\n    - b\n  - pip:\n    - six\n",
        HEAD + "\t- numpy\n",
    ],
)
def test_what_is_left_to_its_author(text: str) -> None:
    assert with_pip_lines(text, {"six": "six==1.17.0"}) is None
