"""State in, plan text out: what `up` does, and the cause of each step."""

from __future__ import annotations

from textwrap import dedent

from builders import ALICE, BOB, DEMO, DEMO_AND_CIFAR, a_container, a_desire, settled

from rigstack.plan.desired import Desired
from rigstack.plan.observed import Observed
from rigstack.plan.reconcile import needs_images, reconcile
from rigstack.plan.steps import PublishSites
from rigstack.render.folders import parse_folders, render_folders


def plan(desired: Desired, observed: Observed, *only: str) -> str:
    """The plan's text with each image's tag cut to its first four digits: "edge:1a2b"."""
    text = reconcile(desired, observed, only=frozenset(only)).text()
    for image in desired.images:
        text = text.replace(image.tag, image.name)
    return text


def expected(text: str) -> str:
    return dedent(text).strip()


NOTHING = "nothing to do"


def test_first_bring_up() -> None:
    desired = a_desire(DEMO)
    assert plan(desired, Observed(images=frozenset())) == expected(
        """
        1. make folders code, data, homes, secrets, secrets/edge, secrets/edge-tls, \
secrets/notebook, state, state/keys, state/keys/gateway, state/ssh/gateway, state/ssh/workspace, state/edge, \
state/logs, state/ddns-cache, state/access/edge, state/access/gateway, code/demo, homes/demo, \
state/keys/demo, state/access/demo - not there
        2. make host key state/keys/gateway/ssh_host_ed25519_key - not there
        3. make host key state/keys/demo/ssh_host_ed25519_key - not there
        4. write state/ssh/gateway/authorized_keys - not there
        5. write state/ssh/workspace/authorized_keys - not there
        6. write state/ssh/gateway/policy.conf - not there
        7. write state/ssh/gateway/rig.json - not there
        8. get the base system rigstack/debian:trixie - not there
        9. build base, gateway, edge, project-demo - base: not there; gateway: not there; edge: not there; \
project-demo: not there
        10. check project-demo - what runs now goes on until they are seen to work
        11. write state/compose.json - not there
        12. write state/compose.env - not there
        13. make a notebook password - none was set
        14. publish the edge's sites - not there
        15. start edge, gateway, demo-workspace, demo-notebook - edge: not there; gateway: not there; \
demo-workspace: not there; demo-notebook: not there
        16. wait until healthy: edge, gateway, demo-workspace, demo-notebook - just started
        """
    )


def test_nothing_to_do() -> None:
    desired = a_desire(DEMO)
    assert plan(desired, settled(desired)) == NOTHING
    assert not reconcile(desired, settled(desired))


def test_nothing_to_do_without_having_asked_for_images() -> None:
    desired = a_desire(DEMO_AND_CIFAR)
    assert plan(desired, settled(desired).replace(images=None, built_from={})) == NOTHING


def test_nothing_to_do_for_containers_without_a_health_check_of_their_own() -> None:
    desired = a_desire(DEMO)
    assert plan(desired, settled(desired, containers={"edge": {"health": ""}})) == NOTHING


def test_a_changed_requirements_file_builds_one_image_and_restarts_one_project() -> None:
    before = a_desire(DEMO_AND_CIFAR)
    after = a_desire(DEMO_AND_CIFAR, files={"demo": {"requirements.txt": "numpy\ntorch\n"}})
    assert plan(after, settled(before)) == expected(
        """
        1. build project-demo - project-demo: requirements.txt: +torch
        2. check project-demo - what runs now goes on until they are seen to work
        3. write state/compose.json - its content changed
        4. start demo-workspace, demo-notebook - demo-workspace: image changed: requirements.txt: +torch; \
demo-notebook: image changed: requirements.txt: +torch
        5. wait until healthy: demo-workspace, demo-notebook - just started
        """
    )


def test_several_changed_inputs_are_all_named() -> None:
    before = a_desire(DEMO, files={"demo": {"apt.txt": "git\n", "requirements.txt": "numpy\n"}})
    after = a_desire(DEMO + "\ncuda = '13.0'", files={"demo": {"requirements.txt": "", "apt.txt": "git\nvim\n"}})
    text = plan(after, settled(before))
    assert "build project-demo - project-demo: apt.txt: +vim, cuda: none -> 13.0, requirements.txt is gone" in text


