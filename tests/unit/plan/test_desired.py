"""Tags and hashes are functions of exactly what they should be: same in, same out, and nothing else counts."""

from __future__ import annotations

import pytest
from builders import ALICE, BOB, DEMO, DEMO_AND_CIFAR, a_desire, a_host, a_rig
from hypothesis import given
from hypothesis import strategies as st

from rigstack.plan.desired import Desired, desire
from rigstack.plan.host import Gpu
from rigstack.render.digest import digest

CDI = Gpu(kind="cdi", devices=("0", "1"))


def tags(desired: Desired) -> dict[str, str]:
    return {image.name: image.tag for image in desired.images}


def hashes(desired: Desired) -> dict[str, str]:
    return {service.name: service.hash for service in desired.services}


def differing(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def test_same_in_same_tag() -> None:
    assert tags(a_desire(DEMO_AND_CIFAR)) == tags(a_desire(DEMO_AND_CIFAR))
    assert hashes(a_desire(DEMO_AND_CIFAR)) == hashes(a_desire(DEMO_AND_CIFAR))


PROJECT_FILES = ("requirements.txt", "apt.txt", "postBuild", "pyproject/pyproject.toml", "pyproject/uv.lock")
EVERY_PROJECT = {"project-demo", "project-cifar"}


@pytest.mark.parametrize("file", PROJECT_FILES)
def test_a_project_s_file_changes_its_own_tag_and_no_other(file: str) -> None:
    before = tags(a_desire(DEMO_AND_CIFAR))
    after = tags(a_desire(DEMO_AND_CIFAR, files={"demo": {"requirements.txt": "numpy\n", file: "other\n"}}))
    assert differing(before, after) == {"project-demo"}


@pytest.mark.parametrize(
    ("image", "changed"),
    [
        ("base", {"base", *EVERY_PROJECT}),
        ("project", EVERY_PROJECT),
        ("gateway", {"gateway"}),
        ("edge", {"edge"}),
        ("ddns", set()),
    ],
)
def test_an_image_folder_changes_what_is_made_of_it(image: str, changed: set[str]) -> None:
    before = tags(a_desire(DEMO_AND_CIFAR))
    assert differing(before, tags(a_desire(DEMO_AND_CIFAR, sources={image: {"Dockerfile": "edited"}}))) == changed
    assert differing(before, tags(a_desire(DEMO_AND_CIFAR, sources={image: {"new": "file"}}))) == changed


ALL_IMAGES = {"base", "gateway", "edge", *EVERY_PROJECT}


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("[projects.demo]\ncuda = '12.8'\n[projects.cifar]", {"project-demo"}),
        ("[projects.demo]\napt = ['ffmpeg']\n[projects.cifar]", {"project-demo"}),
        ("[images]\ncuda = '12.8'\n" + DEMO_AND_CIFAR, EVERY_PROJECT),
        ("[images]\nbase = 'debian:sid'\n" + DEMO_AND_CIFAR, ALL_IMAGES),
        ("[images]\nsource = 'packages'\n" + DEMO_AND_CIFAR, ALL_IMAGES),
        # not inputs: settings of containers, names, ports, mirrors and indexes
        ("[projects.demo]\nmemory = '1g'\nenv = { A = 'x' }\nports = [6006]\n[projects.cifar]", set()),
        ("[images]\npip_index_file = 'x'\napt_mirror = 'http://mirror.example.net/debian'\n" + DEMO_AND_CIFAR, set()),
        ("[access]\nssh_port = 2022\n[rig]\nhostname = 'rig.example.net'\n" + DEMO_AND_CIFAR, set()),
        ("[projects.cifar]\n[projects.demo]", set()),
    ],
)
def test_a_setting_changes_the_tags_that_depend_on_it(text: str, changed: set[str]) -> None:
    assert differing(tags(a_desire(DEMO_AND_CIFAR)), tags(a_desire(text))) == changed


def test_the_owner_of_code_is_part_of_every_image() -> None:
    assert differing(tags(a_desire(DEMO_AND_CIFAR)), tags(a_desire(DEMO_AND_CIFAR, uid=1001))) == ALL_IMAGES


def test_a_gpu_brings_cuda_to_projects_that_leave_it_open() -> None:
    text = "[projects.demo]\n[projects.cifar]\ncuda = 'none'"
    assert differing(tags(a_desire(text)), tags(a_desire(text, gpu=CDI))) == {"project-demo"}


def test_keys_addresses_and_compose_page_are_no_inputs_of_images() -> None:
    before = tags(a_desire(DEMO))
    after = a_desire(DEMO, authorized_keys=(ALICE, BOB), addresses=("10.0.0.1",), compose_digest="x", ca_bundle="/ca")
    assert tags(after) == before


def test_inputs_name_what_people_know() -> None:
    image = a_desire(DEMO, files={"demo": {"pyproject/uv.lock": "x", "requirements.txt": "y"}}).image("project-demo")
    names = ["images/project/Dockerfile", "pyproject/uv.lock", "requirements.txt", "base image"]
    names += ["cuda", "project name", "base system"]
    assert [name for name, _ in image.inputs] == names
    assert dict(image.staged)["apt.txt"] == ""
    assert dict(image.staged)["requirements.txt"] == "y"


