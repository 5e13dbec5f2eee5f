"""`status`: the contract's keys, and the right word for each state of the rig."""

from __future__ import annotations

import json

from builders import DEMO, DEMO_AND_CIFAR, a_host, a_rig, settled

from rigstack.plan.ddns import DdnsReport
from rigstack.plan.desired import desire
from rigstack.plan.gpu_choice import Choice, Unmet
from rigstack.plan.host import Gpu
from rigstack.plan.observed import Observed
from rigstack.plan.status import Status, assess, edge_url

CERTIFICATE = {"mode": "internal", "expires": "2031-01-02T03:04:05Z"}
CDI = Gpu(kind="cdi", devices=("0",))


def status(text: str, observed: Observed | None, *, changed: bool = False, **host: object) -> Status:
    """The assessment of a rig; observed: None for a rig that is settled."""
    rig = a_rig(text)
    machine = a_host(rig, **{"gpu": CDI, **host})  # type: ignore[arg-type]
    seen = settled(desire(rig, machine)) if observed is None else observed
    return assess(rig, machine, seen, fingerprint="SHA256:abc", certificate=CERTIFICATE, changed=changed)


def settled_but(text: str, **containers: dict[str, object] | None) -> Observed:
    rig = a_rig(text)
    named = {name.replace("_", "-"): changed for name, changed in containers.items()}
    return settled(desire(rig, a_host(rig, gpu=CDI)), containers=named)


def test_a_running_rig() -> None:
    report = status(DEMO, None)
    assert report.problems == ()
    image = settled_but(DEMO).containers["demo-notebook"].image
    assert report.document == {
        "rig": {"name": "rig", "hostname": "", "directory": "/rig", "state": "running"},
        "edge": {"state": "healthy", "url": "https://box.local/", "tls": CERTIFICATE},
        "gateway": {"state": "healthy", "port": 22222, "fingerprint": "SHA256:abc"},
        "ddns": {**DdnsReport().document(), "state": "off"},
        "projects": [
            {
                "name": "demo",
                "image": image,
                "state": "running",
                "error": "",
                "gpus": "all",
                "gpu_sharing": "shared",
                "devices": [],
                "workspace": {"state": "running", "health": "healthy"},
                "notebook": {"state": "running", "health": "healthy", "url": "https://box.local/p/demo/"},
            }
        ],
        "problems": [],
    }


def test_down() -> None:
    report = status(DEMO, Observed(), changed=True)
    assert report.document["rig"]["state"] == "down"
    assert [(p.what, p.remedy) for p in report.problems] == [("nothing runs", "rigstack up")]
    project = report.document["projects"][0]
    assert project["state"] == "absent"
    assert project["workspace"] == {"state": "absent", "health": ""}
    assert project["image"] == ""


def test_degraded_names_each_part_and_what_to_do() -> None:
    seen = settled_but(
        DEMO_AND_CIFAR,
        demo_notebook={"health": "unhealthy"},
        cifar_workspace=None,
        gateway={"state": "exited", "health": ""},
    )
    report = status(DEMO_AND_CIFAR, seen)
    assert report.document["rig"]["state"] == "degraded"
    assert [(p.what, p.remedy) for p in report.problems] == [
        ("gateway is exited", "rigstack logs gateway"),
        ("demo-notebook is unhealthy", "rigstack logs demo-notebook"),
        ("cifar-workspace is not there", "rigstack up"),
    ]
    assert [p["state"] for p in report.document["projects"]] == ["degraded", "degraded"]
    assert report.document["gateway"]["state"] == "exited"


def test_starting_is_not_a_problem() -> None:
    seen = settled_but(DEMO, demo_notebook={"health": "starting"})
    report = status(DEMO, seen)
    assert report.problems == ()
    assert report.document["rig"]["state"] == "starting"
    assert report.document["projects"][0]["state"] == "starting"


def test_a_difference_to_rig_toml_is_told() -> None:
    report = status(DEMO, None, changed=True)
    assert report.document["rig"]["state"] == "running"
    assert [p.remedy for p in report.problems] == ["rigstack up --dry-run shows the difference"]
    assert report.document["problems"] == [{"what": p.what, "remedy": p.remedy} for p in report.problems]


def test_no_key_and_no_gpu_are_told() -> None:
    problems = status(DEMO, None, authorized_keys=(), gpu=Gpu(kind="none", why="no card")).problems
    words = [p.what for p in problems]
    assert [p.check for p in problems] == ["services", "gpu"]
    assert words == ["no key may log in", "no GPU in containers: no card"]
    assert status("[projects.demo]\ngpus = 'none'", None, gpu=Gpu(kind="none", why="no card")).problems == ()


def test_ddns_and_gpus_in_json() -> None:
    ddns = "[ddns]\nprovider = 'dyndns2'\nserver = 'dyn.example.net'\nhostname = 'rig.example.net'\n"
    document = status(ddns + "[projects.demo]\ngpus = [0, 1]", None).document
    assert (document["ddns"]["state"], document["ddns"]["hostname"]) == ("healthy", "rig.example.net")
    assert json.loads(json.dumps(document))["projects"][0]["gpus"] == ["0", "1"]


def test_where_the_edge_answers() -> None:
    for text, url in (
        ("", "https://box.local/"),
        ("[access]\nhttps_port = 8443", "https://box.local:8443/"),
        ("[rig]\nhostname = 'rig.example.net'", "https://rig.example.net/"),
        ("[rig]\nhostname = 'rig.example.net'\n[access]\nhttps_port = 8443", "https://rig.example.net:8443/"),
    ):
        rig = a_rig(text)
        assert edge_url(rig, a_host(rig)) == url


def test_a_container_that_lost_its_gpus() -> None:
    ailment = "lost its GPUs: /dev/nvidiactl may not be opened any more"
    report = status(DEMO, settled_but(DEMO, demo_workspace={"health": "unhealthy", "ailment": ailment}))
    assert report.document["rig"]["state"] == "degraded"
    assert [(problem.what.partition(" (")[0], problem.remedy.split(" makes")[0]) for problem in report.problems] == [
        (f"demo-workspace {ailment}", "rigstack up")
    ]


def test_a_project_that_others_leave_no_gpu() -> None:
    bare = Unmet(project="demo", what="demo gets no GPU", details=("GPU 0: x (exclusive)",))
    rig = a_rig(DEMO)
    host = a_host(rig, gpu=CDI)
    choice = Choice(given={"demo": ()}, bare=(bare,))
    seen = settled(desire(rig, host, choice.given))
    report = assess(rig, host, seen, fingerprint="", certificate=CERTIFICATE, changed=False, choice=choice)
    assert [problem.what for problem in report.problems] == ["demo gets no GPU (GPU 0: x (exclusive))"]
    assert report.document["rig"]["state"] == "running"
