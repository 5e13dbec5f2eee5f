"""An internet of network namespaces: places joined by cables, and home routers that are real (nftables, miniupnpd).

Public addresses are of 11.0.0.0/8: nobody announces it, and a router takes it for public, which it does not do with a
block set aside for tests. Nothing here touches the machine's own network but a cable that is laid to it on purpose.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from pathlib import Path

from tests.live_rig import wait_for

ROOT = Path(__file__).parents[1]


class Place:
    """A machine: one network namespace, held open by a sleeping process. host: this machine itself."""

    def __init__(self, folder: Path, *, host: bool = False) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pid = 0
        if host:
            return
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.processes.append(holder)
        self.pid = holder.pid
        own = Path("/proc/self/ns/net").readlink()
        wait_for("a network of its own", lambda: Path(f"/proc/{self.pid}/ns/net").readlink() != own)
        self.do("ip link set lo up")

    def inside(self, *argv: str) -> tuple[str, ...]:
        """What runs a program of this machine there."""
        return (*(("nsenter", f"--net=/proc/{self.pid}/ns/net") if self.pid else ()), *argv)

    def do(self, *lines: str) -> None:
        for line in lines:
            done = subprocess.run(self.inside(*line.split()), capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, f"{line}: {done.stderr}"

    def run(
        self, *argv: str, timeout: float = 60, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.inside(*argv), capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})}
        )

    def start(self, *argv: str, env: dict[str, str] | None = None, log: str = "") -> subprocess.Popen[bytes]:
        with open(self.folder / (log or f"{Path(argv[0]).name}.log"), "ab") as out:
            child = subprocess.Popen(
                self.inside(*argv),
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
            )
        self.processes.append(child)
        return child

    def wait_for_port(self, port: int, address: str = "127.0.0.1") -> None:
        probe = self.inside("bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}")
        wait_for(f"port {port}", lambda: subprocess.run(probe, capture_output=True).returncode == 0)

    def destroy(self) -> None:
        for child in reversed(self.processes):
            child.kill() if child.pid == self.pid else child.terminate()
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(timeout=5)


# Runs a program where no systemd and no crontab of this machine is seen: `rigstack net open` sets timers.
WITHOUT_TIMERS = (
    *("unshare", "--mount", "sh", "-c"),
    "{ [ ! -d /run/systemd ] || mount -t tmpfs tmpfs /run/systemd; } && "
    "mount -t tmpfs tmpfs /var/spool && mkdir -p /var/spool/cron/crontabs && "
    'chmod 1730 /var/spool/cron/crontabs && exec "$@"',
    "sh",
)


def cable(one: Place, one_end: str, one_address: str, other: Place, other_end: str, other_address: str) -> None:
    """Joins two places; an end is an interface with an address ("192.168.7.1/24")."""
    first, second = (f"rs{secrets.token_hex(4)}" for _ in range(2))
    subprocess.run(["ip", "link", "add", first, "type", "veth", "peer", "name", second], check=True, timeout=30)
    for place, made, end, address in ((one, first, one_end, one_address), (other, second, other_end, other_address)):
        if place.pid:
            subprocess.run(["ip", "link", "set", made, "netns", str(place.pid)], check=True, timeout=30)
        place.do(f"ip link set {made} name {end}", f"ip addr add {address} dev {end}", f"ip link set {end} up")


RULES = """table inet filter {
 chain miniupnpd { }
 chain prerouting_miniupnpd { }
 chain postrouting_miniupnpd { }
 chain forward {
  type filter hook forward priority 0; policy drop;
  ct state established,related accept
  iifname "lan" accept
  ct status dnat accept
  jump miniupnpd
 }
 chain prerouting {
  type nat hook prerouting priority -100; policy accept;
  jump prerouting_miniupnpd
 }
 chain postrouting {
  type nat hook postrouting priority 100; policy accept;
  oifname "wan" meta nfproto ipv4 masquerade
  jump postrouting_miniupnpd
 }
}
"""


class HomeRouter(Place):
    """Interfaces `lan` and `wan`: hands nothing in unless told, by the protocols that its miniupnpd is set to speak."""

    def switch_on(self, *, upnp: bool = True, pcp: bool = True) -> None:
        """After its cables are laid."""
        self.do("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        (self.folder / "rules").write_text(RULES)
        self.do(f"nft -f {self.folder}/rules")
        yes = {True: "yes", False: "no"}
        (self.folder / "miniupnpd.conf").write_text(
            f"ext_ifname=wan\nlistening_ip=lan\nenable_upnp={yes[upnp]}\nenable_natpmp={yes[pcp]}\nsecure_mode=yes\n"
            "min_lifetime=1\n"
            "upnp_table_name=filter\nupnp_nat_table_name=filter\nuuid=236ff496-e875-461b-8ce7-d16ed7337513\n"
            f"friendly_name=A home router\nallow 0-65535 0.0.0.0/0 0-65535\n"
        )
        pid_file = self.folder / "miniupnpd.pid"
        self.daemon = self.start("miniupnpd", "-d", "-f", str(self.folder / "miniupnpd.conf"), "-P", str(pid_file))
        wait_for("miniupnpd", pid_file.exists)

    def switch_off(self) -> None:
        """Its miniupnpd is gone; with it go the mappings, as in a router that starts anew."""
        self.daemon.terminate()
        self.daemon.wait(timeout=10)
        self.do("nft flush ruleset")

    def mappings(self) -> list[str]:
        """What it leads inside, as its rules have it: "tcp 443 192.168.7.10:443"."""
        listed = self.run("nft", "-n", "list", "chain", "inet", "filter", "prerouting_miniupnpd").stdout
        return sorted(line.strip() for line in listed.splitlines() if "dnat" in line)

    def holes(self) -> list[str]:
        listed = self.run("nft", "-n", "list", "chain", "inet", "filter", "miniupnpd").stdout
        return sorted(line.strip() for line in listed.splitlines() if "accept" in line)

    def new_address(self, address: str, gateway: str) -> None:
        """What a provider does at night. address with its prefix length."""
        self.do("ip -4 addr flush dev wan", f"ip addr add {address} dev wan", f"ip route replace default via {gateway}")
        self.changed_at = time.time()
