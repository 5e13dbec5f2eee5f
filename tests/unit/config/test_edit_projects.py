"""Projects come into rig.toml and go, and every comment and setting of others stays."""

from __future__ import annotations

import tomllib

import pytest

from rigstack.config.edit import with_project, without_project
from rigstack.errors import ConfigError

RIG = """# my rig
[rig]
name = "box"  # short

# about one
[projects.one]
gpus = 1
apt = [
    "ffmpeg",
]
# one's last remark

# about two
[projects.two]

[projects."three".env]
A = "x" # [projects.one]
"""


def test_a_project_comes_at_the_end() -> None:
    text = with_project(RIG, "four")
    assert text == RIG + "\n[projects.four]\n"
    assert with_project(text, "four") == text
    assert with_project("", "a") == "\n\n[projects.a]\n"
    assert with_project("[projects]\na = {}\n", "b") == "[projects]\na = {}\n\n[projects.b]\n"


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_a_project_goes_and_nothing_else(name: str) -> None:
    text = without_project(RIG, name)
    before, after = tomllib.loads(RIG), tomllib.loads(text)
    del before["projects"][name]
    assert after == before
    for comment in ("# my rig", "# short", "# about two"):
        assert comment in text


def test_text_around_it_is_not_touched() -> None:
    assert without_project(with_project(RIG, "four"), "four").rstrip() == RIG.rstrip()
    assert "gpus = 1" not in without_project(RIG, "one")


@pytest.mark.parametrize(
    "text", ["[projects]\none = { gpus = 1 }\ntwo = {}\n", "projects.one.gpus = 1\nprojects.two = {}\n"]
)
def test_other_ways_to_write_it(text: str) -> None:
    assert tomllib.loads(without_project(text, "one"))["projects"] == {"two": {}}


def test_one_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match='no project "five"') as raised:
        without_project(RIG, "five")
    assert raised.value.remedy == "projects: one, two, three"
    with pytest.raises(ConfigError, match="not valid TOML"):
        with_project("[", "x")