def test_an_image_built_before_labels_or_pruned_has_a_plain_cause() -> None:
    before, after = a_desire(DEMO), a_desire(DEMO, files={"demo": {"requirements.txt": "torch\n"}})
    text = plan(after, settled(before, built_from={}))
    assert "build project-demo - project-demo: its inputs changed" in text


def test_an_image_that_is_there_already_is_not_built_again() -> None:
    before, after = a_desire(DEMO), a_desire(DEMO, files={"demo": {"requirements.txt": "torch\n"}})
    have = frozenset(image.tag for image in (*before.images, *after.images))
    assert plan(after, settled(before, images=have)) == expected(
        """
        1. write state/compose.json - its content changed
        2. start demo-workspace, demo-notebook - demo-workspace: image changed: requirements.txt: +torch -numpy; \
demo-notebook: image changed: requirements.txt: +torch -numpy
        3. wait until healthy: demo-workspace, demo-notebook - just started
        """
    )


def test_a_changed_base_rebuilds_projects_from_it_and_leaves_the_edge_alone() -> None:
    before, after = a_desire(DEMO), a_desire(DEMO, sources={"base": {"Dockerfile": "another sum"}})
    assert plan(after, settled(before)) == expected(
        """
        1. build base, project-demo - base: its inputs changed; project-demo: base image
        2. check project-demo - what runs now goes on until they are seen to work
        3. write state/compose.json - its content changed
        4. start demo-workspace, demo-notebook - demo-workspace: image changed: base image; \
demo-notebook: image changed: base image
        5. wait until healthy: demo-workspace, demo-notebook - just started
        """
    )


def test_a_changed_gateway_image_restarts_the_gateway_only() -> None:
    before, after = a_desire(DEMO), a_desire(DEMO, sources={"gateway": {"sshd_config": "new"}})
    assert plan(after, settled(before)) == expected(
        """
        1. build gateway - gateway: images/gateway/sshd_config
        2. write state/compose.json - its content changed
        3. write state/compose.env - its content changed
        4. start gateway - gateway: image changed: images/gateway/sshd_config
        5. wait until healthy: gateway - just started
        """
    )


def test_images_pruned_while_everything_runs_change_nothing() -> None:
    desired = a_desire(DEMO)
    assert plan(desired, settled(desired, images=frozenset())) == NOTHING


def test_a_container_gone_and_its_image_pruned() -> None:
    desired = a_desire(DEMO)
    keep = frozenset(image.tag for image in desired.images if image.name not in ("base", "project-demo"))
    state = settled(desired, containers={"demo-workspace": None}, images=keep)
    assert plan(desired, state) == expected(
        """
        1. get the base system rigstack/debian:trixie - not there
        2. build base, project-demo - base: not there; project-demo: not there
        3. check project-demo - what runs now goes on until they are seen to work
        4. start demo-workspace - demo-workspace: not there
        5. wait until healthy: demo-workspace - just started
        """
    )


def test_a_key_added_changes_files_only() -> None:
    before, after = a_desire(DEMO), a_desire(DEMO, authorized_keys=(ALICE, BOB))
    assert plan(after, settled(before)) == expected(
        """
        1. write state/ssh/gateway/authorized_keys - its content changed
        2. write state/ssh/workspace/authorized_keys - its content changed
        """
    )


def test_a_container_that_exited_is_started() -> None:
    desired = a_desire(DEMO)
    state = settled(desired, containers={"demo-notebook": {"state": "exited", "health": ""}})
    assert plan(desired, state) == expected(
        """
        1. start demo-notebook - demo-notebook: it is exited
        2. wait until healthy: demo-notebook - just started
        """
    )


def test_an_unhealthy_container_is_waited_for_not_restarted() -> None:
    desired = a_desire(DEMO)
    state = settled(desired, containers={"demo-notebook": {"health": "unhealthy"}, "edge": {"health": "starting"}})
    assert plan(desired, state) == "1. wait until healthy: edge, demo-notebook - not healthy yet"


