"""What the edge serves: the generated Caddy files, one per project, imported by caddy/Caddyfile."""

from __future__ import annotations

from rigstack.config.model import Rig
from rigstack.plan.host import Host
from rigstack.render.digest import digest

ROOT = "state/edge/current"


def render_edge_files(rig: Rig, host: Host) -> dict[str, str]:
    """path (relative to the rig directory) -> text, for everything below state/edge/current.

    caddy/ is copied there too: one folder to validate and replace, and Caddy may read it whatever the checkout's modes.
    """
    acme = tls_mode(rig) == "acme"
    return {
        **{f"{ROOT}/{name}": text for name, text in host.caddy.items()},
        f"{ROOT}/global.caddy": _globals(rig, host),
        f"{ROOT}/sites.caddy": _sites(rig, host),
        # Whose first certificate images/edge/run-edge waits for, and who tells whether the name is there.
        **({f"{ROOT}/acme-name": f"{rig.hostname} {_teller(rig, host)}\n"} if acme else {}),
        f"{ROOT}/list-login.caddy": _list_login(rig),
        f"{ROOT}/www/projects/index.html": _index(rig),
        **{f"{ROOT}/projects/{project.name}.caddy": _project(project.name) for project in rig.projects},
    }


def _teller(rig: Rig, host: Host) -> str:
    """By what run-edge knows that it is worth asking again: the name's address, or for DNS-01 what Caddy needs."""
    if not rig.tls.dns:
        return "sidecar" if rig.ddns else "resolver"
    secrets = [host.tls[name].reveal() for name in tls_files(rig)]
    return "settings " + digest(*_dns_challenge(rig), *secrets)


# Names that no public authority signs (RFC 6761, RFC 6762, RFC 8375, and ICANN's reserved "internal").
_PRIVATE = ("local", "localhost", "lan", "home", "internal", "test", "invalid", "example", "home.arpa")


def is_public(hostname: str) -> bool:
    """Whether a public authority could sign the name at all."""
    return bool(hostname) and not any(f".{hostname}".endswith(f".{suffix}") for suffix in _PRIVATE)


def tls_mode(rig: Rig) -> str:
    """What "auto" comes to: "acme" with a public hostname or an authority of one's own, else "internal"."""
    if rig.tls.mode != "auto":
        return rig.tls.mode
    return "acme" if is_public(rig.hostname) or (rig.hostname and rig.tls.acme_directory) else "internal"


def _globals(rig: Rig, host: Host) -> str:
    """Options that stand in Caddy's global block."""
    lines = []
    if host.addresses:
        # Clients that connect by address send no server name (RFC 6066), and get this one's certificate.
        lines.append(f"default_sni {host.addresses[0]}")
    if rig.tls.email:
        lines.append(f"email {rig.tls.email}")
    if rig.tls.acme_directory:
        lines.append(f"acme_ca {rig.tls.acme_directory}")
    if rig.access.https_port != 443:
        lines += ["servers {", "\tprotocols h1 h2", "}"]  # HTTP/3 would be announced on a port that is not published
    # The authority's own words when it refuses, for `rigstack status`.
    lines += ["log tls {", "\tinclude tls.obtain tls.renew", "\tlevel ERROR", "\toutput file /data/tls.log {"]
    lines += ["\t\troll_size 1MiB", "\t\troll_keep 1", "\t}", "\tformat json", "}"]
    lines += ["pki {", "\tca local {", f'\t\tname "rigstack {rig.name}"', "\t}", "}"]
    return "\n".join(lines) + "\n"


def lan_names(host: Host) -> tuple[str, ...]:
    """The names under which the rig answers without anybody's DNS."""
    names = (host.machine, f"{host.machine}.local", *host.addresses, "localhost")
    return tuple(dict.fromkeys(names))


def _sites(rig: Rig, host: Host) -> str:
    """The site blocks: the LAN names with the rig's own authority, the hostname as [tls] says, HTTP to HTTPS."""
    port = "" if rig.access.https_port == 443 else f":{rig.access.https_port}"
    blocks = [_block(["http://"], [f'import to_https "{port}"'])]
    names = [f"https://{name}" for name in lan_names(host) if name != rig.hostname]
    blocks.append(_block(names, ["tls internal", "import rig"]))
    if rig.hostname:
        blocks.append(_block([f"https://{rig.hostname}"], [*_hostname_tls(rig, host), "import rig"]))
    # A renewed certificate or token changes this line, and so makes the edge reload.
    blocks += [f"# {name}: {digest(host.tls[name].reveal())}\n" for name in tls_files(rig)]
    return "\n".join(blocks)


