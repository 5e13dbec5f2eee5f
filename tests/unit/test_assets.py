"""What rigstack brings along besides its code is where it looks for it, and is what a reader of it expects."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from rigstack import assets
from rigstack.assets import assets_dir
from rigstack.errors import HostError
from rigstack.plan.images import ALWAYS_STAGED

TOP = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path.parent for path in (TOP / "images").glob("*/Dockerfile"))


def test_a_checkout_uses_its_own() -> None:
    assert assets_dir() == TOP


def test_an_installed_wheel_uses_the_copy_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "rigstack"
    (package / "_assets" / "images").mkdir(parents=True)
    monkeypatch.setattr(assets, "__file__", str(package / "assets.py"))
    with pytest.raises(HostError, match="are missing beside") as raised:
        assets_dir.__wrapped__()
    assert "install" in raised.value.remedy
    (package / "_assets" / "compose.yaml").write_text("")
    assert assets_dir.__wrapped__() == package / "_assets"


def test_the_wheel_takes_all_of_them() -> None:
    document = tomllib.loads((TOP / "pyproject.toml").read_text())
    forced = document["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {source: target.removeprefix("rigstack/_assets/") for source, target in forced.items()} == {
        name: name for name in ("compose.yaml", "images", "caddy", "programs")
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_image_folder(folder: Path) -> None:
    text = (folder / "Dockerfile").read_text()
    assert text.startswith("# "), "the first line says what the image is for"
    assert not re.search(r"^# *syntax=", text, re.M), "a frontend would have to be pulled"
    assert ":latest" not in text
    stages = re.findall(r"^FROM .*\bAS (\S+)", text, re.M)
    for parent in re.findall(r"^FROM (\S+)", text, re.M):
        assert "$" in parent or parent in stages or re.search(r":\d", parent), f"{parent} is not pinned"
    for name in re.findall(r"(?:--from=shared |from=shared,source=)([\w-]+)", text):
        assert (TOP / "images/shared" / name).is_file(), name
    for name in re.findall(r"^COPY (?!--from)(?:--\S+ )*(\S+) \S+$", text, re.M):
        assert name in ALWAYS_STAGED or list(folder.glob(name.rstrip("/"))), name


def test_the_stack_on_one_page() -> None:
    """Validated by compose itself in the integration tests; here, what needs no engine."""
    text = (TOP / "compose.yaml").read_text()
    services = text[text.index("\nservices:") : text.index("\nnetworks:")]
    assert re.findall(r"^  (\w+):", services, re.M) == ["edge", "gateway", "ddns", "history", "workspace", "notebook"]
    assert ":latest" not in text
    assert "docker.sock" not in text
    assert "privileged" not in text
    assert "restart: always" in text
    assert text.count("healthcheck:") == 6
    published = re.findall(r'- "(\S+)"', services)
    assert len(published) == 4
    assert all(one.startswith("${RIGSTACK_BIND:-}") for one in published)


def test_every_variable_of_the_page_has_a_default_and_a_value() -> None:
    golden = (Path(__file__).parent / "golden/compose.env").read_text()
    set_ = set(re.findall(r"^(\w+)=", golden, re.M)) - {"COMPOSE_PROFILES"}
    used = set(re.findall(r"\$\{(\w+)", (TOP / "compose.yaml").read_text()))
    assert used - set_ == {"RIGSTACK_PROJECT_IMAGE"}  # each project's own
    assert set_ - used <= {"RIGSTACK_ASSETS"}
    assert all(":-" in one for one in re.findall(r"\$\{[^}]*\}", (TOP / "compose.yaml").read_text()))
