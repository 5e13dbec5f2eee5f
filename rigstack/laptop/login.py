"""Starts what rigstack keeps up again when its person logs in: by a systemd user unit, or a launchd agent.

Any rigstack command that looks at what is kept does the same (laptop/kept.py), where neither is to be had.
"""

from __future__ import annotations

import contextlib
import html
import os
import sys
from pathlib import Path

from rigstack.laptop.home import LaptopHome

# What starts it all again: the list of tunnels, like every look at what is kept, revives what has died.
REVIVE = (sys.executable, "-m", "rigstack", "tunnel", "--list")
NAME = "rigstack-kept"


def in_a_cache(prefix: str = sys.prefix) -> bool:
    """Whether this rigstack lies in a cache (as uvx and `pipx run` put it), which may be emptied at any time."""
    own = os.environ.get("UV_CACHE_DIR")
    return bool({".cache", "Caches"} & set(Path(prefix).parts)) or bool(own and Path(prefix).is_relative_to(own))


def render_unit(argv: tuple[str, ...]) -> str:
    """systemd.service(5). What the program starts lives on in the unit, which stays up for it."""
    words = " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"' for word in argv)
    return f"""\
# Written by rigstack for as long as it keeps a tunnel, forward or sync up.
[Unit]
Description=rigstack: tunnels, forwards and syncs after a restart

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={words}

[Install]
WantedBy=default.target
"""


def render_agent(argv: tuple[str, ...]) -> str:
    """launchd.plist(5). AbandonProcessGroup: what the program starts lives on when it has ended."""
    words = "".join(f"\n        <string>{html.escape(word)}</string>" for word in argv)
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
    <key>Label</key><string>rigstack.kept</string>
    <key>ProgramArguments</key>
    <array>{words}
    </array>
    <key>RunAtLoad</key><true/>
    <key>AbandonProcessGroup</key><true/>
</dict>
</plist>
"""


def login_files(home: LaptopHome) -> dict[Path, str | Path]:
    """The files, each with its text or with what it links to; {} where nothing reads them.

    The link is what `systemctl --user enable` makes; launchd reads its folder at login (launchctl(1)).
    """
    if sys.platform == "darwin":
        agent = home.path / "Library/LaunchAgents/rigstack.kept.plist"
        return {agent: render_agent(REVIVE)}
    folder = home.path / ".config/systemd/user"
    if not Path("/run/systemd/system").is_dir() and not folder.is_dir():  # sd_booted(3)
        return {}
    unit = folder / f"{NAME}.service"
    return {unit: render_unit(REVIVE), folder / "default.target.wants" / unit.name: unit}


def ensure_at_login(home: LaptopHome) -> None:
    """Writes the files where they are not so; what cannot be written is left: any rigstack command revives too."""
    for path, wanted in login_files(home).items():
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(wanted, Path):
                if not path.is_symlink():
                    path.symlink_to(wanted)
            elif not path.exists() or path.read_text() != wanted:
                path.write_text(wanted)


def forget_at_login(home: LaptopHome) -> None:
    """Takes the files away, and folders that are empty then."""
    for path in reversed(login_files(home)):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            if path.parent.name == "default.target.wants":
                path.parent.rmdir()
