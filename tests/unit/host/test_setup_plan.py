"""The set-up plan by its text: a literal machine in, the steps with their causes out."""

from __future__ import annotations

import pytest

from rigstack.engine.presence import EngineAnswers, EngineForbidden, EngineSilent
from rigstack.errors import ConsentError, HostError
from rigstack.host import version_floors
from rigstack.host.machine import Distribution, Machine, Plugin
from rigstack.host.machine_report import check_machine, setup_json, setup_lines
from rigstack.host.nvidia import CdiSpec, NoGpu, NvidiaGpus
from rigstack.host.setup_consent import ensure_allowed
from rigstack.host.setup_plan import SetupOptions, plan_setup
from rigstack.host.setup_steps import SetupPlan

DEBIAN_12 = Distribution(id="debian", version="12", codename="bookworm", name="Debian GNU/Linux 12 (bookworm)")
DEBIAN_13 = Distribution(id="debian", version="13", codename="trixie", name="Debian GNU/Linux 13 (trixie)")
UBUNTU_24 = Distribution(id="ubuntu", version="24.04", codename="noble", name="Ubuntu 24.04.3 LTS")
FEDORA = Distribution(id="fedora", version="43", codename="", name="Fedora Linux 43")
ANSWERS = EngineAnswers(name="Engine", version="28.5.2+dfsg4", runc="1.3.3", containerd="2.1.9", cdi=True)
GPU = NvidiaGpus(nodes=("/dev/nvidia0",), driver="580.65.06")

BARE = Machine(
    distribution=DEBIAN_12,
    arch="x86_64",
    user="root",
    root=True,
    init="none",
    socket="/var/run/docker.sock",
    engine=EngineSilent(reason="/var/run/docker.sock: No such file or directory"),
    daemon=None,
    daemon_version="",
    daemon_settings=False,
    client=None,
    compose=None,
    buildx=None,
    buildkit="",
    prefixes=(),
    vendor_packages=False,
    docker_group=False,
    in_docker_group=False,
    tools=frozenset({"apt-get"}),
    apparmor=False,
    gpu=NoGpu(),
    thorough=True,
)
READY = BARE.replace(
    engine=ANSWERS,
    daemon="/usr/sbin/dockerd",
    daemon_version="28.5.2+dfsg4",
    client="/usr/bin/docker",
    compose=Plugin(path="/usr/libexec/docker/cli-plugins/docker-compose", version="2.40.3"),
    buildx=Plugin(path="/usr/libexec/docker/cli-plugins/docker-buildx", version="0.29.1"),
    docker_group=True,
    tools=frozenset({"apt-get", "runc", "iptables", "ps", "ssh-keygen", "mmdebstrap"}),
)


def text(machine: Machine, *, vendor: bool = False) -> list[str]:
    return list(plan_setup(machine, SetupOptions(vendor=vendor)).lines())


def test_bare_debian_12_gets_a_newer_debians_engine_in_a_prefix() -> None:
    assert text(BARE) == [
        "1. write /etc/docker/daemon.json (live-restore, log rotation, CDI)",
        "   because a new engine keeps no log limit and stops containers with itself",
        "2. apt-get install runc iptables procps openssh-client mmdebstrap gpg debian-archive-keyring",
        "   because the engine and image builds use them",
        "3. unpack Debian unstable or trixie's Docker packages below /opt/rigstack/engine",
        "   because no engine, client, compose, buildx here,"
        " and Debian GNU/Linux 12 (bookworm)'s own packages are too old",
        "4. link docker, compose and buildx into /usr/local, where nothing of that name is",
        "   because no engine, client, compose, buildx here",
        "5. start the engine: dockerd",
        "   because nothing answers at /var/run/docker.sock",
    ]
    assert any("after a reboot" in line for line in plan_setup(BARE).advice)


def test_debian_12_with_systemd_gets_a_unit_and_no_reboot_warning() -> None:
    plan = plan_setup(BARE.replace(init="systemd", daemon_settings=True, tools=READY.tools))
    assert [line for line in plan.lines() if not line.startswith(" ")][2:] == [
        "3. write /etc/systemd/system/docker.service",
        "4. start the engine: systemctl enable --now docker",
    ]
    assert not any("reboot" in line for line in plan.advice)


def test_a_broken_off_debian_12_set_up_is_completed() -> None:
    prefix = "/opt/rigstack/engine/28.5.2"
    machine = BARE.replace(
        prefixes=(prefix,), daemon=f"{prefix}/usr/sbin/dockerd", tools=READY.tools, daemon_settings=True
    )
    assert [line for line in text(machine) if not line.startswith(" ")] == [
        "1. link docker, compose and buildx into /usr/local, where nothing of that name is",
        "2. start the engine: dockerd",
    ]