def test_changed_settings_restart_without_a_build() -> None:
    before, after = a_desire(DEMO), a_desire(DEMO + "\nmemory = '16g'")
    assert plan(after, settled(before)) == expected(
        """
        1. write state/compose.json - its content changed
        2. start demo-workspace, demo-notebook - demo-workspace: its settings changed; \
demo-notebook: its settings changed
        3. wait until healthy: demo-workspace, demo-notebook - just started
        """
    )


def test_a_changed_port_restarts_the_two_that_publish_ports() -> None:
    before, after = a_desire(DEMO), a_desire("[access]\nssh_port = 2022\n" + DEMO)
    assert plan(after, settled(before)) == expected(
        """
        1. write state/ssh/gateway/rig.json - its content changed
        2. write state/compose.json - its content changed
        3. write state/compose.env - its content changed
        4. start edge, gateway - edge: its settings changed; gateway: its settings changed
        5. wait until healthy: edge, gateway - just started
        """
    )


def test_a_changed_hostname_is_published_without_a_restart() -> None:
    before, after = (a_desire(f"[rig]\nhostname = '{name}.example.net'\n{DEMO}") for name in ("old", "new"))
    assert plan(after, settled(before)) == expected(
        """
        1. write state/ssh/gateway/rig.json - its content changed
        2. publish the edge's sites - acme-name: its content changed; sites.caddy: its content changed
        """
    )


def test_the_first_public_hostname_gives_the_edge_a_way_to_the_authority() -> None:
    before, after = a_desire(DEMO), a_desire("[rig]\nhostname = 'rig.example.net'\n" + DEMO)
    assert plan(after, settled(before)) == expected(
        """
        1. write state/ssh/gateway/rig.json - its content changed
        2. write state/compose.json - its content changed
        3. write state/compose.env - its content changed
        4. publish the edge's sites - acme-name: not there; sites.caddy: its content changed
        5. start edge - edge: its settings changed
        6. wait until healthy: edge - just started
        """
    )
    published = next(step for step in reconcile(after, settled(before)).steps if isinstance(step, PublishSites))
    assert published.image == after.image("edge").tag, "the edge of before asks the authority, to which it has no way"


def test_a_project_added_leaves_the_edge_and_the_gateway_running() -> None:
    before, after = a_desire(DEMO), a_desire(DEMO_AND_CIFAR)
    assert plan(after, settled(before)) == expected(
        """
        1. make folders code/cifar, homes/cifar, state/keys/cifar, state/access/cifar - not there
        2. make host key state/keys/cifar/ssh_host_ed25519_key - not there
        3. write state/ssh/gateway/authorized_keys - its content changed
        4. write state/ssh/gateway/rig.json - its content changed
        5. build project-cifar - project-cifar: not there
        6. check project-cifar - what runs now goes on until they are seen to work
        7. write state/compose.json - its content changed
        8. publish the edge's sites - list-login.caddy: its content changed; projects/cifar.caddy: not there; \
www/projects/index.html: its content changed
        9. start cifar-workspace, cifar-notebook - cifar-workspace: not there; cifar-notebook: not there
        10. connect edge to rigstack-rig_p-cifar - a project that came later
        11. connect gateway to rigstack-rig_p-cifar - a project that came later
        12. wait until healthy: cifar-workspace, cifar-notebook - just started
        """
    )


def test_a_project_removed() -> None:
    before, after = a_desire(DEMO_AND_CIFAR), a_desire(DEMO)
    state = settled(before, stale=("state/edge/current/projects/cifar.caddy",))
    assert plan(after, state) == expected(
        """
        1. write state/ssh/gateway/authorized_keys - its content changed
        2. write state/ssh/gateway/rig.json - its content changed
        3. write state/compose.json - its content changed
        4. publish the edge's sites - list-login.caddy: its content changed; \
www/projects/index.html: its content changed; projects/cifar.caddy: no longer wanted
        5. remove cifar-notebook, cifar-workspace - no longer in rig.toml
        """
    )


