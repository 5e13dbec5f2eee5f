"""The DDNS sidecar's configuration, without its secret, which stands in files of its own under secrets/."""

from __future__ import annotations

from rigstack.config.model import Ddns
from rigstack.render.compose import CA_TARGET
from rigstack.secret import Secret

SECRET = "/run/rigstack-secrets/ddns.conf"

# rigstack's provider -> inadyn's plugins for IPv4 and IPv6 (inadyn --list-providers, 2.11).
PLUGINS = {
    "no-ip": ("default@no-ip.com", "ipv6@no-ip.com"),
    "cloudflare": ("default@cloudflare.com", "ipv6@cloudflare.com"),
    "desec": ("default@desec.io", "ipv6@desec.io"),
    "dynu": ("default@dynu.com", "ipv6@dynu.com"),
    "freedns": ("default@freedns.afraid.org", "ipv6@freedns.afraid.org"),
    "namecheap": ("default@namecheap.com", ""),  # takes no IPv6
}

# Where a record is taken back.
_API = {
    "no-ip": "dynupdate.no-ip.com",
    "duckdns": "www.duckdns.org",
    "cloudflare": "api.cloudflare.com",
    "desec": "update.dedyn.io",
    "dynu": "api.dynu.com",
}

# Where the public address is asked, first to last; a provider's own service comes before those of others.
_CHECKIP = {"no-ip": "http://ip1.dynupdate.no-ip.com/", "dynu": "http://checkip.dynu.com/"}
_CHECKIP4 = ("https://1.1.1.1/cdn-cgi/trace", "https://api.ipify.org/")
_CHECKIP6 = ("https://[2606:4700:4700::1111]/cdn-cgi/trace", "https://api6.ipify.org/")


def address_places(ddns: Ddns | None, family: int) -> tuple[str, ...]:
    """Where to ask for the public address of that family (4 or 6), first to last; ddns: None without a [ddns] table."""
    if ddns is not None and ddns.checkip:
        return (ddns.checkip,)
    own = _CHECKIP.get(ddns.provider, "") if ddns is not None and family == 4 else ""
    return (*filter(None, (own,)), *(_CHECKIP4 if family == 4 else _CHECKIP6))


def render_ddns_files(ddns: Ddns, password: Secret, *, ca_bundle: bool) -> dict[str, tuple[str, bool]]:
    """path (relative to the rig directory) -> (text, whether it holds a secret), for everything the sidecar reads."""
    files = {
        "state/ddns/ddns.conf": (render_settings(ddns), False),
        # The plain text is for the sidecar's own requests.
        "secrets/ddns/password": (password.reveal() + "\n", True),
    }
    if ddns.provider == "rfc2136":
        files["secrets/ddns/tsig.key"] = (render_tsig_key(ddns, password), True)
        return files
    files["secrets/ddns/ddns.conf"] = (render_inadyn_secret(password), True)
    files["state/ddns/inadyn.conf"] = (render_inadyn(ddns, ca_bundle=ca_bundle), False)
    if takes_ipv6(ddns):
        files["state/ddns/inadyn6.conf"] = (render_inadyn(ddns, ca_bundle=ca_bundle, ipv6=True), False)
    return files


def takes_ipv6(ddns: Ddns) -> bool:
    """Whether an AAAA record is wanted and the provider takes one."""
    return ddns.ipv6 and ddns.provider != "namecheap"


