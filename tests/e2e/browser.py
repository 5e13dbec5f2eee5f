"""A real browser that trusts the rig's root certificate by its own store: no certificate warning is clicked away."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.live_rig import wait_for

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def trust(home: Path, certificate: Path) -> None:
    """Puts a root certificate into the browser's own store (NSS), as a person would by the settings page."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    database = f"sql:{store}"
    subprocess.run(["certutil", "-d", database, "-N", "--empty-password"], check=True)
    subprocess.run(["certutil", "-d", database, "-A", "-t", "C,,", "-n", "rig", "-i", str(certificate)], check=True)


@contextlib.contextmanager
def own_network(home: Path, port: int) -> Iterator[str]:
    """A network namespace in which `port` of the loopback leads to that of this machine; its file.

    Chromium drops what it loads whenever a network interface comes or goes, as with any container's start or end.
    """
    link = f"{home}/port"
    up = (
        # An IPv6 address of a new interface counts a second later: a change, too.
        "for each in all default; do echo 1 > /proc/sys/net/ipv6/conf/$each/disable_ipv6; done",
        "ip link set lo up",
        # With the loopback alone a browser thinks that it is offline.
        "ip link add wire type veth peer name end",
        "ip addr add 198.18.255.253/30 dev wire",
        "ip link set wire up",
        "ip link set end up",
        f"exec socat TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr UNIX-CONNECT:{link}",
    )
    far = subprocess.Popen(["socat", f"UNIX-LISTEN:{link},fork", f"TCP:127.0.0.1:{port}"])
    near = subprocess.Popen(["unshare", "--net", "sh", "-ec", "\n".join(up)])
    namespace = f"/proc/{near.pid}/ns/net"
    probe = ("nsenter", f"--net={namespace}", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}")
    try:
        wait_for("the browser's network", lambda: subprocess.run(probe, capture_output=True).returncode == 0)
        yield namespace
    finally:
        for one in (near, far):
            one.terminate()
            one.wait(timeout=10)


@contextlib.contextmanager
def chromium(home: Path, port: int) -> Iterator[Browser]:
    """A headless Chromium at home in `home`, that reaches `port` of this machine; closed at the end of the block."""
    with own_network(home, port) as namespace, chromium_in(home, "nsenter", f"--net={namespace}") as browser:
        yield browser


@contextlib.contextmanager
def chromium_in(home: Path, *enter: str) -> Iterator[Browser]:
    """A headless Chromium where the words `enter` lead; closed at the end of the block."""
    with sync_playwright() as playwright:
        launcher = home / "chromium"
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join(enter)} {CHROMIUM} "$@"\n')
        launcher.chmod(0o755)
        browser = playwright.chromium.launch(
            executable_path=launcher, args=list(FLAGS), env={"HOME": str(home), "PATH": "/usr/bin:/bin"}
        )
        try:
            yield browser
        finally:
            browser.close()


def open_notebook(page: Page, url: str, password: str) -> Locator:
    """Opens a notebook, logs in on the way, and returns its first code cell."""
    page.goto(url)
    if page.locator("input#password_input").count():
        page.fill("input#password_input", password)
        page.click("button#login_submit", no_wait_after=True)
    cell = page.locator(".jp-Notebook .jp-CodeCell").first
    cell.wait_for(timeout=60_000)
    return cell
