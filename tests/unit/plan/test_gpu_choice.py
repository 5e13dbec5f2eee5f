"""Which GPUs each project is given: literal states in, devices and words out; and what must hold for all states."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from builders import a_rig
from hypothesis import given, settings
from hypothesis import strategies as st

from rigstack.errors import HostError
from rigstack.plan.gpu import Claim, GpuProcess, GpuReading, GpuUnit, Link, NoGpus
from rigstack.plan.gpu_choice import Choice, choose, ensure_met
from rigstack.plan.host import Gpu

GIB = 1024**3
CDI = Gpu(kind="cdi", devices=("0", "1", "GPU-aa", "GPU-bb"), aliases=(("GPU-aa", "0"), ("GPU-bb", "1")))
RUNTIME = Gpu(kind="nvidia", devices=("0", "1"))
NONE = Gpu(kind="none", why="no driver")


def of(count: int) -> Gpu:
    return Gpu(kind="cdi", devices=tuple(map(str, range(count))))


def unit(
    device: str, *, kind: str = "RTX 4090", load: int = 0, used: float = 0.2, total: int = 24, **more: object
) -> GpuUnit:
    working = (GpuProcess(pid=7, kind="compute"),) if load else ()
    values = {"device": device, "kind": kind, "load": load, "processes": working, **more}
    return GpuUnit(memory_used=round(used * GIB), memory_total=total * GIB, **values)  # type: ignore[arg-type]


def reading(*units: GpuUnit, links: tuple[Link, ...] = ()) -> GpuReading:
    return GpuReading(driver="580.65.06", cuda="13.0", units=units, links=links)


def project(name: str, gpus: str = '"all"', sharing: str = "shared") -> str:
    return f'[projects.{name}]\ngpus = {gpus}\ngpu_sharing = "{sharing}"\n'


def claim(name: str, *devices: str, sharing: str = "shared", rig: str = "rig", **more: object) -> Claim:
    values = {"rig": rig, "project": name, "role": "workspace", "container": f"{rig}-{name}", **more}
    return Claim(devices=devices, sharing=sharing, **values)  # type: ignore[arg-type]


def chosen(text: str, gpu: Gpu, claims: Iterable[Claim] = (), live: GpuReading | None = None, *only: str) -> Choice:
    return choose(a_rig(text), gpu, claims, live, only=frozenset(only))


def test_on_a_machine_without_gpus_nobody_gets_one() -> None:
    assert chosen(project("a", "2") + project("b"), NONE).given == {"a": (), "b": ()}


def test_what_is_asked_for_by_name_is_given() -> None:
    text = (
        project("a") + project("b", '"none"') + project("c", '["1"]') + project("d", "1") + project("e", '["GPU-aa"]')
    )
    found = chosen(text, CDI)
    assert found.given == {"a": ("all",), "b": (), "c": ("1",), "d": ("0",), "e": ("GPU-aa",)}
    assert found.picked == {"d"}
    assert found.unmet == ()


def test_the_freest_is_picked_and_the_reason_told() -> None:
    live = reading(unit("0", load=97, used=20), unit("1"), unit("2", load=30, used=8))
    found = chosen(project("a", "1") + project("b", "1"), of(3), (), live)
    # Level first, then how many have it: 1 is idle though given to a, 2 is at 30 %.
    assert found.given == {"a": ("1",), "b": ("1",)}
    assert found.reasons[0] == (
        "a gets GPU 1 (RTX 4090, free, 23.8 of 24.0 GiB free). Not GPU 0 (RTX 4090, busy, 97 % load, 4.0 of 24.0 GiB"
        " free), GPU 2 (RTX 4090, busy, 30 % load, 16.0 of 24.0 GiB free)"
    )


def test_an_idle_gpu_of_another_project_comes_after_one_of_nobody() -> None:
    live = reading(unit("0"), unit("1"))
    assert chosen(project("a", "1"), of(2), [claim("x", "0", rig="two")], live).given == {"a": ("1",)}


def test_a_running_container_keeps_its_gpu_whatever_the_load() -> None:
    live = reading(unit("0", load=100, used=23), unit("1"))
    found = chosen(project("a", "1"), of(2), [claim("a", "0")], live)
    assert (found.given, found.picked, found.reasons) == ({"a": ("0",)}, frozenset(), ())


def test_more_gpus_are_added_to_what_there_is() -> None:
    live = reading(*(unit(str(number), load=50 if number == 3 else 0) for number in range(4)))
    assert chosen(project("a", "2"), of(4), [claim("a", "3")], live).given == {"a": ("0", "3")}
    assert chosen(project("a", "1"), of(4), [claim("a", "2", "3")]).given == {"a": ("2",)}


def test_a_gpu_that_is_gone_is_replaced() -> None:
    assert chosen(project("a", "1"), of(2), [claim("a", "5")]).given == {"a": ("0",)}


def test_lost_gpus_are_not_given() -> None:
    live = reading(unit("0", lost=True, problems=("it has fallen off the bus",)), unit("1", load=90))
    assert chosen(project("a", "1"), of(2), (), live).given == {"a": ("1",)}
    found = chosen(project("a", "2"), of(2), (), live)
    assert found.unmet[0].details == ("GPU 0: nobody; it has fallen off the bus", "GPU 1: nobody")


def test_several_gpus_are_of_one_model() -> None:
    live = reading(
        unit("0", kind="T400", total=4, used=0), unit("1", used=2), unit("2", used=2), unit("3", kind="A2", used=0)
    )
    assert chosen(project("a", "2"), of(4), (), live).given == {"a": ("1", "2")}
    found = chosen(project("a", "3"), of(4), (), live)
    assert "of different models, since no model has enough" in found.reasons[0]


def test_of_equally_free_models_the_larger() -> None:
    live = reading(unit("0", kind="T400", total=4, used=0.1), unit("1"))
    assert chosen(project("a", "1"), of(2), (), live).given == {"a": ("1",)}


@pytest.mark.parametrize(
    "links",
    [
        (Link(one="1", other="3", nvlinks=4),),
        (Link(one="1", other="3", path="switch"), Link(one="0", other="1", path="node")),
        (Link(one="1", other="3", nvlinks=2), Link(one="0", other="2", nvlinks=1, path="board")),
    ],
)
def test_several_gpus_are_near_to_one_another(links: tuple[Link, ...]) -> None:
    live = reading(*(unit(str(number)) for number in range(4)), links=links)
    assert chosen(project("a", "2"), of(4), (), live).given == {"a": ("1", "3")}


def test_nearness_never_beats_load() -> None:
    live = reading(unit("0"), unit("1", load=60), unit("2"), links=(Link(one="0", other="1", nvlinks=4),))
    assert chosen(project("a", "2"), of(3), (), live).given == {"a": ("0", "2")}


def test_unknown_load_is_told() -> None:
    found = choose(a_rig(project("a", "1")), of(1), (), NoGpus(why="this machine has no NVIDIA driver"))
    assert found.reasons == ("a gets GPU 0. Load is not known: this machine has no NVIDIA driver",)


def test_instances_are_given_like_gpus() -> None:
    split = unit("0", split=True, instances=(unit("0:0", load=50, kind="1g"), unit("0:1", kind="1g", uuid="MIG-b")))
    gpu = Gpu(kind="cdi", devices=("0:0", "0:1", "MIG-b"), aliases=(("MIG-b", "0:1"),))
    assert chosen(project("a", "1"), gpu, (), reading(split)).given == {"a": ("0:1",)}


def test_exclusive_is_for_one() -> None:
    text = project("a", "1", "exclusive") + project("b", "1") + project("c")
    found = chosen(text, of(3))
    assert found.given == {"a": ("0",), "b": ("1",), "c": ("1", "2")}
    assert "c gets GPU 1, 2; not GPU 0: a (exclusive)" in found.reasons
    assert chosen(project("a", '"all"', "exclusive"), of(2)).given == {"a": ("all",)}


def test_all_that_others_leave_may_be_nothing() -> None:
    """Not an error: it is also what a project gets that asks for nothing in particular."""
    taken = [claim("x", "0", sharing="exclusive", rig="two")]
    found = chosen("[projects.a]\n" + project("b", "1", "exclusive"), of(2), taken)
    assert (found.given, found.unmet) == ({"a": (), "b": ("1",)}, ())
    assert [(one.project, one.details) for one in found.bare] == [
        ("a", ("GPU 0: x of rig two (exclusive)", "GPU 1: b (exclusive)"))
    ]
    assert found.reasons[-1] == (
        "a gets no GPU and runs on the CPU: others have them all for themselves (GPU 0: x of rig two (exclusive);"
        ' GPU 1: b (exclusive)); gpus = "none" says that this is right, gpus = 1 that it is an error'
    )
    refused = chosen(project("a", '"all"', "exclusive"), of(2), taken)
    assert [one.what for one in refused.unmet] == ["a cannot have all GPUs for itself"]
    assert refused.bare == ()


def test_all_where_the_engine_knows_no_device_of_that_name() -> None:
    gpu = Gpu(kind="cdi", devices=("0", "1"), has_all=False)
    assert chosen(project("a"), gpu).given == {"a": ("0", "1")}
    assert chosen(project("a"), gpu, [claim("a", "all")]).given == {"a": ("0", "1")}, "that device is gone"
    alone = Gpu(kind="cdi")
    assert chosen(project("a") + project("b", "1"), alone).given == {"a": ("all",), "b": ("all",)}
    found = chosen(project("a", '"all"', "exclusive") + project("b", "1"), alone)
    assert [one.what for one in found.unmet] == ["b cannot have 1 GPU: 0 can be given"]


def test_an_exclusive_gpu_is_known_by_all_its_names() -> None:
    found = chosen(project("a", '["1"]', "exclusive") + project("b", '["GPU-bb"]'), CDI)
    assert found.unmet[0].what == "b cannot have GPU 1"
    assert found.unmet[0].details == ("GPU 1: a (exclusive)",)


def test_who_holds_what_is_told() -> None:
    claims = [claim("b", "0"), claim("x", "1", sharing="exclusive", rig="two")]
    found = chosen(project("a", "1", "exclusive") + project("b", "1"), of(2), claims)
    with pytest.raises(HostError) as refused:
        ensure_met(found, frozenset())
    assert refused.value.lines()[:3] == [
        "error: a cannot have 1 GPU for itself: 0 can be given",
        "  GPU 0: b (shared)",
        "  GPU 1: x of rig two (exclusive)",
    ]
    assert "rigstack gpus" in refused.value.remedy
    ensure_met(found, frozenset({"b"}))
    assert found.given["b"] == ("0",)


def test_all_requests_that_cannot_be_met_are_told_at_once() -> None:
    found = chosen(project("a", "3") + project("b", '["7"]'), of(2))
    with pytest.raises(HostError) as refused:
        ensure_met(found, frozenset())
    assert [line.strip() for line in refused.value.details] == [
        "b asks for GPU 7, which this machine does not have",
        "a cannot have 3 GPUs: this machine has 2",
        "GPU 0: nobody",
        "GPU 1: nobody",
    ]


def test_who_stopped_gives_way() -> None:
    claims = [claim("a", "0", holding=False), claim("b", "0", sharing="exclusive", since=5)]
    found = chosen(project("a", "1") + project("b", "1", "exclusive"), of(2), claims)
    assert found.given == {"a": ("1",), "b": ("0",)}
    assert chosen(project("a", "1"), of(2), [claim("a", "1", holding=False)]).given == {"a": ("1",)}


def test_what_runs_is_not_moved_for_who_becomes_exclusive() -> None:
    claims = [claim("a", "0", since=1), claim("b", "0", since=2)]
    found = chosen(project("a", "1", "exclusive") + project("b", "1"), of(2), claims)
    assert found.given == {"a": ("1",), "b": ("0",)}


def test_two_rigs_that_chose_at_once_come_apart() -> None:
    """The older container keeps the GPU; seen from its rig and from the other one."""
    mine, theirs = (
        claim("a", "0", sharing="exclusive", since=5),
        claim("b", "0", sharing="exclusive", rig="two", since=6),
    )
    assert chosen(project("a", "1", "exclusive"), of(2), [mine, theirs]).given == {"a": ("0",)}
    other = "[rig]\nname = 'two'\n" + project("b", "1", "exclusive")
    assert chosen(other, of(2), [mine, theirs]).given == {"b": ("1",)}


def test_projects_that_are_left_alone_keep_what_they_have() -> None:
    text = project("a", "1", "exclusive") + project("b", '["1"]') + project("c", '["9"]')
    found = chosen(text, of(2), [claim("b", "0")], None, "a")
    assert (found.given["a"], found.given["b"]) == (("1",), ("0",))
    ensure_met(found, frozenset({"a"}))
    refused = chosen(text, of(1), [claim("b", "0")], None, "a")
    assert [one.project for one in refused.unmet if one.project == "a"] == ["a"]


def test_all_stays_as_it_was_given_while_it_runs() -> None:
    assert chosen(project("a"), of(3), [claim("a", "1", "2")]).given == {"a": ("1", "2")}
    assert chosen(project("a"), of(3), [claim("a", "1", "2", holding=False)]).given == {"a": ("all",)}


@pytest.mark.parametrize("gpus", ['"all"', '"none"', "0", "2", '["1"]', '["0", "1"]', '["GPU-bb"]'])
@pytest.mark.parametrize("gpu", [CDI, RUNTIME, NONE])
def test_what_is_there_may_be_asked_for(gpus: str, gpu: Gpu) -> None:
    assert chosen(project("demo", gpus), gpu).unmet == ()


@pytest.mark.parametrize(
    ("gpus", "gpu", "absent"),
    [('["0", "7"]', CDI, "7"), ('["GPU-cc"]', CDI, "GPU-cc"), ('["2", "3"]', RUNTIME, "2, 3")],
)
def test_what_is_not_there_is_named(gpus: str, gpu: Gpu, absent: str) -> None:
    with pytest.raises(HostError) as refused:
        ensure_met(chosen(project("demo", gpus), gpu), frozenset())
    assert refused.value.what == f"demo asks for GPU {absent}, which this machine does not have"
    assert refused.value.cause == f"it has: {', '.join(gpu.devices)}"


# Properties.

kinds = st.sampled_from(["A", "B"])
idle = st.fixed_dictionaries({"load": st.just(0), "used": st.just(0.2), "kind": kinds, "lost": st.just(False)})
working = st.fixed_dictionaries(
    {
        "load": st.integers(0, 100),
        "used": st.floats(0, 24),
        "kind": kinds,
        "lost": st.sampled_from([False, False, False, True]),
    }
)
units = idle | working  # idle ones are common: then other things than load decide
machines = st.lists(units, min_size=1, max_size=6)
sharings = st.sampled_from(["shared", "exclusive"])
requests = st.one_of(
    st.integers(1, 4).map(str),
    st.just('"all"'),
    st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True).map(lambda cards: str([str(c) for c in cards])),
)
rigs = st.lists(st.tuples(requests, sharings), min_size=1, max_size=5)


def live_of(machine: list[dict[str, object]]) -> GpuReading:
    return reading(*(unit(str(number), **values) for number, values in enumerate(machine)))  # type: ignore[arg-type]


def text_of(wanted: list[tuple[str, str]]) -> str:
    return "".join(project(f"p{number}", gpus, sharing) for number, (gpus, sharing) in enumerate(wanted))


def claims_of(found: Choice, wanted: list[tuple[str, str]], since: int) -> list[Claim]:
    """What runs after `up` did as it was told; requests that were not met got no container."""
    refused = {one.project for one in found.unmet}
    return [
        claim(name, *devices, sharing=wanted[int(name[1:])][1], since=since)
        for name, devices in found.given.items()
        if devices and name not in refused
    ]


def cards_of(one: Claim, gpu: Gpu) -> set[str]:
    return set(gpu.cards if one.devices == ("all",) else one.devices)


def assert_none_is_given_twice(claims: list[Claim], gpu: Gpu) -> None:
    for one in claims:
        for other in claims:
            if one is not other and "exclusive" in (one.sharing, other.sharing):
                assert not cards_of(one, gpu) & cards_of(other, gpu), (one, other)


@given(machine=machines, history=st.lists(rigs, min_size=1, max_size=3), foreign=st.booleans())
@settings(max_examples=250, deadline=None)
def test_an_exclusive_gpu_is_never_given_twice(
    machine: list[dict[str, object]], history: list[list[tuple[str, str]]], foreign: bool
) -> None:
    gpu, live = of(len(machine)), live_of(machine)
    others = [claim("x", "0", sharing="exclusive", rig="two", since=0)] if foreign else []
    running: list[Claim] = []
    for round_, wanted in enumerate(history, 1):
        found = chosen(text_of(wanted), gpu, [*running, *others], live)
        running = claims_of(found, wanted, round_)
        assert_none_is_given_twice([*running, *others], gpu)


@given(machine=machines, later=machines, wanted=rigs)
@settings(max_examples=150, deadline=None)
def test_a_second_look_moves_nobody(
    machine: list[dict[str, object]], later: list[dict[str, object]], wanted: list[tuple[str, str]]
) -> None:
    gpu = of(len(machine))
    first = chosen(text_of(wanted), gpu, (), live_of(machine))
    running = claims_of(first, wanted, 1)
    second = chosen(text_of(wanted), gpu, running, live_of(later))
    for one in running:
        assert second.given[one.project] == one.devices
    assert not second.picked & {one.project for one in running}


@given(machine=machines, count=st.integers(1, 4), held=st.sets(st.integers(0, 5)), sharing=sharings)
@settings(max_examples=250, deadline=None)
def test_no_busier_gpu_while_a_freer_of_its_kind_is_to_be_had(
    machine: list[dict[str, object]], count: int, held: set[int], sharing: str
) -> None:
    gpu, live = of(len(machine)), live_of(machine)
    claims = [claim("x", str(number), rig="two", sharing="shared") for number in held]
    found = chosen(project("a", str(count), sharing), gpu, claims, live)
    if found.unmet:
        return
    has = set(found.given["a"])
    assert len(has) == count

    def busy(card: str) -> tuple[int, int]:
        return (live.units[int(card)].level, int(int(card) in held))

    may = {
        card for card in gpu.cards if not live.units[int(card)].lost and (sharing == "shared" or int(card) not in held)
    }
    assert has <= may
    for card in has:
        for other in may - has:
            if live.units[int(card)].kind == live.units[int(other)].kind:
                assert busy(card) <= busy(other)
    if count == 1:
        assert busy(*has) == min(busy(card) for card in may)