def test_only_one_project_leaves_the_others_as_they_are() -> None:
    before = a_desire(DEMO_AND_CIFAR)
    after = a_desire(DEMO_AND_CIFAR, files={name: {"requirements.txt": "torch\n"} for name in ("demo", "cifar")})
    state = settled(before, containers={"cifar-notebook": {"health": "unhealthy"}})
    assert plan(after, state, "demo") == expected(
        """
        1. build project-demo - project-demo: requirements.txt: +torch -numpy
        2. check project-demo - what runs now goes on until they are seen to work
        3. write state/compose.json - its content changed
        4. start demo-workspace, demo-notebook - demo-workspace: image changed: requirements.txt: +torch -numpy; \
demo-notebook: image changed: requirements.txt: +torch -numpy
        5. wait until healthy: demo-workspace, demo-notebook - just started
        """
    )


def test_only_one_of_two_new_projects_joins_no_network_that_is_not_made() -> None:
    before, after = a_desire(DEMO), a_desire("[projects.demo]\n[projects.cifar]\n[projects.mnist]")
    text = plan(after, settled(before), "mnist")
    assert "connect edge to rigstack-rig_p-mnist" in text
    assert "connect gateway to rigstack-rig_p-mnist" in text
    assert "rigstack-rig_p-cifar" not in text


def test_only_one_project_removes_nothing() -> None:
    before, after = a_desire(DEMO_AND_CIFAR), a_desire(DEMO)
    assert "remove" not in plan(after, settled(before), "demo")


def test_ddns_turned_on_and_off() -> None:
    ddns = "[ddns]\nprovider = 'dyndns2'\nserver = 'dyn.example.net'\nhostname = 'rig.example.net'\n"
    off, on = a_desire(DEMO), a_desire(ddns + DEMO, ddns_password="hunter2")
    assert plan(on, settled(off)) == expected(
        """
        1. make folders secrets/ddns, state/ddns - not there
        2. write state/ddns/ddns.conf - not there
        3. write secrets/ddns/password - not there
        4. write secrets/ddns/ddns.conf - not there
        5. write state/ddns/inadyn.conf - not there
        6. build ddns - ddns: not there
        7. write state/compose.json - its content changed
        8. write state/compose.env - its content changed
        9. start ddns - ddns: not there
        10. wait until healthy: ddns - just started
        """
    )
    assert "hunter2" not in repr(reconcile(on, settled(off)))
    assert "remove ddns - no longer in rig.toml" in plan(off, settled(on))


def test_a_mended_ddns_password_is_tried_at_once() -> None:
    ddns = "[ddns]\nprovider = 'dyndns2'\nserver = 'dyn.example.net'\nhostname = 'rig.example.net'\n"
    before, after = a_desire(ddns + DEMO, ddns_password="wrong"), a_desire(ddns + DEMO, ddns_password="hunter2")
    assert plan(after, settled(before)) == expected(
        """
        1. write secrets/ddns/password - its content changed
        2. write secrets/ddns/ddns.conf - its content changed
        3. restart ddns - its settings changed
        4. wait until healthy: ddns - just started
        """
    )


def test_state_deleted_is_written_again_without_touching_containers() -> None:
    desired = a_desire(DEMO)
    text = plan(desired, settled(desired, files={}))
    assert "start" not in text
    assert "publish the edge's sites - not there" in text
    assert text.count("write state/") == len(desired.files)


def test_containers_that_hold_a_deleted_folder_are_made_anew() -> None:
    desired = a_desire(DEMO_AND_CIFAR)
    gone = {"state", "state/edge", "state/ssh/workspace"}
    there = settled(desired, folders={f.path: 1 for f in desired.folders if f.path not in gone})
    assert plan(desired, there) == expected(
        """
        1. remove edge - state/edge was deleted
        2. make folders state, state/ssh/workspace, state/edge - not there
        3. start edge, demo-workspace, cifar-workspace - edge: state/edge was deleted; \
demo-workspace: state/ssh/workspace was deleted; cifar-workspace: state/ssh/workspace was deleted
        4. wait until healthy: edge, demo-workspace, cifar-workspace - just started
        """
    )
    assert plan(desired, there, "demo") == plan(desired, there)


