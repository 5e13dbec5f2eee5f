"""The LAN as the kernel and the machine's own network programs tell it: static or leased, and by whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rigstack.errors import HostError
from rigstack.host.net.lan import observe_lan


def ip_says(*, dynamic: bool = False, protocol: str = "static") -> Any:
    """iproute2 on a machine with two cards; the second has no way out."""
    links = [
        {"ifname": "lo", "ifindex": 1, "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
        {
            "ifname": "enp5s0",
            "ifindex": 2,
            "address": "00:11:22:33:44:55",
            "addr_info": [
                {"family": "inet", "local": "192.168.1.10", "prefixlen": 24, **({"dynamic": True} if dynamic else {})},
                {"family": "inet6", "local": "2001:db8:0:1::99", "prefixlen": 64, "temporary": True},
                {"family": "inet6", "local": "2001:db8:0:1::10", "prefixlen": 64},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64},
            ],
        },
        {"ifname": "enp6s0", "ifindex": 3, "addr_info": [{"family": "inet", "local": "10.0.0.1", "prefixlen": 8}]},
    ]

    def ask(*words: str) -> list[dict[str, Any]]:
        if words[0] == "-4":
            return [
                {"dst": "default", "gateway": "192.168.1.254", "dev": "enp9s0", "metric": 600},
                {"dst": "default", "gateway": "192.168.1.1", "dev": "enp5s0", "protocol": protocol, "metric": 100},
            ]
        return [{"dst": "default", "gateway": "fe80::ff", "dev": "enp5s0"}] if words[0] == "-6" else links

    return ask


def test_the_interface_of_the_best_default_route(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("search lan\nnameserver 192.168.1.1\nnameserver 9.9.9.9\n")
    lan = observe_lan("", ask=ip_says(), root=tmp_path)
    assert (lan.interface, lan.address, lan.prefix, lan.gateway) == ("enp5s0", "192.168.1.10", 24, "192.168.1.1")
    assert (lan.mac, lan.addressing, lan.keeper) == ("00:11:22:33:44:55", "static", "")
    assert (lan.dns, lan.address6, lan.gateway6) == (("192.168.1.1", "9.9.9.9"), "2001:db8:0:1::10", "fe80::ff")


def test_the_interface_that_the_rig_is_bound_to(tmp_path: Path) -> None:
    lan = observe_lan("10.0.0.1", ask=ip_says(), root=tmp_path)
    assert (lan.interface, lan.gateway, lan.address6) == ("enp6s0", "", "")
    with pytest.raises(HostError, match=r"has the address 10\.9\.9\.9"):
        observe_lan("10.9.9.9", ask=ip_says(), root=tmp_path)


@pytest.mark.parametrize("says", [ip_says(dynamic=True), ip_says(protocol="dhcp")])
def test_a_lease_is_seen(says: Any, tmp_path: Path) -> None:
    assert observe_lan("", ask=says, root=tmp_path).addressing == "dhcp"


KEEPERS = {
    "NetworkManager": ("run/NetworkManager/devices/2", "[device]\nmanaged=true\nconnection-uuid=1-2-3\n", "1-2-3"),
    "netplan": ("run/systemd/netif/links/2", "NETWORK_FILE=/run/systemd/network/10-netplan-enp5s0.network\n", ""),
    "networkd": ("run/systemd/netif/links/2", "NETWORK_FILE=/etc/systemd/network/lan.network\n", ""),
    "ifupdown": ("etc/network/interfaces.d/lan", "auto enp5s0\niface  enp5s0\tinet dhcp\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("keeper", KEEPERS)
def test_who_keeps_the_interface(keeper: str, tmp_path: Path) -> None:
    file, text, profile = KEEPERS[keeper]
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text)
    lan = observe_lan("", ask=ip_says(), root=tmp_path)
    assert (lan.keeper, lan.profile) == (keeper, profile)
    assert lan.addressing == ("dhcp" if keeper == "ifupdown" else "static")
