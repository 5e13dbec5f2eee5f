"""A real browser that trusts the rig's root certificate by its own store: no certificate warning is clicked away."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Error, Locator, Page, sync_playwright

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
def chromium(home: Path) -> Iterator[Browser]:
    """A headless Chromium with `home` as its home; closed at the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(FLAGS), env={"HOME": str(home), "PATH": "/usr/bin:/bin"}
        )
        try:
            yield browser
        finally:
            browser.close()


def visit(page: Page, url: str) -> None:
    """Opens `url`. Chromium drops requests when a network interface comes or goes, as with any container's start."""
    for attempt in range(5):
        try:
            page.goto(url)
            return
        except Error as failed:
            if "ERR_NETWORK_CHANGED" not in failed.message or attempt == 4:
                raise


def open_notebook(page: Page, url: str, password: str) -> Locator:
    """Opens a notebook, logs in on the way, and returns its first code cell.

    Tries again when a network change made the browser drop a part of the page.
    """
    cell = page.locator(".jp-Notebook .jp-CodeCell").first
    for attempt in range(4):
        visit(page, url)
        if page.locator("input#password_input").count():
            page.fill("input#password_input", password)
            page.click("button#login_submit", no_wait_after=True)
        try:
            cell.wait_for(timeout=25_000)
            return cell
        except Error:
            if attempt == 3:
                raise
    raise AssertionError("unreachable")
