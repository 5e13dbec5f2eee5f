"""The entry point: runs the command line and turns every expected error into a message and an exit code."""

from __future__ import annotations

import os
import sys

# Debian leaves these out of the PATH of who is not root, and update-ca-certificates, ethtool and ip are in them.
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def main() -> None:
    """Runs rigstack with sys.argv and exits: 0 done, else the error's own code (rigstack/errors.py)."""
    from rigstack.errors import RigstackError

    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys((*path, *SBIN)))
    try:
        from rigstack.cli import cli

        cli(prog_name="rigstack")
    except RigstackError as error:
        from rigstack.cli import console

        console.error(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
