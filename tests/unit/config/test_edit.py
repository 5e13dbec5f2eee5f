"""Single changes to rig.toml leave every other byte alone."""

from __future__ import annotations

import pytest
from builders import ALICE, BOB

from rigstack.config.edit import with_key, without_key
from rigstack.config.load import parse_rig
from rigstack.errors import ConfigError

SOURCE = f"""# my rig
[rig]
name = "box"  # its name

[access]
# who may log in
authorized_keys = [
    # the laptop
    "{ALICE}",
]

[projects.demo]
"""


def keys(source: str, tmp_path: object) -> tuple[str, ...]:
    return parse_rig(source, rig_dir=tmp_path).access.authorized_keys  # type: ignore[arg-type]


def test_add_and_remove(tmp_path: object) -> None:
    both = with_key(SOURCE, BOB)
    assert keys(both, tmp_path) == (ALICE, BOB)
    for line in SOURCE.splitlines():
        assert line in both
    assert with_key(both, BOB) == both
    assert with_key(both, " ".join(BOB.split()[:2]) + " another comment") == both
    assert without_key(both, BOB) == SOURCE
    with pytest.raises(ConfigError, match="no entry"):
        without_key(SOURCE, BOB)


@pytest.mark.parametrize(
    "source", ["", "[rig]\nname='x'\n", "[access]\nssh_port=2222\n", "[access]\nauthorized_keys=[]\n"]
)
def test_where_there_was_no_list(source: str, tmp_path: object) -> None:
    assert keys(with_key(source, "github:me"), tmp_path) == ("github:me",)
    assert keys(with_key(source, ALICE), tmp_path) == (ALICE,)


def test_what_is_no_list_and_no_toml() -> None:
    with pytest.raises(ConfigError, match="not a list"):
        with_key("[access]\nauthorized_keys = 'x'\n", ALICE)
    with pytest.raises(ConfigError, match="not valid TOML"):
        with_key("[access\n", ALICE)
