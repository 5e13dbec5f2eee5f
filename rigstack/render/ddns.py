"""The DDNS client's configuration, without its password, which it includes from secrets/."""

from __future__ import annotations

from rigstack.config.model import Ddns
from rigstack.secret import Secret


def render_inadyn(ddns: Ddns) -> str:
    """inadyn.conf for a dyndns2 server (inadyn.conf(5)); the password line is in the included secret."""
    lines = [
        f"period = {ddns.interval}",
        "allow-ipv6 = false",
        "",
        "custom rigstack {",
        f"    username       = {_quoted(ddns.username)}",
        '    include("/run/rigstack-secrets/ddns.conf")',
        f"    ssl            = {'true' if ddns.tls else 'false'}",
        f"    ddns-server    = {_quoted(ddns.server)}",
        '    ddns-path      = "/nic/update?hostname=%h&myip=%i"',
        f"    hostname       = {ddns.hostname}",
    ]
    if ddns.checkip:
        lines += [f"    checkip-server = {_quoted(ddns.checkip)}", "    checkip-ssl    = false"]
    return "\n".join([*lines, "}", ""])


def render_inadyn_secret(password: Secret) -> str:
    """The included file: one password line."""
    return f"password = {_quoted(password.reveal())}\n"


def _quoted(text: str) -> str:
    """A double-quoted string of inadyn's parser (libconfuse, lexer.l), which would expand ${NAME} otherwise."""
    return '"' + "".join(f"\\{one}" if one in '\\"$' else one for one in text) + '"'
