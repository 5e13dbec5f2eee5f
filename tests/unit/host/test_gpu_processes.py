"""Whose a process is, by control groups as kernels and engines write them, and what the kernel's log says of GPUs."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from rigstack.host.gpu_processes import container_ids, observe_holder, observe_holders
from rigstack.host.kernel_log import observe_xids
from rigstack.plan.gpu import Owner

ID = "3f1c" * 16
INNER = "77ab" * 16


@pytest.mark.parametrize(
    ("cgroup", "ids"),
    [
        (f"0::/docker/{ID}\n", (ID,)),
        (f"0::/system.slice/docker-{ID}.scope\n", (ID,)),
        (f"0::/../{ID}\n", (ID,)),
        (f"12:devices:/docker/{ID}\n11:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n", (ID,)),
        (f"3:cpu,cpuacct:/system.slice/docker-{ID}.scope\n0::/\n", (ID,)),
        (f"0::/docker/{ID}/init.scope\n", (ID,)),
        (f"0::/docker/{ID}/docker/{INNER}\n", (ID, INNER)),
        (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope\n", (ID,)),
        (f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n", (ID,)),
        (f"0::/machine.slice/libpod-{ID}.scope/container\n", (ID,)),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", ()),
        ("0::/\n", ()),
        ("", ()),
        (f"0::/docker/{ID}0\n", ()),
        (f"0::/x/{ID[:-1]}\n", ()),
    ],
)
def test_containers_by_control_group(cgroup: str, ids: tuple[str, ...]) -> None:
    assert container_ids(cgroup) == ids


def a_process(proc: Path, pid: int, cgroup: str, comm: str = "python3\n") -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "cgroup").write_text(cgroup)
    (proc / str(pid) / "comm").write_text(comm)


def test_holders(tmp_path: Path) -> None:
    a_process(tmp_path, 1, f"0::/docker/{ID}\n")
    a_process(tmp_path, 2, f"0::/docker/{INNER}\n")
    a_process(tmp_path, 3, "0::/user.slice\n", "Xorg\n")
    a_process(tmp_path, 4, f"0::/docker/{ID}/docker/{INNER}\n")
    owners = {ID: Owner(name="box-cifar-notebook-1", rig="box", project="cifar", role="notebook")}
    found = observe_holders([1, 2, 3, 4, 5], owners, proc=tmp_path)
    user = pwd.getpwuid(os.getuid()).pw_name
    assert {pid: holder.text() for pid, holder in found.items()} == {
        1: "cifar notebook",
        2: f"container {INNER[:12]}",
        3: f"user {user}",
        4: "cifar notebook",
        5: "unknown",
    }
    assert (found[1].rig, found[1].container, found[1].command) == ("box", "box-cifar-notebook-1", "python3")
    foreign = observe_holder(2, {INNER: Owner(name="blender")}, proc=tmp_path)
    assert (foreign.kind, foreign.text()) == ("container", "container blender")


def test_this_process_is_somebody_s() -> None:
    assert observe_holder(os.getpid(), {}).user == pwd.getpwuid(os.getuid()).pw_name


def test_xids_in_the_kernel_s_log(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text(
        "6,1,2,-;usb 1-1: new device\n"
        "4,2,3,-;NVRM: Xid (PCI:0000:01:00): 31, pid=77, name=python3, Ch 00000008, MMU Fault\n"
        "4,3,3,-;NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n"
        "4,4,3,-;NVRM: Xid (PCI:0000:41:00): 48\n"
        "4,5,3,-;NVRM: Xid (PCI:0000:01:00): 31, pid=78, name=python3, Ch 00000009, MMU Fault\n"
        "4,6,3,-;NVRM: Xid (PCI:nonsense): 31, x\n"
    )
    assert observe_xids(str(log)) == {
        (0, 1, 0): ("XID 31: Ch 00000009, MMU Fault", "XID 79: GPU has fallen off the bus."),
        (0, 0x41, 0): ("XID 48",),
    }
    assert observe_xids(str(tmp_path / "none")) == {}
