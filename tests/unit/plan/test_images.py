"""A project with a Dockerfile of its own: a chain of three images, each tagged by what goes into it."""

from __future__ import annotations

import json

import pytest
from builders import DEMO, a_desire, a_host, a_rig, settled

from rigstack.config.model import Lock
from rigstack.plan.desired import Desired, desire
from rigstack.plan.host import Copy, OwnDockerfile, ProjectInputs
from rigstack.plan.reconcile import reconcile
from rigstack.plan.steps import PublishSites
from rigstack.render.bake import render_bake


def with_dockerfile(text: str = "FROM x\n", copies: tuple[Copy, ...] = (), **own: object) -> Desired:
    rig = a_rig(DEMO)
    dockerfile = OwnDockerfile(name="Dockerfile", text=text, copies=copies, **own)  # type: ignore[arg-type]
    return desire(rig, a_host(rig).replace(inputs={"demo": ProjectInputs(dockerfile=dockerfile)}))


def tags(desired: Desired) -> list[str]:
    return [desired.image(name).tag for name in ("own-demo", "base-demo", "project-demo")]


def test_theirs_then_what_rigstack_adds_then_the_project() -> None:
    desired = with_dockerfile()
    theirs, added, project = (desired.image(name) for name in ("own-demo", "base-demo", "project-demo"))
    assert (added.parent, added.parent_tag, dict(added.args)["DEBIAN"]) == ("own-demo", theirs.tag, theirs.tag)
    assert (project.parent, project.parent_tag, dict(project.args)["BASE"]) == ("base-demo", added.tag, added.tag)
    assert dict(project.args)["WANTED_PYTHON"] == "image"
    assert [image.name for image in desired.images][-3:] == ["own-demo", "base-demo", "project-demo"]
    assert theirs.tag.startswith("rigstack/rig-demo.own:")


def test_a_change_of_the_dockerfile_or_what_it_copies_changes_all_three() -> None:
    one = with_dockerfile(copies=(Copy(name="a", source="/a", digest="1"),))
    for other in (
        with_dockerfile("FROM y\n"),
        with_dockerfile(copies=(Copy(name="a", source="/a", digest="2"),)),
        with_dockerfile(args=(("A", "1"),)),
        with_dockerfile(target="dev"),
    ):
        assert not set(tags(one)) & set(tags(other))
    # Where a file lies on this machine is no input.
    assert tags(one) == tags(with_dockerfile(copies=(Copy(name="a", source="/b", digest="1"),)))


def test_all_three_are_built_and_the_cause_is_the_dockerfile() -> None:
    before, after = with_dockerfile("FROM x\n"), with_dockerfile("FROM x\nRUN more\n")
    plan = reconcile(after, settled(before)).text()
    build = next(line for line in plan.splitlines() if " build " in line)
    assert build.index(".own:") < build.index(".base:")
    assert "project-demo: Dockerfile" in build
    assert "rigstack/base" not in build


def test_bake_chains_them_and_takes_every_text_as_it_is() -> None:
    desired = with_dockerfile("FROM x\n", args=(("A", "${b} %{c} $d"),), target="dev")
    text = render_bake(
        desired.images,
        assets="/as${sets}",
        staging="/rig %{x}/build",
        secrets={"ca_bundle": "/${ca}"},
        arguments={},
        network_arguments={},
    )
    targets = json.loads(text)["target"]
    assert targets["own-demo"]["args"]["A"] == "$${b} %%{c} $d"
    assert targets["own-demo"]["target"] == "dev"
    assert targets["own-demo"]["dockerfile"] == "/rig %%{x}/build/own-demo.Dockerfile"
    assert targets["base"]["context"] == "/as$${sets}/images/base"
    assert targets["base"]["secret"] == ["id=ca_bundle,src=/$${ca}"]
    shared = {"shared": "/as$${sets}/images/shared"}
    assert targets["base"]["contexts"] == shared
    assert targets["base-demo"]["contexts"] == {desired.image("own-demo").tag: "target:own-demo", **shared}
    assert targets["project-demo"]["contexts"] == {desired.image("base-demo").tag: "target:base-demo"}


@pytest.mark.parametrize(
    ("named", "context", "held"),
    [
        ("debian", "debian", "debian"),
        ("docker.io/library/debian:latest", "debian", "docker.io/library/debian"),
        ("x.example:5000/a/b:1", "x.example:5000/a/b:1", "x.example:5000/a/b"),
        ("x.example:5000/a", "x.example:5000/a", "x.example:5000/a"),
    ],
)
def test_an_image_that_a_dockerfile_names_is_held_to_its_digest(named: str, context: str, held: str) -> None:
    image = with_dockerfile(f"FROM {named}\n").image("own-demo").replace(held=((named, "sha256:aa"),))
    text = render_bake((image,), assets="/a", staging="/s", secrets={}, arguments={}, network_arguments={})
    assert json.loads(text)["target"]["own-demo"]["contexts"] == {context: f"docker-image://{held}@sha256:aa"}


CADDY = "[rig]\nhostname = 'rig.example.net'\n[tls]\ndns = 'desec'\ncaddy_image = 'mine:1'\n"


def test_the_edge_takes_its_caddy_from_the_image_that_is_locked() -> None:
    rig = a_rig(CADDY)
    states = ("local sha256:aa", "sha256:bb", "sha256:cc")
    edges = [desire(rig, a_host(rig).replace(lock=Lock(images=(("mine:1", one),)))).image("edge") for one in states]
    assert len({edge.tag for edge in edges}) == 3
    assert [edge.held for edge in edges] == [(), (("mine:1", "sha256:bb"),), (("mine:1", "sha256:cc"),)]
    text = render_bake(
        (edges[1],),
        assets="/a",
        staging="/s",
        secrets={},
        arguments={"CADDY": "packages"},
        network_arguments={},
    )
    target = json.loads(text)["target"]["edge"]
    assert target["args"] | {"CADDY": "image", "CADDY_IMAGE": "mine:1", "DNS_MODULE": "desec"} == target["args"]
    assert target["contexts"]["mine:1"] == "docker-image://mine@sha256:bb"


def test_another_caddy_is_named_as_the_cause_and_judges_the_sites_itself() -> None:
    plain, rig = a_desire("[rig]\nhostname = 'rig.example.net'\n"), a_rig(CADDY)
    after = desire(rig, a_host(rig).replace(lock=Lock(images=(("mine:1", "sha256:" + "b" * 64),))))
    plan = reconcile(after, settled(plain, images=frozenset()))
    assert "FROM mine:1: sha256:bbbbbbbbbbbb" in plan.text() and "build argument DNS_MODULE: desec" in plan.text()
    assert [step.image for step in plan.steps if isinstance(step, PublishSites)] == [after.image("edge").tag]


def test_lines_are_kept_without_comments_and_credentials() -> None:
    text = "# why\n--extra-index-url https://me:secret@h/whl\nsix==1 \\\n    --hash=sha256:aa\n\n"
    lock = '[[package]]\nname = "six"\nversion = "1.0"\nsource = { registry = "x" }\n'
    image = a_desire(
        DEMO, files={"demo": {"requirements.txt": text, "pyproject/uv.lock": lock, "local/0/package.json": "{}"}}
    ).image("project-demo")
    assert image.lines() == {
        "requirements.txt": ["--extra-index-url https://h/whl", "six==1 \\"],
        "uv.lock": ["six==1.0"],
    }
    long = a_desire(DEMO, files={"demo": {"requirements.txt": "x\n" * 500}}).image("project-demo")
    assert long.lines() == {}
