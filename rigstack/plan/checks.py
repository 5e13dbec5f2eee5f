"""Judges what the doctor observed: one function a check, each from facts to a finding. Pure."""

from __future__ import annotations

from collections.abc import Callable

from rigstack.plan.checkup import Checkup, Chmod, Finding, Room

Check = Callable[[Checkup], Finding]
GIB = 1 << 30


def examine(seen: Checkup) -> tuple[Finding, ...]:
    """Every check's finding, in the order of the page."""
    return tuple(check(seen) for check in CHECKS)


def _from_problems(check: str, problems: tuple[tuple[str, str], ...], *, good: str, state: str = "fail") -> Finding:
    if not problems:
        return Finding(check=check, state="ok", evidence=good)
    return Finding(
        check=check,
        state=state,
        evidence="; ".join(what for what, _ in problems),
        remedy="; ".join(dict.fromkeys(remedy for _, remedy in problems if remedy)),
    )


def services(seen: Checkup) -> Finding:
    return _from_problems("services", seen.services, good="everything that should run does")


def engine(seen: Checkup) -> Finding:
    return _from_problems("engine", seen.missing, good=f"Docker Engine {seen.engine} answers")


def known_holes(seen: Checkup) -> Finding:
    return _from_problems("known holes", seen.holes, good="no part is below its vendor's fixed version", state="warn")


def gpu(seen: Checkup) -> Finding:
    if seen.gpu:
        return _from_problems("gpu", seen.gpu, good="")
    return _from_problems("gpu", seen.no_gpu, good="driver, toolkit and CDI specification agree", state="warn")


def engine_socket(seen: Checkup) -> Finding:
    """Who may write to the socket is root on this machine (docs.docker.com/engine/security, daemon attack surface)."""
    if seen.socket_mode is None:
        return Finding(check="engine socket", state="skip", evidence=f"{seen.socket} cannot be looked at")
    shown = f"{seen.socket} has mode {seen.socket_mode:04o}"
    if seen.socket_mode & 0o007:
        fix = Chmod(path=seen.socket, mode=seen.socket_mode & ~0o007)
        remedy = "rigstack doctor --fix, or: sudo chmod o= " + seen.socket
        return Finding(
            check="engine socket",
            state="fail",
            evidence=shown + ": every user of this machine is root through it",
            remedy=remedy,
            fixes=(fix,),
        )
    return Finding(check="engine socket", state="ok", evidence=shown)


def live_restore(seen: Checkup) -> Finding:
    if seen.live_restore is None:
        return Finding(check="live restore", state="skip", evidence="the engine does not say")
    if seen.live_restore:
        return Finding(check="live restore", state="ok", evidence="containers outlive a restart of the engine")
    return Finding(
        check="live restore",
        state="warn",
        evidence="containers stop when the engine restarts (an update does that)",
        remedy='add "live-restore": true to /etc/docker/daemon.json, then: sudo systemctl reload docker',
    )


def room(seen: Checkup) -> Finding:
    worst, words = "ok", []
    for disk in seen.rooms:
        state = _room_state(disk)
        share = f"{disk.free / GIB:.1f} GiB of {disk.total / GIB:.0f} free"
        inodes = f", {100 * disk.inodes_free // disk.inodes} % of inodes free" if disk.inodes else ""
        words.append(f"{disk.path}: {share}{inodes}")
        worst = max(worst, state, key=("ok", "warn", "fail").index)
    remedy = "docker system df shows what images take; docker image prune removes unused ones" if worst != "ok" else ""
    return Finding(check="disk room", state=worst, evidence="; ".join(words) or "not known", remedy=remedy)


def _room_state(disk: Room) -> str:
    inodes = disk.inodes_free / disk.inodes if disk.inodes else 1.0
    if disk.free < 2 * GIB or inodes < 0.01:
        return "fail"
    return "warn" if disk.free < 10 * GIB or inodes < 0.05 else "ok"


def clock(seen: Checkup) -> Finding:
    """Certificates, DNS signatures and TSIG (RFC 8945: 300 s) fail on a wrong clock."""
    remedy = "sudo apt-get install systemd-timesyncd, or chrony"
    if seen.clock_ahead > 300:
        text = f"the clock is behind the rig's own files by {seen.clock_ahead:.0f} s"
        return Finding(check="clock", state="fail", evidence=text, remedy=remedy)
    if seen.clock_synced is False:
        return Finding(check="clock", state="warn", evidence="nothing keeps the clock right", remedy=remedy)
    return Finding(check="clock", state="ok", evidence="kept right" if seen.clock_synced else "plausible")