@pytest.mark.parametrize(
    ("system", "packages"),
    [
        (DEBIAN_13, "docker.io docker-cli docker-compose docker-buildx"),
        (DEBIAN_13.replace(version=""), "docker.io docker-cli docker-compose docker-buildx"),
        (UBUNTU_24, "docker.io docker-compose-v2 docker-buildx"),
    ],
)
def test_newer_distributions_use_their_own_packages(system: Distribution, packages: str) -> None:
    steps = text(BARE.replace(distribution=system, init="systemd"))
    assert steps[2:] == [
        f"2. apt-get install {packages} iptables procps openssh-client mmdebstrap gpg debian-archive-keyring",
        "   because no engine, client, compose, buildx here",
        "3. start the engine: systemctl enable --now docker",
        "   because nothing answers at /var/run/docker.sock",
    ]


def test_vendor_packages_when_asked() -> None:
    steps = text(BARE.replace(distribution=UBUNTU_24), vendor=True)
    assert steps[0] == "1. add the vendor's package source https://download.docker.com/linux/ubuntu"
    assert "docker-ce containerd.io docker-ce-cli docker-compose-plugin docker-buildx-plugin" in steps[4]


def test_an_enforcing_apparmor_needs_its_parser() -> None:
    assert any(" apparmor" in line for line in text(BARE.replace(apparmor=True)))


def test_nothing_to_do_is_no_step_and_one_line() -> None:
    for machine in (READY, READY.replace(root=False, user="ada", thorough=False), READY.replace(distribution=FEDORA)):
        plan = plan_setup(machine)
        assert plan.steps == ()
        assert setup_lines(machine, plan, done=True) == [
            "Docker Engine 28.5.2+dfsg4, compose and buildx are here and answer: nothing to do;"
            " no NVIDIA GPU here: projects run on the CPU"
        ]


def test_a_stopped_engine_is_started_and_nothing_else() -> None:
    stopped = READY.replace(engine=EngineSilent(reason="Connection refused"), init="systemd")
    assert text(stopped) == [
        "1. start the engine: systemctl enable --now docker",
        "   because nothing answers at /var/run/docker.sock",
    ]
    assert text(stopped.replace(init="sysv"))[0] == "1. start the engine: service docker start"


def test_a_silent_engine_gets_the_programs_it_may_be_silent_for() -> None:
    silent = READY.replace(engine=EngineSilent(reason="Connection refused"), tools=frozenset({"apt-get", "ps"}))
    assert text(silent)[:2] == [
        "1. apt-get install iptables openssh-client mmdebstrap gpg debian-archive-keyring",
        "   because the engine and image builds use them",
    ]
    prefix = "/opt/rigstack/engine/28.5.2"
    unpacked = silent.replace(prefixes=(prefix,), daemon=f"{prefix}/usr/sbin/dockerd")
    assert text(unpacked)[0] == "1. apt-get install runc iptables openssh-client mmdebstrap gpg debian-archive-keyring"
    assert len(text(silent.replace(tools=frozenset()))) == 2


@pytest.mark.parametrize(
    ("vendor_packages", "expected"),
    [
        (False, "1. apt-get install docker-compose docker-buildx"),
        (True, "1. apt-get install docker-compose-plugin docker-buildx-plugin"),
    ],
)
def test_missing_plugins_come_from_where_the_engine_came(vendor_packages: bool, expected: str) -> None:
    machine = READY.replace(distribution=DEBIAN_13, compose=None, buildx=None, vendor_packages=vendor_packages)
    assert text(machine) == [expected, "   because the engine lacks compose, buildx"]


@pytest.mark.parametrize(
    ("machine", "what", "remedy"),
    [
        (
            READY.replace(root=False, user="ada", engine=EngineForbidden()),
            "user ada may not use the engine",
            "sudo usermod -aG docker ada, then log in again; note that whoever is in the docker group can become root",
        ),
        (
            READY.replace(user="ada", engine=EngineForbidden(), in_docker_group=True),
            "user ada",
            "log out and in again",
        ),
        (READY.replace(user="ada", engine=EngineForbidden(), docker_group=False), "user ada", "sudo groupadd docker"),
        (BARE.replace(distribution=FEDORA), "Fedora Linux 43 lacks engine", "install Docker Engine 28.3.3 or newer"),
        (
            READY.replace(distribution=FEDORA, compose=None),
            "Fedora Linux 43 lacks compose",
            "compose and buildx plugins",
        ),
        (
            BARE.replace(socket="/run/user/1000/docker.sock"),
            "no engine answers at /run/user/1000",
            "unset DOCKER_HOST",
        ),
        (
            READY.replace(engine=ANSWERS.replace(version="20.10.24")),
            "Docker Engine 20.10.24 is too old: rigstack needs 25.0",
            "apt-get remove docker.io; images and volumes stay",
        ),
        (
            READY.replace(compose=Plugin(path="/x", version="2.17.2")),
            "docker compose 2.17.2 is too old",
            "apt-get remove docker-compose",
        ),
        (
            READY.replace(engine=EngineAnswers(name="Podman Engine", version="5.4.2")),
            "answered by Podman Engine 5.4.2",
            "install Docker Engine",
        ),
    ],
)
def test_what_no_step_could_help_is_an_error_with_a_remedy(machine: Machine, what: str, remedy: str) -> None:
    with pytest.raises(HostError) as refused:
        plan_setup(machine)
    assert what in refused.value.what
    assert remedy in refused.value.remedy


