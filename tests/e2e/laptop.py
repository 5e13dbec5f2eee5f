"""A laptop for tests: its own network, mounts, home and password file, and a cable to the rig that can be cut.

It is a pair of namespaces kept open by one sleeping process. ssh asks the password file for the home, so the laptop
has one with its person in it, whose home is the test's folder. The network knows one address: the rig's end of the
cable.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.live_rig import LiveRig, free_port, wait_for

# 198.18.0.0/15 is set aside for tests of networks (RFC 2544); each laptop takes four addresses of it.
BLOCK = "198.18"


class Laptop:
    """`run()` runs real programs on it, as its person; `cut()` and `heal()` its network.

    The person is not root, and has an account that may use sudo and a PATH as Debian gives: what root may do by itself
    is of no help to anybody else.
    """

    person, uid = "ada", 54321

    def __init__(self) -> None:
        self.name = f"rsl{secrets.token_hex(3)}"
        number = secrets.randbelow(16384)
        self.rig_address = f"{BLOCK}.{number // 64}.{number % 64 * 4 + 1}"
        self.address = f"{BLOCK}.{number // 64}.{number % 64 * 4 + 2}"
        self.home = Path("/tmp") / self.name  # short: sockets live in it
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        self._system = Path(f"{self.home}.system")  # root's part of it, on the laptop in the places that they are for
        self._system.mkdir()
        account = f"{self.person}:x:{self.uid}:{self.uid}::{self.home}:/bin/bash\n"
        for name, mode, text in (
            ("passwd", 0o644, Path("/etc/passwd").read_text() + account),
            ("shadow", 0o600, f"root:*:20000:0:99999:7:::\n{self.person}:*:20000:0:99999:7:::\n"),
            ("sudoers", 0o440, f"{self.person} ALL=(ALL) NOPASSWD: ALL\n"),
        ):
            (self._system / name).write_text(text)
            (self._system / name).chmod(mode)
        self._holder = subprocess.Popen(["unshare", "--net", "--mount", "--propagation=slave", "sleep", "infinity"])
        self._root(
            f'while [ "$(readlink /proc/{self._holder.pid}/ns/net)" = "$(readlink /proc/self/ns/net)" ]; '
            "do sleep 0.02; done"
        )
        self._root(
            f"ip link add {self.name} type veth peer name cable netns {self._holder.pid}",
            f"ip addr add {self.rig_address}/30 dev {self.name}",
            f"ip link set {self.name} up",
        )
        self.as_root(
            *(f"mount --bind {self._system}/{name} /etc/{name}" for name in ("passwd", "shadow", "sudoers")),
            # Where devices have their usual modes, everybody may mount by FUSE.
            f"mknod -m 0666 {self._system}/fuse c 10 229 && mount --bind {self._system}/fuse /dev/fuse",
            *self._python_for_all(),
            # No engine's socket, and a folder that an sshd of the laptop's own needs.
            "mount -t tmpfs tmpfs /run && mkdir /run/sshd",
            # Whom it trusts is its own, too.
            *(
                f"mkdir -p {self._system}{place} && cp -a {place}/. {self._system}{place} && "
                f"mount --bind {self._system}{place} {place}"
                for place in ("/etc/ssl/certs", "/usr/local/share/ca-certificates")
            ),
            "ip link set lo up",
            f"ip addr add {self.address}/30 dev cable",
            "ip link set cable up",
        )

    def _python_for_all(self) -> list[str]:
        """Lines that leave nothing of root's home on the laptop but what Python and rigstack are made of."""
        closed, kept = Path("/root"), self._system / "root"
        top = Path(__file__).resolve().parent.parent.parent
        needed = [one for one in {top, Path(sys.prefix), Path(sys.base_prefix)} if one.is_relative_to(closed)]
        if not needed:
            return []
        return [
            f"mkdir {kept} && mount --bind {closed} {kept} && mount -t tmpfs -o mode=0755 tmpfs {closed}",
            *(f"mkdir -p {one} && mount --bind {kept}/{one.relative_to(closed)} {one}" for one in sorted(needed)),
            f"umount {kept} && rmdir {kept}",
        ]

    def hand_over(self) -> None:
        """What a test put into the laptop's home becomes the person's; what is mounted there is not seen from here."""
        self._root(f"chown -Rh {self.uid}:{self.uid} {self.home}")

    def argv(self, *words: str, root: bool = False) -> list[str]:
        """What runs `words` on the laptop, as its person; root: in the person's home all the same."""
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        environment = [f"HOME={self.home}", f"PATH={path}", f"USER={self.person}", "LANG=C.UTF-8", "SHELL=/bin/bash"]
        # No engine here: a laptop needs none.
        environment += ["DOCKER_HOST=unix:///nonexistent.sock", "TERM=xterm-256color"]
        person = [] if root else ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        # chdir by env, inside: a folder that nsenter opens lies in the mounts outside.
        return [*self._enter, *person, "env", "-i", f"--chdir={self.home}", *environment, *words]

    @property
    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--mount"]

    def run(self, *words: str, stdin: str | None = None, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """A program on the laptop, to its end."""
        self.hand_over()
        return subprocess.run(
            self.argv(*words),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def rigstack(self, *words: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """rigstack on the laptop, to its end."""
        return self.run(sys.executable, "-m", "rigstack", *words, timeout=timeout)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A program on the laptop, running."""
        self.hand_over()
        return subprocess.Popen(
            self.argv(*words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def processes(self, pattern: str) -> list[str]:
        """The ids of its processes, and of no other laptop's, whose command line fits the pattern."""
        argv = ["pgrep", f"--ns={self._holder.pid}", "--nslist=net", "-f", pattern]
        return subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout.split()

    @property
    def pid(self) -> int:
        """Of the process that holds its namespaces."""
        return self._holder.pid

    def path(self, name: str) -> Path:
        """A file on the laptop, as the test sees it (mounts aside)."""
        return self.home / name

    def cut(self) -> None:
        """Nothing gets through the cable, and nobody is told: what sleep, a tunnel or a dead router look like."""
        self.as_root("iptables -I INPUT -i cable -j DROP", "iptables -I OUTPUT -o cable -j DROP")

    def heal(self) -> None:
        """The cable is as before."""
        self.as_root("iptables -D INPUT -i cable -j DROP", "iptables -D OUTPUT -o cable -j DROP")

    def redirect(self, port: int, to: int) -> None:
        """Somebody in the middle: what goes to that port of the rig ends at a port of this machine."""
        self.as_root(f"iptables -t nat -A OUTPUT -p tcp --dport {port} -j REDIRECT --to-ports {to}")

    def detour(self, port: int, to: int) -> None:
        """What goes to that port of the rig goes to another one there."""
        self.as_root(
            f"iptables -t nat -A OUTPUT -p tcp --dport {port} -j DNAT --to-destination {self.rig_address}:{to}"
        )

    def drop(self, port: int) -> None:
        """Nothing gets to that port of the rig from here."""
        self.as_root(f"iptables -I OUTPUT -o cable -p tcp --dport {port} -j DROP")

    def drop_no_more(self, port: int) -> None:
        self.as_root(f"iptables -D OUTPUT -o cable -p tcp --dport {port} -j DROP")

    def redirect_no_more(self) -> None:
        self.as_root("iptables -t nat -F OUTPUT")

    def as_root(self, *lines: str) -> None:
        """Lines of shell on the laptop, as root, which must succeed."""
        for line in lines:
            done = subprocess.run([*self._enter, "sh", "-c", line], capture_output=True, text=True, timeout=90)
            assert done.returncode == 0, f"{line}: {done.stderr}"

    def _root(self, *lines: str) -> None:
        for line in lines:
            subprocess.run(["sh", "-c", line], check=True, timeout=30)

    def destroy(self) -> None:
        """Ends every process that lives on the laptop, and takes its network and files away."""
        namespace = Path(f"/proc/{self._holder.pid}/ns/net").readlink()
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != self._holder.pid:
                try:
                    if (folder / "ns/net").readlink() == namespace:
                        os.kill(int(folder.name), signal.SIGKILL)
                except OSError:
                    continue
        self._holder.kill()
        self._holder.wait(timeout=10)
        subprocess.run(["ip", "link", "del", self.name], check=False, capture_output=True)
        subprocess.run(["chattr", "-R", "-f", "-i", str(self.home)], check=False)  # mounts that were not taken away
        for _ in range(20):
            for folder in (self.home, self._system):
                shutil.rmtree(folder, ignore_errors=True)
            if not self.home.exists() and not self._system.exists():
                return
            time.sleep(0.1)


@contextlib.contextmanager
def office(laptop: Laptop, folder: Path) -> Iterator[Path]:
    """An ssh host of the person's own, "office", at the rig's end of the cable; gives its log, in `folder`."""
    port, key, keys = free_port(), folder / "office_key", folder / "authorized_keys"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    keys.write_text(laptop.path(".ssh/id_ed25519.pub").read_text())
    Path("/run/sshd").mkdir(exist_ok=True)
    options = (f"ListenAddress={laptop.rig_address}", f"AuthorizedKeysFile={keys}", "PidFile=none", "StrictModes=no")
    words = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", str(key), "-o", "LogLevel=DEBUG1"]
    own = f"Host office\n  HostName {laptop.rig_address}\n  Port {port}\n  User root\n"
    own += f"  UserKnownHostsFile {laptop.home}/office_known\n"
    before = laptop.path(".ssh/config").read_bytes()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*words, *(word for one in options for word in ("-o", one))], stderr=log)
    try:
        laptop.path(".ssh/config").write_bytes(before + own.encode())
        login = ("ssh", "-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "office", "true")
        wait_for("the office lets us in", lambda: laptop.run(*login).returncode == 0)
        yield folder / "log"
    finally:
        server.terminate()
        server.wait(timeout=10)
        laptop.path(".ssh/config").write_bytes(before)
        laptop.path("office_known").unlink(missing_ok=True)


def rig_on_the_cable(
    make_rig: Callable[..., LiveRig], laptop: Laptop, projects: tuple[str, ...] = ("demo",)
) -> LiveRig:
    """A running rig that answers at the laptop's end of the network only, without GPUs."""
    made = make_rig(projects=projects)
    made.set("bind", f'"{laptop.rig_address}"')
    (made.path / "rig.toml").write_text(made.toml.replace("[gpu]\n", '[gpu]\nmode = "none"\n'))
    made.up()
    return made


def connected_rig(make_rig: Callable[..., LiveRig], laptop: Laptop) -> LiveRig:
    """A rig on the laptop's cable, and the laptop connected to it as "box"."""
    made = rig_on_the_cable(make_rig, laptop)
    for name in ("id_ed25519", "id_ed25519.pub"):
        laptop.path(f".ssh/{name}").write_bytes((made.key.parent / name).read_bytes())
        laptop.path(f".ssh/{name}").chmod(0o600)
    fingerprint = made.status()["gateway"]["fingerprint"]
    where = f"{laptop.rig_address}:{made.ssh_port}"
    done = laptop.rigstack("connect", where, "--as", "box", "--fingerprint", fingerprint)
    assert done.returncode == 0, done.stderr
    return made
