"""The annotated rig.toml, the schema and the model say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from rigstack import config
from rigstack.cli.init import annotated
from rigstack.config.load import parse_rig
from rigstack.config.model import Access, Ddns, Images, Project, Tls
from rigstack.config.schema import PROJECT, TABLES, Key

REFERENCE = (Path(config.__file__).parent / "reference.toml").read_text(encoding="utf-8")

# A commented table header or key, as against a sentence.
COMMENTED = re.compile(r"^# (?=\[[a-z.]+\]$|[a-z0-9_]+ = \S)", re.M)


def uncommented() -> dict[str, Any]:
    return tomllib.loads(COMMENTED.sub("", REFERENCE))


def test_it_is_a_rig_as_it_stands(tmp_path: Path) -> None:
    assert parse_rig(REFERENCE, rig_dir=tmp_path).projects == ()


def test_it_is_a_rig_with_every_line_uncommented(tmp_path: Path) -> None:
    rig = parse_rig(COMMENTED.sub("", REFERENCE), rig_dir=tmp_path)
    assert rig.ddns is not None
    assert [project.name for project in rig.projects] == ["demo"]


def test_it_has_every_key_of_the_schema_and_no_other() -> None:
    shown = uncommented()
    projects = shown.pop("projects")
    assert {table: list(keys) for table, keys in shown.items()} == {table: list(keys) for table, keys in TABLES.items()}
    assert list(projects["demo"]) == list(PROJECT)


KEYS = [(table, key, rule) for table, keys in TABLES.items() for key, rule in keys.items()]
KEYS += [("projects.demo", key, rule) for key, rule in PROJECT.items()]


@pytest.mark.parametrize(("table", "key", "rule"), KEYS, ids=[f"{table}.{key}" for table, key, _ in KEYS])
def test_what_it_shows_is_the_default_or_an_example_where_there_is_none(table: str, key: str, rule: Key) -> None:
    shown: Any = uncommented()
    for part in [*table.split("."), key]:
        shown = shown[part]
    parsed = rule.parse(shown)
    if not rule.required and rule.default not in ("", None, ()):
        assert parsed == rule.default


@pytest.mark.parametrize(("table", "key", "rule"), KEYS, ids=[f"{table}.{key}" for table, key, _ in KEYS])
def test_each_line_is_explained(table: str, key: str, rule: Key) -> None:
    """Above each key, or above the run of keys that it stands in, is a sentence."""
    body = REFERENCE.partition(f"[{table}]\n")[2]
    before = re.split(rf"^(?:# )?{key} = ", body, maxsplit=1, flags=re.M)[0]
    assert re.search(r"^# [^\[]*[a-z]{3}.*[.:]", COMMENTED.sub("", before), re.M), before


def test_the_model_has_the_schema_s_keys() -> None:
    models = {"access": Access, "tls": Tls, "ddns": Ddns, "images": Images}
    for table, model in models.items():
        assert set(model.__annotations__) == set(TABLES[table])
    assert set(Project.__annotations__) == {"name", *PROJECT}


def test_init_puts_its_values_into_it(tmp_path: Path) -> None:
    keys = ("github:alice", 'ssh-ed25519 AAAA Zoë\'s "laptop" \N{KEY}')
    text = annotated(name="box", hostname="rig.example.net", keys=keys, projects=("demo", "cifar"))
    rig = parse_rig(text, rig_dir=tmp_path)
    assert (rig.name, rig.hostname, rig.access.authorized_keys) == ("box", "rig.example.net", keys)
    assert [project.name for project in rig.projects] == ["demo", "cifar"]
    assert len(text.splitlines()) > len(REFERENCE.splitlines())