def dns(seen: Checkup) -> Finding:
    if not seen.hostname:
        return Finding(check="dns", state="skip", evidence="no [rig] hostname: the rig answers on the LAN only")
    (public, _), (there, who) = seen.public_address, seen.dns
    said = f"{seen.hostname} is {there or 'no address'}" + (f" at {who}" if who else "")
    if not there:
        remedy = "set an A record for it with your DNS provider, or give rig.toml a [ddns] table"
        return Finding(check="dns", state="fail", evidence=said, remedy=remedy)
    if not public:
        return Finding(check="dns", state="skip", evidence=f"{said}; nobody says what the public address is")
    if there == public:
        return Finding(check="dns", state="ok", evidence=f"{said}, which is the public address")
    return Finding(
        check="dns",
        state="fail",
        evidence=f"{said}, and the public address is {public}",
        remedy="rigstack ddns update, or set the record with your DNS provider",
    )


def certificate(seen: Checkup) -> Finding:
    found = seen.certificate
    if found is None:
        return Finding(check="certificate", state="skip", evidence="the edge does not run")
    if found.error:
        remedy = "rigstack logs edge; check [tls] in rig.toml"
        return Finding(check="certificate", state="fail", evidence=f"{found.name}: {found.error}", remedy=remedy)
    left, life = found.ends - seen.now, found.ends - found.begins
    words = f"{found.name}: from {found.issuer}, ends in {left / 86400:.1f} days"
    if left <= 0:
        words = f"{found.name}: from {found.issuer}, ended {-left / 86400:.1f} days ago"
        return Finding(check="certificate", state="fail", evidence=words, remedy="rigstack logs edge says why")
    if left < life / 5:  # Caddy renews when a third is left
        remedy = "it should have been renewed by now: rigstack logs edge says why it was not"
        return Finding(check="certificate", state="warn", evidence=words, remedy=remedy)
    return Finding(check="certificate", state="ok", evidence=words)


def ports(seen: Checkup) -> Finding:
    if not seen.reached:
        return Finding(
            check="reachable",
            state="skip",
            evidence="nobody outside was asked",
            remedy="rigstack doctor --from USER@HOST asks another machine; on a laptop: --from-laptop HOST",
        )
    silent = [one for one in seen.reached if one.error]
    if not silent:
        words = ", ".join(f"{one.place}:{one.port}" for one in seen.reached)
        return Finding(check="reachable", state="ok", evidence=f"{words} answer")
    return Finding(
        check="reachable",
        state="fail" if any(one.needed for one in silent) else "warn",
        evidence="; ".join(f"{one.place}:{one.port}: {one.error}" for one in silent),
        remedy="forward these TCP ports in your router to this machine",
    )


def router(seen: Checkup) -> Finding:
    """What `rigstack net open` opened, asked of the router: it may have forgotten, or have a public address no more."""
    if seen.router_error:
        remedy = "rigstack net status"
        return Finding(check="router", state="fail", evidence=seen.router_error, remedy=remedy)
    if seen.router is None:
        return Finding(check="router", state="skip", evidence="nothing was opened by rigstack net open")
    lost = f"{', '.join(seen.lost)} of the router does not lead here" if seen.lost else ""
    if seen.router.closed:
        words = "; ".join(filter(None, (seen.router.words, lost)))
        remedy = "rigstack net status tells ways out; the first: " + seen.router.ways[0]
        return Finding(check="router", state="fail", evidence=words, remedy=remedy)
    if lost:
        return Finding(check="router", state="fail", evidence=lost, remedy="rigstack net open")
    return Finding(check="router", state="ok", evidence=f"what was opened leads here; {seen.router.words}")


# What must be in force in the gateway (sshd_config(5)), whatever the file says.
SSHD = {
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "no",
    "permitrootlogin": "no",
    "authenticationmethods": "publickey",
    "allowtcpforwarding": "local",
    "permittty": "no",
    "permitlisten": "none",
    "allowstreamlocalforwarding": "no",
    "x11forwarding": "no",
    "permittunnel": "no",
}


def sshd(seen: Checkup) -> Finding:
    if not seen.sshd and not seen.methods:
        return Finding(check="sshd policy", state="skip", evidence="the gateway does not run")
    wrong = [
        f"{key} is {seen.sshd.get(key)}, not {value}" for key, value in SSHD.items() if seen.sshd.get(key) != value
    ]
    if seen.methods and seen.methods != "publickey":
        wrong.append(f"it offers {seen.methods} to strangers")
    if wrong:
        remedy = "rigstack up makes the gateway anew; if it stays so, its image was changed by hand"
        return Finding(check="sshd policy", state="fail", evidence="; ".join(wrong), remedy=remedy)
    asked = "it offers a stranger public keys only" if seen.methods else "asked with sshd -T"
    return Finding(check="sshd policy", state="ok", evidence=f"keys only, jump only; {asked}")