def test_gpu_without_toolkit_gets_it_from_apt_where_apt_has_it() -> None:
    machine = READY.replace(gpu=GPU.replace(toolkit_package=True))
    assert text(machine) == [
        "1. apt-get install nvidia-container-toolkit",
        "   because 1 NVIDIA GPU(s) and no container toolkit",
        "2. nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
        "   because no CDI spec names the GPUs yet",
    ]


def test_gpu_without_toolkit_anywhere_is_advice_and_with_vendor_a_source() -> None:
    machine = READY.replace(gpu=GPU.replace(toolkit_package=False))
    plan = plan_setup(machine)
    assert plan.steps == ()
    assert "rigstack host setup --vendor" in plan.advice[0]
    assert text(machine, vendor=True)[0].startswith("1. add the vendor's package source https://nvidia.github.io/")


def test_a_cdi_spec_is_written_again_only_when_it_does_not_fit() -> None:
    toolkit = GPU.replace(toolkit="/usr/bin/nvidia-ctk", toolkit_version="1.18.0")
    fits = READY.replace(gpu=toolkit.replace(specs=(CdiSpec(path="/var/run/cdi/nvidia.yaml"),)))
    assert text(fits) == []
    old = CdiSpec(path="/etc/cdi/nvidia.yaml", stale="it is for driver 535.1.2 and 580.65.06 is loaded")
    assert text(READY.replace(gpu=toolkit.replace(specs=(old,)))) == [
        "1. nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
        "   because /etc/cdi/nvidia.yaml: it is for driver 535.1.2 and 580.65.06 is loaded",
    ]


def test_of_two_cdi_specs_the_one_that_wins_is_written_again() -> None:
    toolkit = GPU.replace(toolkit="/usr/bin/nvidia-ctk")
    etc, run = CdiSpec(path="/etc/cdi/nvidia.yaml"), CdiSpec(path="/var/run/cdi/nvidia.yaml")
    old = "it is for driver 535.1.2 and 580.65.06 is loaded"
    assert text(READY.replace(gpu=toolkit.replace(specs=(etc.replace(stale=old), run)))) == []
    machine = READY.replace(gpu=toolkit.replace(specs=(etc, run.replace(stale=old))))
    assert text(machine)[0] == "1. nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"
    assert ("GPU", "1 NVIDIA, driver 580.65.06", f"stale CDI spec: {old}") in check_machine(machine).rows()


def test_the_toolkit_s_own_units_keep_the_spec_fresh_where_it_has_them() -> None:
    toolkit = GPU.replace(toolkit="/usr/bin/nvidia-ctk", refresh="off")
    assert text(READY.replace(gpu=toolkit)) == [
        "1. systemctl enable --now nvidia-cdi-refresh.path nvidia-cdi-refresh.service",
        "   because the toolkit can keep the CDI spec fresh, and its units are switched off",
        "2. nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml",
        "   because no CDI spec names the GPUs yet",
    ]
    old = CdiSpec(path="/etc/cdi/nvidia.yaml", stale="the MIG instances were changed since it was made")
    machine = READY.replace(gpu=toolkit.replace(refresh="on", specs=(old,)))
    assert text(machine) == [
        "1. nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml",
        "   because /etc/cdi/nvidia.yaml: the MIG instances were changed since it was made",
    ]
    assert [problem.what for problem in check_machine(machine).gpu] == [f"/etc/cdi/nvidia.yaml: {old.stale}"]
    fresh = CdiSpec(path="/var/run/cdi/nvidia.yaml")
    settled = READY.replace(gpu=toolkit.replace(refresh="on", specs=(old, fresh)))
    assert (text(settled), check_machine(settled).gpu) == ([], ())
    off = READY.replace(gpu=toolkit.replace(specs=(fresh,)))
    assert (len(text(off)), check_machine(off).gpu) == (2, ()), "advice, and no problem of the doctor's"


