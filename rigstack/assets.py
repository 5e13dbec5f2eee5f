"""Where compose.yaml, images/, caddy/ and programs/ are: the checkout's own, or the copy inside an installed wheel."""

from __future__ import annotations

import functools
from pathlib import Path

from rigstack.errors import HostError


@functools.cache
def assets_dir() -> Path:
    """The folder that holds compose.yaml, images/, caddy/ and programs/.

    Raises HostError when neither the wheel's copy nor a checkout is there (a broken installation).
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_assets", package.parent):
        if (folder / "compose.yaml").is_file() and (folder / "images").is_dir():
            return folder
    raise HostError(
        f"rigstack's own files (compose.yaml, images/, caddy/, programs/) are missing beside {package}",
        cause="an incomplete installation",
        remedy="install rigstack again: pip install --force-reinstall rigstack",
    )