def render_settings(ddns: Ddns) -> str:
    """What the sidecar's own scripts need: KEY=VALUE lines."""
    nameserver = ddns.nameserver or (ddns.server if ddns.provider == "rfc2136" else "")
    lines = {
        "provider": ddns.provider,
        "hostname": ddns.hostname,
        "username": ddns.username,
        "server": ddns.server,
        "zone": ddns.zone,
        "ttl": ddns.ttl,
        "ipv6": "yes" if takes_ipv6(ddns) else "no",
        "checkip4": " ".join(address_places(ddns, 4)),
        "checkip6": " ".join(address_places(ddns, 6)),
        "nameserver": nameserver,
        "api": f"{'https' if ddns.tls else 'http'}://{_API.get(ddns.provider, ddns.server)}",
        "interval": ddns.interval,
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def render_inadyn(ddns: Ddns, *, ca_bundle: bool, ipv6: bool = False) -> str:
    """inadyn.conf(5) for one update of one address family; the password line is in the included secret.

    The address comes from the sidecar's own look at it: inadyn sends an empty one when nobody tells it its address.
    """
    username, hostname = _inadyn_names(ddns)
    lines = ["allow-ipv6 = true"] if ipv6 else ["allow-ipv6 = false"]
    if ca_bundle:
        lines.append(f'ca-trust-file = "{CA_TARGET}"')
    path = _custom_path(ddns, ipv6)
    lines += ["", "custom rigstack {" if path else f"provider {PLUGINS[ddns.provider][ipv6]} {{"]
    lines.append(f"    username         = {_quoted(username)}")
    lines.append(f'    include("{SECRET}")')
    lines.append(f"    ssl              = {'true' if ddns.tls else 'false'}")
    if path:
        lines.append(f"    ddns-server      = {_quoted(path[0])}")
        lines.append(f'    ddns-path        = "{path[1]}"')
    if ddns.provider == "duckdns":
        lines.append('    ddns-response    = { "OK" }')
    lines.append(f"    hostname         = {_quoted(hostname)}")
    if ddns.provider == "cloudflare":
        lines += [f"    ttl              = {ddns.ttl}", "    proxied          = false"]
    lines += ['    checkip-command  = "cat /run/inadyn/address"', "}", ""]
    return "\n".join(lines)


def _custom_path(ddns: Ddns, ipv6: bool) -> tuple[str, str] | None:
    """Server and request of those providers for whom inadyn's own plugin is not used.

    Its duckdns plugin takes the token for a username, and usernames stand in the process list while it asks its
    checkip-command.
    """
    match ddns.provider:
        case "dyndns2":
            return ddns.server, f"/nic/update?hostname=%h&{'myipv6' if ipv6 else 'myip'}=%i"
        case "duckdns":
            return "www.duckdns.org", f"/update?domains=%h&token=%p&{'ipv6' if ipv6 else 'ip'}=%i"
    return None


def _inadyn_names(ddns: Ddns) -> tuple[str, str]:
    """What inadyn's plugin takes as username and as hostname; each provider has its own idea."""
    match ddns.provider:
        case "duckdns":
            return "none", ddns.hostname.removesuffix(".duckdns.org")
        case "cloudflare":
            return ddns.zone, ddns.hostname
        case "namecheap":  # host=USERNAME&domain=HOSTNAME, as the plugin of 2.11 sends it
            label = ddns.hostname.removesuffix(ddns.zone).rstrip(".")
            return label or "@", ddns.zone
        case "desec":
            return ddns.username or ddns.hostname, ddns.hostname
    return ddns.username, ddns.hostname


def render_inadyn_secret(password: Secret) -> str:
    """The included file: one password line."""
    return f"password = {_quoted(password.reveal())}\n"


def render_tsig_key(ddns: Ddns, password: Secret) -> str:
    """A TSIG key file for `nsupdate -k` (named.conf(5), key statement); the secret is base64."""
    algorithm, _, name = ddns.username.rpartition(":")
    secret = "".join(password.reveal().split())
    return f'key "{name}" {{ algorithm {algorithm or "hmac-sha256"}; secret "{secret}"; }};\n'


def _quoted(text: str) -> str:
    """A double-quoted string of inadyn's parser (libconfuse, lexer.l), which would expand ${NAME} otherwise."""
    return '"' + "".join(f"\\{one}" if one in '\\"$' else one for one in text) + '"'
