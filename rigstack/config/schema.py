"""Every key that rig.toml may hold, and what its value must be; reference.toml explains the same keys to people.

A parser takes the TOML value and returns the model's value, or raises ValueError whose text is what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rigstack.value import Value

Parser = Callable[[Any], Any]

DDNS_PROVIDERS = ("no-ip", "duckdns", "cloudflare", "desec", "dynu", "freedns", "namecheap", "dyndns2", "rfc2136")

# Names that are hosts on a project's network already.
RESERVED_NAMES = frozenset({"edge", "gateway", "ddns", "localhost", "rig", "data", "code"})


class Key(Value):
    """One key: its parser and its default (None with required=True: there is none)."""

    parse: Parser
    default: Any = None
    required: bool = False


class Unquoted(ValueError):
    """A wrong value that may be a secret pasted by mistake: the error does not repeat it."""


def shown(value: object) -> str:
    """A wrong value as an error may quote it: short, and never a private key that was pasted by mistake."""
    quoted = repr(value)
    if "PRIVATE KEY" in quoted:
        return "(a private key)"
    return quoted if len(quoted) <= 60 else quoted[:57] + "..."


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text in quotes")
    if "\n" in value or "\0" in value:
        raise ValueError("text on one line")
    return value


def path(value: Any) -> str:
    return text(value)


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def whole(low: int, high: int, unit: str = "") -> Parser:
    def parse(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"a whole number{unit} from {low} to {high}")
        return value

    return parse


port = whole(1, 65535)


def choice(*words: str) -> Parser:
    def parse(value: Any) -> str:
        if value not in words:
            import difflib

            near = difflib.get_close_matches(str(value), words, n=1)
            hint = f' (did you mean "{near[0]}"?)' if near else ""
            raise ValueError("one of " + ", ".join(f'"{word}"' for word in words) + hint)
        return str(value)

    return parse


def list_of(item: Parser) -> Parser:
    def parse(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError("a list: [...]")
        parsed = []
        for number, entry in enumerate(value, 1):
            try:
                parsed.append(item(entry))
            except ValueError as wrong:
                raise ValueError(f"a list whose every item is {wrong} (item {number} is {shown(entry)})") from None
        return tuple(parsed)

    return parse


def name(value: Any) -> str:
    """A rig's or project's name: it becomes a host name, a folder and part of container names (RFC 1123 label)."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", value):
        raise ValueError("1 to 40 of a-z, 0-9 and '-', not starting or ending with '-'")
    return value


def project_name(value: Any) -> str:
    checked = name(value)
    if checked in RESERVED_NAMES:
        raise ValueError(f'a name other than "{checked}", which rigstack uses itself')
    if checked.endswith(("-workspace", "-notebook")):
        raise ValueError('a name that does not end like a container\'s ("-workspace", "-notebook")')
    return checked


def hostname(value: Any) -> str:
    """A DNS name (RFC 1123), with no scheme, port or path; "" is none."""
    if not isinstance(value, str):
        raise ValueError("a host name in quotes")
    if value == "":
        return value
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    if len(value) > 253 or not re.fullmatch(rf"{label}(\.{label})+", value) or re.fullmatch(r"[\d.]+", value):
        raise ValueError('a host name such as "rig.example.net" (no https://, no port, no address)')
    return value.lower()


def address(value: Any) -> str:
    import ipaddress

    if value == "":
        return ""
    try:
        if not isinstance(value, str):  # ip_address takes whole numbers too
            raise ValueError
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError('an IP address such as "127.0.0.1", or "" for all') from None


def url(value: Any) -> str:
    if not isinstance(value, str) or (value and not re.fullmatch(r"https?://[^\s/]+\S*", value)):
        raise ValueError('a URL such as "https://host/path"')
    return value


