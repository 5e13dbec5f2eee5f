"""Which image a rollback goes to, what prune spares, and how rig.lock is honoured."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import DEMO, DEMO_AND_CIFAR, a_desire, a_host, a_rig, settled

from rigstack.config.lock import load_lock, render_lock
from rigstack.config.model import Lock
from rigstack.errors import ConfigError
from rigstack.plan.desired import Desired, desire
from rigstack.plan.reconcile import reconcile
from rigstack.plan.stored import StoredImage, previous, prunable


def stored(tag: str, tagged: float, kind: str = "project-demo") -> StoredImage:
    return StoredImage(tag=tag, kind=kind, size=1, tagged=tagged)


IMAGES = (stored("d4", 4), stored("d3", 3), stored("d2", 2), stored("d1", 1), stored("c1", 9, "project-cifar"))


@pytest.mark.parametrize(
    ("deployed", "before"), [("d4", "d3"), ("d3", "d2"), ("d1", None), ("none", "d4"), ("c1", "d4")]
)
def test_the_previous_image(deployed: str, before: str | None) -> None:
    found = previous(IMAGES, "demo", deployed)
    assert (found.tag if found else None) == before


def test_prune_spares_what_is_deployed_and_the_one_before() -> None:
    own = (
        stored("o2", 2, "own-demo"),
        stored("o1", 1, "own-demo"),
        stored("o0", 0, "own-demo"),
        stored("b", 0, "base"),
    )
    doomed = prunable((*IMAGES, *own), frozenset({"d4", "o2"}), frozenset({"demo"}))
    assert [one.tag for one in doomed] == ["d2", "d1", "c1", "o0"]
    assert [one.tag for one in prunable(IMAGES, frozenset({"d1"}), frozenset({"demo", "cifar"}))] == ["d3", "d2"]


def locked(lock: Lock, text: str = DEMO_AND_CIFAR) -> Desired:
    rig = a_rig(text)
    return desire(rig, a_host(rig).replace(lock=lock))


def test_a_pinned_project_stays_at_its_image_and_says_so() -> None:
    free, held = locked(Lock()), locked(Lock().with_pin("demo", "rigstack/rig-demo:old"))
    assert held.image("project-demo").tag == "rigstack/rig-demo:old"
    assert held.image("project-cifar") == free.image("project-cifar")
    assert any("demo is rolled back to rigstack/rig-demo:old" in note for note in held.notes)
    plan = reconcile(held, settled(free, images=frozenset({"rigstack/rig-demo:old"}))).text()
    assert "build" not in plan
    assert "demo-workspace: image changed: rolled back to it" in plan
    assert "cifar" not in plan
    assert not reconcile(held, settled(held))


def test_a_new_base_system_is_another_tag_of_everything() -> None:
    one, other = locked(Lock(), DEMO), locked(Lock(serial="20270101", digest="sha256:aa"), DEMO)
    assert other.bootstrap.tag == "rigstack/debian:trixie-20270101"
    assert other.bootstrap.digest == "sha256:aa"
    assert not {image.tag for image in one.images} & {image.tag for image in other.images}
    # The digest alone is a fact about the same system.
    assert locked(Lock(digest="sha256:aa"), DEMO).images == a_desire(DEMO).images


def test_the_lock_s_file(tmp_path: Path) -> None:
    assert load_lock(tmp_path) == Lock()
    lock = Lock(serial="1", digest="sha256:aa").with_pin("demo", "x:1").with_pin("a", "y:2").with_pin("a", "")
    (tmp_path / "rig.lock").write_text(render_lock(lock))
    assert load_lock(tmp_path) == lock
    assert lock.pins == (("demo", "x:1"),)
    (tmp_path / "rig.lock").write_text(render_lock(Lock()))
    assert load_lock(tmp_path) == Lock()
    for bad in ("[", "base = 1", "pins = 'x'"):
        (tmp_path / "rig.lock").write_text(bad)
        with pytest.raises(ConfigError, match="is not a lock of rigstack"):
            load_lock(tmp_path)