def private_files(seen: Checkup) -> Finding:
    """Folders 0700 and files 0600: sshd skips a host key that others may read, and says so in its log only."""
    open_ = {path: mode for path, mode in sorted(seen.modes.items()) if mode & 0o077}
    if not open_:
        return Finding(
            check="keys and secrets", state="ok", evidence=f"{len(seen.modes)} files and folders are private"
        )
    return Finding(
        check="keys and secrets",
        state="fail",
        evidence="; ".join(f"{path} has mode {mode:04o}" for path, mode in open_.items()),
        remedy="rigstack doctor --fix",
        fixes=tuple(Chmod(path=path.rstrip("/"), mode=0o700 if path.endswith("/") else 0o600) for path in open_),
    )


OURS = ("edge", "gateway", "ddns", "history")  # where no program of a person runs


def containers(seen: Checkup) -> Finding:
    """CIS Docker Benchmark, section 5, as far as it holds for these services."""
    wrong = []
    for one in seen.containers:
        lacks = [
            words
            for words, bad in (
                (f"restart is {one.restart}, not always", one.restart != "always"),
                (f"its log ({one.log_driver}) may grow without end", not one.log_limited),
                ("it is privileged", one.privileged),
                ("it keeps capabilities", not one.drops_all),
                ("it may gain privileges", not one.no_new_privileges),
                ("its root is writable", one.service in OURS and not one.read_only),
                ("it has no memory limit", one.service in OURS and not one.memory),
                ("it has no process limit", one.pids <= 0),
                ("it runs as root", one.user.partition(":")[0] in ("", "0", "root")),
                ("it has the engine's socket", one.socket),
            )
            if bad
        ]
        if lacks:
            wrong.append(f"{one.service}: {', '.join(lacks)}")
    if not seen.containers:
        return Finding(check="containers", state="skip", evidence="none runs")
    if wrong:
        remedy = "rigstack down, then rigstack up: they were changed or started by something else"
        return Finding(check="containers", state="fail", evidence="; ".join(wrong), remedy=remedy)
    words = f"{len(seen.containers)} restart always, rotate logs, drop all capabilities, run as a person"
    return Finding(check="containers", state="ok", evidence=words)


def firewall(seen: Checkup) -> Finding:
    """Published ports are rewritten before the rules for what comes in see them (moby #4737, #22054)."""
    if seen.firewall and seen.published:
        return Finding(
            check="firewall",
            state="warn",
            evidence=f"{seen.firewall}, and does not see what containers publish: {', '.join(seen.published)}",
            remedy="narrow them with [access] bind, or with rules in the DOCKER-USER chain",
        )
    words = f"open by containers: {', '.join(seen.published) or 'nothing'}"
    return Finding(check="firewall", state="ok", evidence=words)


def updates(seen: Checkup) -> Finding:
    if seen.updates is None:
        return Finding(check="updates", state="skip", evidence="no package lists on this machine: apt-get update")
    if seen.kernel and not seen.updates:
        words = f"the kernel {seen.kernel} is installed and does not run yet"
        return Finding(check="updates", state="warn", evidence=words, remedy="sudo reboot, when nothing runs")
    if not seen.updates:
        return Finding(check="updates", state="ok", evidence="engine, runc, kernel and OpenSSH are as new as the lists")
    remedy = "sudo apt-get install --only-upgrade " + " ".join(seen.updates)
    return Finding(check="updates", state="warn", evidence="newer: " + ", ".join(seen.updates), remedy=remedy)


def wake(seen: Checkup) -> Finding:
    card = seen.card
    if card.kind != "ethernet" or card.supported is False or card.enabled is None:
        where = card.interface or "the network card"
        why = {"wireless": "is wireless", "virtual": "is no hardware of this machine"}.get(card.kind, "does not tell")
        why = "cannot wake this machine" if card.supported is False else why
        return Finding(check="wake on lan", state="skip", evidence=f"{where} {why}")
    if card.enabled:
        return Finding(check="wake on lan", state="ok", evidence=f"{card.interface} may wake this machine")
    return Finding(
        check="wake on lan",
        state="warn",
        evidence=f"{card.interface} may not wake this machine",
        remedy="sudo rigstack power setup",
    )


CHECKS: tuple[Check, ...] = (
    services,
    engine,
    known_holes,
    engine_socket,
    live_restore,
    gpu,
    room,
    clock,
    dns,
    certificate,
    ports,
    router,
    sshd,
    private_files,
    containers,
    firewall,
    updates,
    wake,
)
