"""Which image a rollback goes to, what prune spares, and how rig.lock is honoured."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import DEMO, DEMO_AND_CIFAR, a_host, a_rig, settled

from rigstack.config.lock import load_lock, render_lock
from rigstack.config.model import Lock
from rigstack.errors import ConfigError
from rigstack.plan.desired import Desired, desire
from rigstack.plan.host import OwnDockerfile, ProjectInputs
from rigstack.plan.images import locked_base
from rigstack.plan.reconcile import reconcile
from rigstack.plan.stored import StoredImage, previous, prunable, prunable_shared


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


def test_prune_spares_shared_images_that_somebody_needs() -> None:
    shared = [stored(tag, 1, "base") for tag in ("rigstack/base:1", "rigstack/base:2", "rigstack/base:3")]
    shared += [stored("rigstack/edge:1", 1, "edge"), stored("rigstack/edge:2", 2, "edge")]
    theirs = stored("x", 1).replace(inputs={"base image": "rigstack/base:2"})
    doomed = prunable_shared([theirs, *shared], frozenset({"rigstack/base:3"}), before=2)
    assert [one.tag for one in doomed] == ["rigstack/base:1", "rigstack/edge:1"]


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


A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
PULLED = Lock(base="debian:trixie-slim", state=A)
PACKAGES = Lock(base="debian:trixie-slim", state="packages")


def test_a_new_base_system_is_another_tag_of_everything_and_is_named() -> None:
    first = locked(PACKAGES, DEMO)
    assert first.bootstrap.tag == "rigstack/debian:trixie"
    for lock, tag, said in (
        (PACKAGES.replace(state="packages 20270101"), "trixie-20270101", "packages, rigstack/debian:trixie-20270101"),
        (PULLED, "trixie-aaaaaaaaaaaa", "debian:trixie-slim@sha256:aaaaaaaaaaaa"),
    ):
        other = locked(lock, DEMO)
        assert other.bootstrap.tag == f"rigstack/debian:{tag}"
        assert other.bootstrap.digest == ("" if "packages" in lock.state else A)
        assert not {image.tag for image in first.images} & {image.tag for image in other.images}
        text = reconcile(other, settled(first)).text()
        assert f"base system: packages, rigstack/debian:trixie -> {said}" in text


def test_writing_down_what_a_rig_starts_from_already_builds_nothing() -> None:
    """A rig from before there were locks, or with one of the old form."""
    assert not reconcile(locked(PACKAGES), settled(locked(Lock())))
    assert not reconcile(locked(PACKAGES), settled(locked(Lock(state="packages"))))


@pytest.mark.parametrize("text", ["[images]\nbase = 'debian:sid'", "[images]\nsource = 'packages'"])
def test_a_lock_of_another_base_or_source_does_not_count(text: str) -> None:
    assert locked(PULLED, f"{text}\n{DEMO}").bootstrap.digest == ""


def test_the_images_that_a_dockerfile_names_are_held_by_the_lock() -> None:
    own = OwnDockerfile(name="Dockerfile", text="FROM python:3.13 AS a\nFROM mine:1\nCOPY --from=a /x /y\n")

    def desired(**images: str) -> Desired:
        rig, lock = a_rig(DEMO), PACKAGES.replace(images=tuple(images.items()))
        return desire(rig, a_host(rig).replace(lock=lock, inputs={"demo": ProjectInputs(dockerfile=own)}))

    free = desired()
    one = desired(**{"mine:1": "local sha256:" + "1" * 64, "python:3.13": A, "other:1": B})
    two = desired(**{"mine:1": "local sha256:" + "2" * 64, "python:3.13": B})
    assert one.image("own-demo").held == (("python:3.13", A),)
    assert "FROM python:3.13: sha256:aaaaaaaaaaaa" in reconcile(one, settled(free)).text()
    text = reconcile(two, settled(one)).text()
    assert "FROM python:3.13: sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb" in text
    assert "FROM mine:1: local sha256:111111111111 -> local sha256:222222222222" in text
    assert "base system" not in text


def test_the_lock_s_file(tmp_path: Path) -> None:
    assert load_lock(tmp_path) == Lock()
    lock = PULLED.replace(images=(("x.example:5000/y:1", B), ("z", "local x")))
    lock = lock.with_pin("demo", "x:1").with_pin("a", "y:2").with_pin("a", "")
    (tmp_path / "rig.lock").write_text(render_lock(lock))
    assert load_lock(tmp_path) == lock
    assert lock.pins == (("demo", "x:1"),)
    (tmp_path / "rig.lock").write_text(render_lock(Lock()))
    assert load_lock(tmp_path) == Lock()
    for bad in ("[", "base = 1", "pins = 'x'"):
        (tmp_path / "rig.lock").write_text(bad)
        with pytest.raises(ConfigError, match="is not a lock of rigstack"):
            load_lock(tmp_path)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ('serial = "20260101-1"\ndigest = ""', "packages 20260101-1"),
        ('serial = ""\ndigest = "sha256:aa"', "sha256:aa"),
        ('serial = "20260101-1"\ndigest = "sha256:aa"', "sha256:aa"),
    ],
)
def test_a_lock_of_the_old_form_is_read(tmp_path: Path, text: str, state: str) -> None:
    (tmp_path / "rig.lock").write_text(f"[base]\n{text}\n[pins]\n")
    lock = load_lock(tmp_path)
    assert lock.state == state
    assert locked_base(a_rig(DEMO), lock) == state