def test_a_folder_in_the_place_of_another_is_noticed() -> None:
    desired = a_desire(DEMO_AND_CIFAR)
    mounted = {"folders": {"code/demo": 7, "homes/demo": 8}}
    containers = {"demo-workspace": mounted, "demo-notebook": mounted}
    inodes = {f.path: 1 for f in desired.folders} | {"code/demo": 7, "homes/demo": 8}
    assert plan(desired, settled(desired, folders=inodes, containers=containers)) == "nothing to do"
    assert plan(desired, settled(desired, folders={**inodes, "code/demo": 9}, containers=containers)) == expected(
        """
        1. start demo-workspace, demo-notebook - demo-workspace: code/demo was replaced; \
demo-notebook: code/demo was replaced
        2. wait until healthy: demo-workspace, demo-notebook - just started
        """
    )


def test_the_label_of_mounted_folders() -> None:
    text = render_folders({"a-workspace": {"code/a": 12, "data": 3}, "edge": {}})
    assert text == "RIGSTACK_FOLDERS_a_workspace='code/a=12 data=3'\nRIGSTACK_FOLDERS_edge=''\n"
    assert parse_folders("code/a=12 data=3 x y=z =4") == {"code/a": 12, "data": 3}


def test_a_lost_password_is_made_anew() -> None:
    desired = a_desire(DEMO)
    assert plan(desired, settled(desired, password=False)) == "1. make a notebook password - none was set"


def test_images_are_asked_for_only_when_a_container_is_not_as_wanted() -> None:
    desired = a_desire(DEMO)
    right = settled(desired).containers
    assert not needs_images(desired, right)
    assert not needs_images(desired, {**right, "old-notebook": a_container(desired, desired.services[0])})
    assert needs_images(desired, {name: one for name, one in right.items() if name != "edge"})
    for changed in ({"hash": "x"}, {"state": "exited"}):
        assert needs_images(desired, {**right, "edge": a_container(desired, desired.services[0], **changed)})


def test_a_cause_names_the_first_lines_that_changed() -> None:
    before = a_desire(DEMO, files={"demo": {"requirements.txt": "a\nb\nc\nd\n"}})
    after = a_desire(DEMO, files={"demo": {"requirements.txt": "a\nx\ny\nz\n"}})
    assert "requirements.txt: +x +y +z -b and 2 more" in plan(after, settled(before))


def test_lines_of_an_image_that_kept_none_are_not_called_new() -> None:
    before, after = (a_desire(DEMO, files={"demo": {"requirements.txt": text}}) for text in ("a\n", "a\nb\n"))
    assert "project-demo: requirements.txt\n" in plan(after, settled(before, built_lines={}))


def test_what_is_held_stays_as_it_is_and_the_rest_goes_on() -> None:
    before = a_desire(DEMO_AND_CIFAR)
    after = a_desire(DEMO_AND_CIFAR + "\nmemory = '1g'", files={"demo": {"requirements.txt": "torch\n"}})
    held = frozenset({"demo-workspace", "demo-notebook"})
    text = reconcile(after, settled(before), hold=held).text()
    assert "demo-" not in text
    assert "build" not in text
    assert "start cifar-workspace, cifar-notebook" in text
    gone = a_desire("[projects.cifar]")
    assert "remove" in plan(gone, settled(before))
    assert "remove" not in reconcile(gone, settled(before), hold=held).text()


def test_a_container_that_lost_its_gpus_is_made_anew() -> None:
    lost = {"health": "unhealthy", "ailment": "lost its GPUs: /dev/nvidiactl may not be opened any more"}
    desired = a_desire(DEMO)
    assert plan(desired, settled(desired, containers={"demo-notebook": lost})) == expected(
        """
        1. remove demo-notebook - lost its GPUs: /dev/nvidiactl may not be opened any more
        2. start demo-notebook - demo-notebook: lost its GPUs: /dev/nvidiactl may not be opened any more
        3. wait until healthy: demo-notebook - just started
        """
    )
    for other in ({**lost, "ailment": "curl: (7)"}, {**lost, "health": "healthy"}, {**lost, "state": "exited"}):
        assert "remove" not in plan(desired, settled(desired, containers={"demo-notebook": other}))
