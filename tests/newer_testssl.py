"""Installs a testssl.sh that grades (3.2 or later), where this machine's own is older: that of Debian 13, as it is.

Debian 12 has 3.0. The package is a script that needs nothing which Debian 12 lacks; no source of the machine changes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rigstack.host import apt

SUITE = "trixie"


def grades() -> bool:
    """Whether the testssl.sh of this machine tells an overall grade."""
    try:
        said = subprocess.run(["testssl", "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    except FileNotFoundError:
        return False
    return "--disable-rating" in said


def install(folder: Path) -> None:
    release = Path("/etc/os-release").read_text()
    codename = re.search(r"^VERSION_CODENAME=(\w+)", release, re.M)
    mirror = apt.own_mirror(SUITE) or (apt.own_mirror(codename[1]) if codename and "ID=debian" in release else None)
    if mirror is None:
        sys.exit("testssl.sh 3.2 or later is needed: its grade is part of `make audit`")
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    source = folder / "newer.sources"
    source.write_text(apt.render_source(mirror, SUITE))
    options = apt.private_options(folder, source)
    environment = {**os.environ, **apt.QUIET}
    for argv in (apt.update_argv(options), apt.download_argv(("testssl.sh",), options)):
        subprocess.run(argv, cwd=folder, env=environment, check=True, capture_output=True)
    package = next(folder.glob("testssl.sh_*.deb"))
    subprocess.run(apt.install_argv((str(package),)), env=environment, check=True, capture_output=True)


if __name__ == "__main__":
    if not grades():
        print("installing for the tests: a newer testssl.sh", file=sys.stderr)
        with tempfile.TemporaryDirectory() as work:
            install(Path(work))
        if not grades():
            sys.exit(f"{SUITE}'s testssl.sh does not grade, either")
