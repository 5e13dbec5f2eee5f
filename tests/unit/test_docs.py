"""The docs say what is so: generated pages match their sources, and pages name every command, code and setting."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from rigstack.cli import COMMANDS

ROOT = Path(__file__).parents[2]


def _pages() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.pages())


@pytest.mark.parametrize("name", ["commands.md", "config.md", "exit-codes.md"])
def test_a_generated_page_is_as_its_source(name: str) -> None:
    assert (ROOT / "docs/reference" / name).read_text() == _pages()[name], "run `make docs`"


def test_every_command_in_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"^rigstack ([a-z]+)|`rigstack ([a-z]+)", text, re.M))
    words = {word for pair in named for word in pair if word}
    assert words <= set(COMMANDS), words
    assert {"up", "status", "down", "trust"} <= words


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_makefile_targets_that_the_docs_name_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        assert set(re.findall(r"\bmake ([a-z]+)\b", page.read_text())) <= targets, page
