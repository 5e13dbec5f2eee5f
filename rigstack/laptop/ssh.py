"""The laptop's own ssh: which host key answers, the rig's description, and what a refusal means."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rigstack import process
from rigstack.errors import AccessError, HostError, ReachError, TrustError
from rigstack.laptop.home import LaptopHome
from rigstack.plan.remote import RemoteRig, parse_description
from rigstack.value import Value

PATIENCE = 60.0  # seconds; ssh itself gives up connecting after 15
PENALTY = 5.0  # seconds for each refused login


class Gateway(Value):
    """Where a gateway is said to be. jump: an ssh alias to go through, or ""; identity: a key file, or ""."""

    host: str
    port: int
    jump: str = ""
    identity: str = ""

    def __str__(self) -> str:
        through = f" (through {self.jump})" if self.jump else ""
        return f"{self.host}:{self.port}{through}"


def gateway_argv(
    home: LaptopHome, gateway: Gateway, *, known_hosts: Path, checking: str, authenticate: bool
) -> tuple[str, ...]:
    """An ssh to a gateway that is in no configuration yet; its host key is held against `known_hosts`.

    checking: StrictHostKeyChecking, "yes" or "accept-new". authenticate: False ends after the key exchange.
    """
    return (
        "ssh",
        *home.ssh_words(),
        *("-p", str(gateway.port), "-l", "jump"),
        *("-o", f"UserKnownHostsFile={known_hosts}", "-o", "GlobalKnownHostsFile=/dev/null"),
        *("-o", f"StrictHostKeyChecking={checking}", "-o", "HostKeyAlias=gateway", "-o", "HashKnownHosts=no"),
        *("-o", "HostKeyAlgorithms=ssh-ed25519", "-o", "UpdateHostKeys=no", "-o", "CheckHostIP=no"),
        *("-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ClearAllForwardings=yes"),
        *("-o", "ConnectTimeout=15", "-o", "RequestTTY=no"),
        *(("-J", gateway.jump) if gateway.jump else ()),
        *(("-i", gateway.identity, "-o", "IdentitiesOnly=yes") if gateway.identity else ()),
        *(() if authenticate else ("-o", "BatchMode=yes", "-o", "PreferredAuthentications=none")),
        gateway.host,
    )


def observe_host_key(home: LaptopHome, gateway: Gateway) -> str:
    """ "ssh-ed25519 BASE64": the host key that answers there. Nothing is sent that names this person's keys.

    Raises ReachError when nothing answers, or no sshd that has such a key.
    """
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder) / "known_hosts"
        done = run_ssh(gateway_argv(home, gateway, known_hosts=seen, checking="accept-new", authenticate=False))
        lines = seen.read_text().splitlines() if seen.exists() else []
    for line in lines:
        fields = line.split()
        if len(fields) >= 3 and fields[1] == "ssh-ed25519":
            return " ".join(fields[1:3])
    raise unreachable(f"no gateway answers at {gateway}", done)


def read_description(home: LaptopHome, gateway: Gateway, host_key: str) -> RemoteRig:
    """The rig's description, from the gateway that has `host_key` and from no other.

    Raises AccessError when the rig does not know this person's key, TrustError when another key answers, ReachError
    when nothing does.
    """
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / "known_hosts"
        known.write_text(f"gateway {host_key}\n")
        done = run_ssh(gateway_argv(home, gateway, known_hosts=known, checking="yes", authenticate=True))
    return described(done, str(gateway))


def described(done: process.Completed, place: str) -> RemoteRig:
    """The description that a login at the gateway printed, or the error that says why there is none."""
    if done.ok:
        return parse_description(done.stdout)
    raise refusal(done, place)


def refusal(done: process.Completed, place: str) -> AccessError | TrustError | ReachError:
    """What an ssh that failed to log in means."""
    if "Permission denied" in done.stderr or "Too many authentication failures" in done.stderr:
        return AccessError(
            f"the rig at {place} does not know this machine's key yet",
            details=done.tail(2),
            remedy="on the host: rigstack key add KEY; `rigstack connect` prints the very line",
        )
    if "Host key verification failed" in done.stderr or "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr:
        return untrusted(place, details=())
    return unreachable(f"the rig at {place} cannot be reached", done)


def untrusted(place: str, *, details: tuple[str, ...]) -> TrustError:
    """Another machine than the rig answers, or the rig lost its host key."""
    return TrustError(
        f"the machine that answers at {place} is not the rig that was expected: its host key is another",
        details=details,
        cause="somebody between you and the rig reads along, the address or the router's port forward leads to "
        "another machine, or the rig's state/keys was deleted",
        remedy="compare the gateway's fingerprint in `rigstack status` on the host itself; when it really is new: "
        "rigstack disconnect, then rigstack connect with --fingerprint",
    )


def unreachable(what: str, done: process.Completed) -> ReachError:
    """Nothing useful answers, or the gateway does not want to hear from this address for a while."""
    if "kex_exchange_identification" in done.stderr or "Not allowed at this time" in done.stderr:
        return ReachError(
            what,
            details=done.tail(3),
            cause="after several refused logins the gateway does not answer that address for a while, or something "
            "other than a gateway is at that port",
            remedy="try again in a minute",
        )
    return ReachError(
        what,
        details=done.tail(3),
        cause="the rig is off or asleep, the address or port is wrong, or a router on the way does not let it through",
        remedy="look at `rigstack status` on the host; wake it if it sleeps: rigstack wake",
    )


def run_ssh(argv: tuple[str, ...], *, stdin: str | None = None, timeout: float = PATIENCE) -> process.Completed:
    """Runs ssh to its end. Raises HostError when there is no ssh on this machine."""
    try:
        return process.run(argv, stdin=stdin, timeout=timeout)
    except FileNotFoundError:
        raise HostError(
            f"{argv[0]} is not installed",
            remedy="install OpenSSH's client: apt-get install openssh-client; macOS has it",
        ) from None


def client_argv(home: LaptopHome, *words: str) -> tuple[str, ...]:
    """An ssh with the person's configuration, which names the rig's projects."""
    return ("ssh", *home.ssh_words(), *words)


def close_shared_argv(home: LaptopHome, alias: str) -> tuple[str, ...]:
    """Ends the shared connection to an alias, if there is one."""
    return client_argv(home, "-O", "exit", alias)


# ---- the person's own key


def find_key(home: LaptopHome) -> Path | None:
    """The private key that ssh tries by itself and whose public half is there: id_ed25519 first; None without one."""
    for name in ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa"):
        path = home.ssh / name
        if path.is_file() and path.with_name(name + ".pub").is_file():
            return path
    return None


def agent_key() -> str:
    """The first public key line that the agent offers, or ""."""
    if "SSH_AUTH_SOCK" not in os.environ:
        return ""
    done = run_ssh(("ssh-add", "-L"), timeout=10)
    return done.stdout.splitlines()[0].strip() if done.ok and done.stdout.strip() else ""


def keygen_argv(path: Path, comment: str, *, passphrase: bool) -> tuple[str, ...]:
    """Makes an ed25519 key pair. passphrase: let ssh-keygen ask for one on the terminal; else there is none."""
    return (
        *("ssh-keygen", "-q", "-t", "ed25519", "-C", comment, "-f", str(path)),
        *(() if passphrase else ("-N", "")),
    )


def ensure_key(path: Path, comment: str, *, passphrase: bool) -> None:
    """Makes the key pair. Raises HostError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    argv = keygen_argv(path, comment, passphrase=passphrase)
    failed = process.attach(argv) != 0 if passphrase else not run_ssh(argv).ok
    if failed or not path.is_file():
        raise HostError(f"{process.quote(argv)} failed", remedy="make a key yourself: ssh-keygen -t ed25519")


def wait_for_access(read: Callable[[], RemoteRig], *, timeout: float) -> RemoteRig:
    """`read()` again and again until the rig knows this key; the last error after `timeout` seconds.

    Asks rarely: each refused login costs this address 5 s of penalty (sshd_config(5), PerSourcePenalties), and one
    that asks faster than that is not answered at all.
    """
    import time

    deadline = time.monotonic() + timeout
    while True:
        time.sleep(PENALTY + 1)
        try:
            return read()
        except (AccessError, ReachError):
            if time.monotonic() + PENALTY + 1 > deadline:
                raise