def _hostname_tls(rig: Rig, host: Host) -> list[str]:
    mode = tls_mode(rig)
    if mode == "internal":
        return ["tls internal"]
    # A year, for names with a real certificate only: on LAN names it would lock people out of other programs.
    strict = ['header Strict-Transport-Security "max-age=31536000"']
    if mode == "files":
        return [f"tls {TLS_TARGET}/certificate.pem {TLS_TARGET}/key.pem", *strict]
    roots = [f"\t\ttrusted_roots {TLS_TARGET}/acme_ca.pem"] if rig.tls.acme_ca else []
    acme = ["\tissuer acme {", *_dns_challenge(rig), *roots, "\t}"]
    if rig.tls.mode == "auto" and not host.acme_issued:
        # Until the authority has signed once, the rig's own stands in; its short life makes Caddy ask
        # again every 40 minutes, which stays below Let's Encrypt's five failures an hour.
        # Afterwards it must not: a failed renewal would replace a certificate that is good for weeks.
        return ["tls {", *acme, "\tissuer internal {", "\t\tlifetime 1h", "\t}", "}"]
    if rig.tls.dns:
        return ["tls {", *acme, "}", *strict]
    if rig.tls.acme_ca:
        return ["tls {", f"\tca_root {TLS_TARGET}/acme_ca.pem", "}", *strict]
    return strict


def _dns_challenge(rig: Rig) -> list[str]:
    """DNS-01 (RFC 8555, 8.4), for which Caddy lets the other challenges be. It reads secrets from files itself."""
    if not rig.tls.dns:
        return []
    module, _, argument = rig.tls.dns.partition(" ")
    words = [module, *([_file("dns")] if argument else [])]
    settings = [
        f'\t\t\t{key} "{_file(f"dns-{key}") if value.startswith("file:") else value}"'
        for key, value in rig.tls.dns_settings
    ]
    lines = [f"\t\tdns {' '.join(words)}" + (" {" if settings else ""), *settings, *(["\t\t}"] if settings else [])]
    return lines + ([f"\t\tresolvers {rig.tls.dns_resolver}"] if rig.tls.dns_resolver else [])


TLS_TARGET = "/etc/rigstack/tls"


def _file(name: str) -> str:
    """What Caddy replaces by the file's content (caddyserver.com/docs/conventions#placeholders)."""
    return f"{{file.{TLS_TARGET}/{name}}}"


def tls_files(rig: Rig) -> dict[str, tuple[str, str]]:
    """What the edge needs of [tls], given the mode: file in TLS_TARGET -> its key of [tls], its path as written."""
    tls, mode = rig.tls, tls_mode(rig)
    if mode == "files":
        return {"certificate.pem": ("certificate", tls.certificate), "key.pem": ("key", tls.key)}
    if mode != "acme":
        return {}
    files = {"acme_ca.pem": ("acme_ca", tls.acme_ca)} if tls.acme_ca else {}
    _, _, argument = tls.dns.partition(" ")
    secrets = {
        "dns": ("dns", argument),
        **{f"dns-{key}": (f"dns_settings.{key}", value) for key, value in tls.dns_settings},
    }
    secret = ((name, key, value) for name, (key, value) in secrets.items() if value.startswith("file:"))
    return files | {name: (key, value.removeprefix("file:")) for name, key, value in secret}


def _block(addresses: list[str], body: list[str]) -> str:
    return ", ".join(addresses) + " {\n" + "".join(f"\t{line}\n" for line in body) + "}\n"


def _project(name: str) -> str:
    return f"import notebook {name} {name}-notebook:8888\n"


def _list_login(rig: Rig) -> str:
    """The first notebook that answers checks the password (images/base/lib/jupyter/rigstack_login.py)."""
    if not rig.projects:
        return "# There is no project, so there is no name to hide.\n"
    notebooks = " ".join(f"{project.name}-notebook:8888" for project in rig.projects)
    retry = ["lb_policy first", "lb_retries 3", "lb_try_interval 100ms", "fail_duration 10s"]
    lines = ["uri /rigstack/list-login", "header_up -X-Real-Ip", *retry]
    return _block([f"forward_auth {notebooks}"], lines)


def _index(rig: Rig) -> str:
    """The project list, which the edge shows after a login only. Names are [a-z0-9-]: nothing to escape."""
    items = "".join(f'    <li><a href="/p/{project.name}/">{project.name}</a></li>\n' for project in rig.projects)
    items = items or "    <li>No project yet.</li>\n"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Projects on {rig.name}</title>
<style>
  body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1rem; }}
  li {{ margin: .4rem 0; }}
</style>
<h1>{rig.name}</h1>
<p>Notebooks of this rig; each asks for the notebook password.</p>
<ul>
{items}</ul>
</html>
"""