def test_gpus_are_made_known_to_systemd_where_it_makes_the_control_groups() -> None:
    fits = GPU.replace(toolkit="/usr/bin/nvidia-ctk", specs=(CdiSpec(path="/etc/cdi/nvidia.yaml"),))
    unlinked = fits.replace(unlinked=("/dev/nvidia0",))
    systemd = READY.replace(engine=ANSWERS.replace(cgroups="systemd"))
    assert text(systemd.replace(gpu=unlinked)) == [
        "1. nvidia-ctk system create-dev-char-symlinks --create-all, and a udev rule that does it at every boot",
        "   because running containers would lose their GPUs at the next `systemctl daemon-reload`",
    ]
    assert "daemon-reload" in " ".join(check_machine(systemd.replace(gpu=unlinked)).advice)
    assert text(systemd.replace(gpu=fits)) == []
    assert text(READY.replace(gpu=unlinked, engine=ANSWERS.replace(cgroups="cgroupfs"))) == []


def test_settings_of_an_engine_that_was_here_are_advice_not_steps() -> None:
    gpu = GPU.replace(toolkit="/usr/bin/nvidia-ctk", specs=(CdiSpec(path="/etc/cdi/nvidia.yaml"),))
    machine = READY.replace(gpu=gpu, engine=ANSWERS.replace(cdi=False, live_restore=False))
    assert plan_setup(machine).steps == ()
    advice = " ".join(check_machine(machine).advice)
    assert '"features": {"cdi": true}' in advice
    assert '"live-restore": true' in advice


@pytest.mark.parametrize(
    ("part", "version", "holds"),
    [
        ("engine", "28.3.2", False),
        ("engine", "28.3.3-1", True),
        ("engine", "29.0.0", True),
        ("runc", "1.1.5+ds1", False),
        ("runc", "1.2.7", False),
        ("runc", "1.2.8", True),
        ("runc", "1.3.2", False),
        ("runc", "1.3.3", True),
        ("runc", "1.4.0", True),
        ("buildkit", "v0.28.0", False),
        ("compose", "5.0.0", True),
        ("toolkit", "1.17.7", False),
    ],
)
def test_floors(part: str, version: str, holds: bool) -> None:
    assert version_floors.FLOORS[part].holds(version_floors.numbers(version)) is holds


def test_a_known_hole_is_a_warning_with_a_remedy_and_no_failure() -> None:
    report = check_machine(READY.replace(engine=ANSWERS.replace(runc="1.1.5+ds1")))
    assert report.able
    assert [hole.text().split(":")[0] for hole in report.holes] == ["runc 1.1.5+ds1 is below 1.2.8 or 1.3.3"]
    assert "--only-upgrade runc" in report.holes[0].remedy
    unpacked = READY.replace(prefixes=("/opt/rigstack/engine/26.1.5",), engine=ANSWERS.replace(version="26.1.5"))
    assert "remove /opt/rigstack/engine/26.1.5" in check_machine(unpacked).holes[0].remedy


def test_check_of_a_bare_machine_says_what_is_missing() -> None:
    report = check_machine(BARE)
    assert not report.able
    assert [(problem.what, problem.remedy) for problem in report.problems] == [
        ("missing: engine, client, compose, buildx", "sudo rigstack host setup")
    ]
    assert report.as_json()["able"] is False
    forbidden = check_machine(READY.replace(engine=EngineForbidden()))
    assert "permission denied" in forbidden.problems[0].what


def test_setup_json_names_steps_with_causes() -> None:
    document = setup_json(READY, plan_setup(READY.replace(engine=EngineSilent(reason="x"))), done=True)
    assert document["steps"] == [
        {
            "kind": "StartEngine",
            "text": "start the engine: dockerd",
            "cause": "nothing answers at /var/run/docker.sock",
        }
    ]


def test_only_root_with_a_yes_may_set_up() -> None:
    plan = plan_setup(BARE)

    def never(_: SetupPlan) -> bool:
        raise AssertionError("a user who cannot go ahead was asked")

    with pytest.raises(HostError, match="needs root") as refused:
        ensure_allowed(plan, BARE.replace(root=False), never)
    assert refused.value.remedy == "sudo rigstack host setup"
    assert refused.value.details == plan.lines()
    with pytest.raises(ConsentError):
        ensure_allowed(plan, BARE, lambda _: False)
    ensure_allowed(plan, BARE, lambda _: True)


def test_an_engine_without_ssh_keygen_gets_only_that() -> None:
    assert text(READY.replace(tools=READY.tools - {"ssh-keygen"})) == [
        "1. apt-get install openssh-client",
        "   because it makes the rig's SSH host keys",
    ]