def test_packages_of_rig_toml_are_staged_after_those_of_apt_txt() -> None:
    text = "[projects.demo]\napt = ['ffmpeg', 'sox']"
    assert dict(a_desire(text).image("project-demo").staged)["apt.txt"].split() == ["ffmpeg", "sox"]
    given_ = a_desire(text, files={"demo": {"apt.txt": "git"}})  # no newline at its end
    assert dict(given_.image("project-demo").staged)["apt.txt"].split() == ["git", "ffmpeg", "sox"]


OF_DEMO = {"demo-workspace", "demo-notebook"}


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (DEMO_AND_CIFAR + "\n[projects.mnist]", {"mnist-workspace", "mnist-notebook"}),
        ("[projects.cifar]", OF_DEMO),
        ("[projects.demo]\nmemory = '1g'\n[projects.cifar]", OF_DEMO),
        ("[projects.demo]\nshm = '1g'\n[projects.cifar]", OF_DEMO),
        ("[projects.demo]\npids = 100\n[projects.cifar]", OF_DEMO),
        ("[projects.demo]\nenv = { A = 'x' }\n[projects.cifar]", OF_DEMO),
        ("[projects.demo]\nssh_port = 2201\n[projects.cifar]", {"demo-workspace"}),
        ("[projects.demo]\nports = [6006]\n[projects.cifar]", set()),
        ("[access]\nhttps_port = 8443\n" + DEMO_AND_CIFAR, {"edge", "gateway"}),
        ("[access]\nbind = '127.0.0.1'\n" + DEMO_AND_CIFAR, {"edge", "gateway"}),
        ("[tls]\nemail = 'me@example.net'\n" + DEMO_AND_CIFAR, set()),
    ],
)
def test_a_container_is_made_anew_for_exactly_what_concerns_it(text: str, changed: set[str]) -> None:
    assert differing(hashes(a_desire(DEMO_AND_CIFAR)), hashes(a_desire(text))) == changed


def test_the_compose_page_and_gpus_concern_containers() -> None:
    before = hashes(a_desire(DEMO))
    assert differing(before, hashes(a_desire(DEMO, compose_digest="x"))) == {"edge", "gateway", *OF_DEMO}
    text = DEMO + "\ncuda = 'none'"
    assert differing(hashes(a_desire(text)), hashes(a_desire(text, gpu=CDI))) == OF_DEMO
    assert differing(before, hashes(a_desire(DEMO, authorized_keys=(BOB,), addresses=()))) == set()


def test_a_rig_that_moves_has_its_containers_made_anew() -> None:
    here, there = (a_rig(DEMO, directory=folder) for folder in ("/rig", "/srv/rig"))
    one, other = (hashes(desire(rig, a_host(rig))) for rig in (here, there))
    assert differing(one, other) == {"edge", "gateway", *OF_DEMO}


def test_secrets_are_private_and_hidden() -> None:
    ddns = "[ddns]\nprovider = 'dyndns2'\nserver = 'dyn.example.net'\nhostname = 'rig.example.net'\n"
    desired = a_desire(ddns + DEMO, ddns_password="hunter2")
    modes = {file.path: file.mode for file in desired.files if file.path.startswith("secrets/")}
    assert modes == {"secrets/ddns/ddns.conf": 0o600, "secrets/ddns/password": 0o600}
    folders = {f.path: f.mode for f in desired.folders if f.path.startswith(("secrets", "state/keys/", "homes/"))}
    assert set(folders.values()) == {0o700}
    assert "hunter2" not in repr(desired)
    files = a_desire("[tls]\nmode = 'files'\ncertificate = 'c.pem'\nkey = 'k.pem'")
    assert {f.path: f.mode for f in files.files if f.path.startswith("secrets/")} == {
        "secrets/edge-tls/certificate.pem": 0o600,
        "secrets/edge-tls/key.pem": 0o600,
    }
    assert "PEM of key" not in repr(files)
    assert "hunter2" not in repr(a_host(a_rig(DEMO), ddns_password="hunter2"))


def test_notes_say_what_is_missing() -> None:
    assert a_desire(DEMO, gpu=CDI).notes == ()
    assert a_desire(DEMO).notes == ("no GPU in the containers: this machine has no NVIDIA driver",)
    assert a_desire("[projects.demo]\ngpus = 'none'").notes == ()
    assert a_desire("[gpu]\nmode = 'none'\n" + DEMO).notes == ()
    assert a_desire("[projects.demo]\ngpus = 2", gpu=CDI).notes == ()
    (stale,) = a_desire(DEMO, gpu=CDI.replace(stale="/etc/cdi/nvidia.yaml: it names 1")).notes
    assert stale.endswith("is stale (/etc/cdi/nvidia.yaml: it names 1): sudo rigstack host setup")
    assert "nobody can log in" in a_desire(DEMO, gpu=CDI, authorized_keys=()).notes[0]


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_different_parts_have_different_digests(one: list[str], other: list[str]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)