def server(value: Any) -> str:
    """A host or HOST:PORT; "" is none. (An IPv6 address has no place in it.)"""
    if not isinstance(value, str) or (value and not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", value)):
        raise ValueError('a server such as "members.example.net" or "192.0.2.1:8053"')
    return value


def place(value: Any) -> str:
    """A URL, or a host and path that HTTP is understood for; "" is none."""
    if not isinstance(value, str) or (
        value and not re.fullmatch(r"(https?://)?[^\s/'\"\\$`]+(/[^\s'\"\\$`]*)?", value)
    ):
        raise ValueError('a place such as "https://ip.example.net/" or "ip.example.net"')
    return value


def email(value: Any) -> str:
    if not isinstance(value, str) or (value and not re.fullmatch(r"[^@\s]+@[^@\s]+", value)):
        raise ValueError('an address such as "you@example.net"')
    return value


def size(value: Any) -> str:
    """Bytes as the engine takes them: a number and a unit b, k, m or g."""
    if value == "":
        return ""
    if not isinstance(value, str) or not re.fullmatch(r"[1-9]\d*(\.\d+)?[bkmgBKMG]", value):
        raise ValueError('a size such as "512m" or "16g", or "" for no limit')
    return value.lower()


def shared_memory(value: Any) -> str:
    """Like size, but never "": without a size the engine gives 64 MB, which no data loader gets far with."""
    if value == "":
        raise ValueError('a size such as "8g"')
    return size(value)


def python(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"|3\.\d{1,2}", value):
        raise ValueError('a Python version such as "3.12", or "" for the image\'s own')
    return value


def locked_memory(value: Any) -> str:
    if value == "unlimited":
        return str(value)
    try:
        return size(value)
    except ValueError:
        raise ValueError('"unlimited", or a size such as "512m" or "16g"') from None


def public_url(value: Any) -> str:
    if not isinstance(value, str) or not value or "@" in value:
        raise ValueError('a URL such as "https://host/path" without a password (that goes to images.pip_index_file)')
    return url(value)


def image(value: Any) -> str:
    """An image as `docker pull` takes it; "" is none."""
    if not isinstance(value, str) or not re.fullmatch(r"|[a-z0-9][A-Za-z0-9._:/@-]*", value):
        raise ValueError('an image such as "caddy-desec" or "registry.example.net/caddy:2.11"')
    return value


def dns_module(value: Any) -> str:
    """A DNS module of Caddy (dns.providers.NAME), with the file of the one argument that some of them take."""
    if not isinstance(value, str) or not re.fullmatch(r"|[a-z0-9_]+( file:.+)?", value):
        raise Unquoted('the name of a DNS module of Caddy, such as "desec", or "NAME file:PATH"')
    return value


def dns_settings(value: Any) -> tuple[tuple[str, str], ...]:
    """What a DNS module takes. A secret is refused: rig.toml is committed."""
    if not isinstance(value, dict):
        raise Unquoted('a table of text: { token = "file:secrets/dns-token" }')
    for key, content in value.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
            raise Unquoted(f"names of a-z, 0-9 and '_' ({key!r} is not)")
        if not isinstance(content, str) or not re.fullmatch(r"[^\n\"`{}\\]+", content):
            raise Unquoted(f"text without quotes, braces and backslashes for {key}")
        if key.endswith(("token", "secret", "password", "key")) and not content.startswith("file:"):
            raise Unquoted(f'"file:PATH" for {key}, since no secret may be in here')
    return tuple(value.items())


def cuda(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"|auto|none|(devel|runtime)(-\d\d\.\d)?|\d\d\.\d", value):
        raise ValueError('"auto", "none", "runtime", "devel", or a version such as "13.0" or "runtime-13.0"')
    return value


def gpus(value: Any) -> str | int | tuple[str, ...]:
    expected = '"all", "none", a number, or a list of indices or UUIDs'
    if isinstance(value, bool):
        raise ValueError(expected)
    if isinstance(value, int) and 0 <= value <= 64:
        return value
    if value in ("all", "none"):
        return str(value)
    if isinstance(value, list) and value:
        devices = tuple(str(item) for item in value if isinstance(item, (int, str)) and not isinstance(item, bool))
        pattern = r"\d{1,2}|\d{1,2}:\d{1,2}|(GPU|MIG)-[0-9a-fA-F-]+(/\d{1,2}/\d{1,2})?"
        if len(devices) == len(value) and all(re.fullmatch(pattern, device) for device in devices):
            if len(set(devices)) != len(devices):
                raise ValueError("a list that names each GPU once")
            return devices
    raise ValueError(expected)


def apt_package(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+(=[^\s]+)?", value):
        raise ValueError('a Debian package name such as "ffmpeg"')
    return value


def mirror(value: Any) -> str:
    return url(value)


def environment(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise ValueError('a table of text: { NAME = "value" }')
    for key, content in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
            raise ValueError(f"names of letters, digits and '_' ({key!r} is not)")
        if not isinstance(content, str) or "\n" in content:
            raise ValueError(f"text on one line for {key}")
    return tuple(sorted(value.items()))


def mac(value: Any) -> str:
    """A network card's address, in lower case with colons; "" is none."""
    if not isinstance(value, str) or not re.fullmatch(r"|([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", value):
        raise ValueError('an address such as "00:11:22:33:44:55"')
    return value.lower().replace("-", ":")


def plug(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"|(tasmota|shelly|kasa|tapo):[A-Za-z0-9.-]+(:\d{1,5})?", value):
        raise ValueError('"tasmota:ADDRESS", "shelly:ADDRESS", "kasa:ADDRESS" or "tapo:ADDRESS"')
    return value


def key_source(value: Any) -> str:
    """An entry of authorized_keys: a public key line, github:NAME or file:PATH."""
    expected = 'an OpenSSH public key line, "github:NAME" or "file:PATH"'
    if not isinstance(value, str):
        raise ValueError(expected)
    if "PRIVATE KEY" in value:
        raise ValueError("a PUBLIC key (the .pub file); this looks like a private key, which must never be here")
    if "\n" in value:
        raise ValueError(expected)
    public = r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    if re.fullmatch(rf"{public} [A-Za-z0-9+/]+={{0,2}}( .*)?", value):
        return value
    if re.fullmatch(r"github:[A-Za-z0-9][A-Za-z0-9-]{0,38}|file:.+", value):
        return value
    raise ValueError(expected)


TABLES: dict[str, dict[str, Key]] = {
    "rig": {
        "name": Key(parse=name, default="rig"),
        "hostname": Key(parse=hostname, default=""),
    },
    "access": {
        "ssh_port": Key(parse=port, default=22222),
        "https_port": Key(parse=port, default=443),
        "http_port": Key(parse=port, default=80),
        "bind": Key(parse=address, default=""),
        "authorized_keys": Key(parse=list_of(key_source), default=()),
        "clients": Key(parse=choice("compatible", "modern"), default="compatible"),
    },
    "tls": {
        "mode": Key(parse=choice("auto", "acme", "internal", "files"), default="auto"),
        "email": Key(parse=email, default=""),
        "acme_directory": Key(parse=url, default=""),
        "acme_ca": Key(parse=path, default=""),
        "certificate": Key(parse=path, default=""),
        "key": Key(parse=path, default=""),
        "dns": Key(parse=dns_module, default=""),
        "dns_settings": Key(parse=dns_settings, default=()),
        "dns_resolver": Key(parse=server, default=""),
        "caddy_image": Key(parse=image, default=""),
    },
    "ddns": {
        "provider": Key(parse=choice(*DDNS_PROVIDERS), required=True),
        "hostname": Key(parse=hostname, default=""),
        "username": Key(parse=text, default=""),
        "password_file": Key(parse=path, default="secrets/ddns-password"),
        "server": Key(parse=server, default=""),
        "zone": Key(parse=hostname, default=""),
        "ttl": Key(parse=whole(30, 86400, " of seconds"), default=60),
        "tls": Key(parse=flag, default=True),
        "ipv6": Key(parse=flag, default=False),
        "checkip": Key(parse=place, default=""),
        "nameserver": Key(parse=server, default=""),
        "interval": Key(parse=whole(10, 86400, " of seconds"), default=30),
    },
    "power": {
        "mac": Key(parse=mac, default=""),
        "plug": Key(parse=plug, default=""),
    },
    "gpu": {
        "mode": Key(parse=choice("auto", "cdi", "nvidia", "none"), default="auto"),
        "history": Key(parse=flag, default=False),
    },
    "images": {
        "source": Key(parse=choice("auto", "registry", "packages"), default="auto"),
        "base": Key(parse=text, default="debian:trixie-slim"),
        "cuda": Key(parse=cuda, default="auto"),
        "ca_bundle": Key(parse=path, default="auto"),
        "pip_index_file": Key(parse=path, default=""),
        "apt_mirror": Key(parse=mirror, default=""),
        "python_mirror": Key(parse=mirror, default=""),
    },
}

PROJECT: dict[str, Key] = {
    "gpus": Key(parse=gpus, default="all"),
    "gpu_sharing": Key(parse=choice("shared", "exclusive"), default="shared"),
    "build": Key(parse=choice("auto", "files", "dockerfile", "devcontainer"), default="auto"),
    "python": Key(parse=python, default=""),
    "index": Key(parse=list_of(public_url), default=()),
    "cuda": Key(parse=cuda, default=""),
    "apt": Key(parse=list_of(apt_package), default=()),
    "memory": Key(parse=size, default=""),
    "shm": Key(parse=shared_memory, default="8g"),
    "memlock": Key(parse=locked_memory, default=""),
    "pids": Key(parse=whole(64, 4194304), default=16384),
    "ports": Key(parse=list_of(port), default=()),
    "ssh_port": Key(parse=port, default=None),
    "env": Key(parse=environment, default=()),
}
