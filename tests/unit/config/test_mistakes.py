"""Every mistake in rig.toml is named with its place, its value, and what was expected: one table."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from builders import ALICE

from rigstack.config.load import load_rig, parse_rig
from rigstack.errors import ConfigError

PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjEAAAAASECRET\\n-----END OPENSSH PRIVATE KEY-----"
DNS = '[rig]\nhostname = "rig.example.net"\n[tls]\ncaddy_image = "mine"\ndns = "desec"\n'
DDNS = '[ddns]\nprovider = "dyndns2"\nserver = "dyn.example.net"\nhostname = "rig.example.net"\n'

# what it shows -> (rig.toml, parts of the one line that names the mistake)
MISTAKES: dict[str, tuple[str, tuple[str, ...]]] = {
    # tables and keys
    "unknown table": ("[acess]\nssh_port = 22", ("rig.toml:1: acess:", "no such table", "did you mean 'access'?")),
    "unknown table, nothing near": ("[zzz]", ("rig.toml:1: zzz:", "known: rig, access, tls, ddns")),
    "unknown key": (
        "[access]\nhttps_port = 443\nsshport = 22",
        ("rig.toml:3: access.sshport:", "no such key", "did you mean 'ssh_port'?"),
    ),
    "unknown key, nothing near": ("[gpu]\nzzz = 1", ("rig.toml:2: gpu.zzz:", "known: mode")),
    "unknown project key": (
        "[projects.demo]\n# memry = 3\nmemry = '8g'",
        ("rig.toml:3: projects.demo.memry:", "did you mean 'memory'?"),
    ),
    "key outside its table": ("name = 'x'", ("rig.toml:1: name:", "no such table")),
    "table that is a value": ("access = 3", ("access: 3 is not right", "a table: [access]")),
    "array of tables": ("[[access]]\nssh_port = 1", ("access:", "a table: [access]")),
    "projects that is a value": ("projects = 'demo'", ("projects: 'demo'", "[projects.NAME]")),
    "project that is a value": ("[projects]\ndemo = 3", ("rig.toml:2: projects.demo: 3", "a table: [projects.demo]")),
    # types
    "port as text": ("[access]\nssh_port = '22'", ("rig.toml:2: access.ssh_port: '22'", "from 1 to 65535")),
    "port as bool": ("[access]\nssh_port = true", ("access.ssh_port: True", "a whole number")),
    "port as float": ("[access]\nssh_port = 22.0", ("access.ssh_port: 22.0", "a whole number")),
    "port zero": ("[access]\nhttp_port = 0", ("access.http_port: 0", "from 1 to 65535")),
    "port too high": ("[access]\nhttps_port = 65536", ("access.https_port: 65536", "from 1 to 65535")),
    "list as text": ("[access]\nauthorized_keys = 'x'", ("access.authorized_keys: 'x'", "a list: [...]")),
    "text as number": ("[images]\nbase = 12", ("images.base: 12", "text in quotes")),
    "text on two lines": ('[images]\nbase = """a\nb"""', ("images.base: 'a\\nb'", "on one line")),
    "flag as text": (DDNS + "tls = 'yes'", ("ddns.tls: 'yes'", "true or false")),
    # a DNS module
    "dns with a token": ("[tls]\ndns = 'desec S3CRET'", ("rig.toml:2: tls.dns: expected", 'or "NAME file:PATH"')),
    "dns setting that is a secret": (
        DNS + "dns_settings = { token = 'S3CRET' }",
        ("rig.toml:6: tls.dns_settings:", '"file:PATH" for token'),
    ),
    "dns setting with a brace": (DNS + "dns_settings = { a = '}S3CRET' }", ("without quotes, braces", "for a")),
    "dns setting of many words": (DNS + "dns_settings = { 'S3 CRET' = 'b' }", ("names of a-z",)),
    "dns settings that are text": (DNS + "dns_settings = 'S3CRET'", ("tls.dns_settings: expected a table",)),
    "dns settings of nothing": ("[tls]\ndns_settings = { a = 'b' }", ("tls.dns: is missing",)),
    "dns without a caddy": (DNS.replace("caddy_image", "# "), ("tls.caddy_image: is missing", "docs/tls.md")),
    "dns without a name": (DNS.replace("hostname", "# "), ("tls.dns: needs a public name",)),
    "dns where nobody asks": (DNS + "mode = 'internal'", ('tls.dns: is for "acme"', 'mode is "internal"')),
    "caddy that is no image": ("[tls]\ncaddy_image = 'my caddy'", ("tls.caddy_image: 'my caddy'", "an image such as")),
    # names
    "rig name upper": ("[rig]\nname = 'Rig'", ("rig.toml:2: rig.name: 'Rig'", "a-z, 0-9 and '-'")),
    "rig name number": ("[rig]\nname = 3", ("rig.name: 3", "1 to 40")),
    "rig name long": (f"[rig]\nname = '{'a' * 41}'", ("rig.name:", "1 to 40")),
    "project name reserved": ("[projects.edge]", ("rig.toml:1: projects.edge:", 'a name other than "edge"')),
    "project name gateway": ("[projects.gateway]", ("projects.gateway:", "which rigstack uses itself")),
    "project name upper": ("[projects.Demo]", ("rig.toml:1: projects.Demo: 'Demo'", "a-z, 0-9")),
    "project name underscore": ("[projects.my_net]", ("rig.toml:1: projects.my_net:", "a-z, 0-9 and '-'")),
    "project name dash": ("[projects.-x]", ("projects.-x:", "not starting or ending with '-'")),
    "project name with a dot": ('[projects."a.b"]', ("rig.toml:1: projects.a.b: 'a.b'", "a-z, 0-9")),
    "project name with a path": ('[projects."../up"]', ("rig.toml:1: projects.../up:", "a-z, 0-9")),
    "project name empty": ('[projects.""]', ("projects.: ''", "1 to 40")),
    "project name of another's container": (
        "[projects.a-notebook]",
        ("rig.toml:1: projects.a-notebook:", "container"),
    ),
    # host names and addresses
    "hostname with scheme": (
        "[rig]\nhostname = 'https://rig.example.net'",
        ("rig.toml:2: rig.hostname:", "no https://, no port, no address"),
    ),
    "hostname with port": ("[rig]\nhostname = 'rig.example.net:443'", ("rig.hostname:", "no port")),
    "hostname with path": ("[rig]\nhostname = 'rig.example.net/x'", ("rig.hostname:", "a host name such as")),
    "hostname that is IPv4": ("[rig]\nhostname = '192.0.2.1'", ("rig.hostname: '192.0.2.1'", "no address")),
    "hostname that is IPv6": ("[rig]\nhostname = '2001:db8::1'", ("rig.hostname:", "no address")),
    "hostname of one label": ("[rig]\nhostname = 'rig'", ("rig.hostname: 'rig'", "rig.example.net")),
    "hostname with a space": ("[rig]\nhostname = 'rig .net'", ("rig.hostname:", "a host name such as")),
    "hostname of 254": (f"[rig]\nhostname = '{'a.' * 127}'", ("rig.hostname:", "a host name such as")),
    "bind to a name": ("[access]\nbind = 'localhost'", ("access.bind: 'localhost'", "an IP address")),
    "bind to a number": ("[access]\nbind = 5", ("access.bind: 5", "an IP address")),
    "email": ("[tls]\nemail = 'me'", ("tls.email: 'me'", "an address such as")),
    "url": ("[tls]\nacme_directory = 'acme.example.net'", ("tls.acme_directory:", "a URL such as")),
    "mirror": ("[images]\napt_mirror = 'ftp://x'", ("images.apt_mirror: 'ftp://x'", "a URL such as")),
    # keys of people
    "not a key": ("[access]\nauthorized_keys = ['me']", ("rig.toml:2: access.authorized_keys:", "item 1 is 'me'")),
    "github without name": ("[access]\nauthorized_keys = ['github:']", ("authorized_keys:", '"github:NAME"')),
    "key with options": (
        f"[access]\nauthorized_keys = ['''command=\"x\" {ALICE}''']",
        ("authorized_keys:", "an OpenSSH public key line"),
    ),
    # choices
    "choice near": ("[tls]\nmode = 'acmee'", ("tls.mode: 'acmee'", '"auto", "acme"', 'did you mean "acme"?')),
    "choice far": ("[gpu]\nmode = 'zzz'", ("gpu.mode: 'zzz'", 'one of "auto", "cdi", "nvidia", "none"')),
    "choice type": ("[images]\nsource = 3", ("images.source: 3", 'one of "auto"')),
    # projects
    "gpus negative": ("[projects.demo]\ngpus = -1", ("rig.toml:2: projects.demo.gpus: -1", '"all", "none", a number')),
    "gpus bool": ("[projects.demo]\ngpus = true", ("projects.demo.gpus: True", '"all"')),
    "gpus word": ("[projects.demo]\ngpus = 'some'", ("projects.demo.gpus: 'some'", '"all"')),
    "gpus empty list": ("[projects.demo]\ngpus = []", ("projects.demo.gpus: []", '"all"')),
    "gpus twice": ("[projects.demo]\ngpus = [0, '0']", ("projects.demo.gpus:", "names each GPU once")),
    "gpu sharing": (
        "[projects.demo]\ngpu_sharing = 'exclusiv'",
        ("projects.demo.gpu_sharing:", 'did you mean "exclusive"'),
    ),
    "gpus odd id": ("[projects.demo]\ngpus = ['0,1']", ("projects.demo.gpus: ['0,1']", "indices or UUIDs")),
    "size without unit": ("[projects.demo]\nmemory = '16'", ("projects.demo.memory: '16'", '"512m" or "16g"')),
    "size as number": ("[projects.demo]\nshm = 8", ("projects.demo.shm: 8", '"512m" or "16g"')),
    "shm without a limit": ("[projects.demo]\nshm = ''", ("projects.demo.shm: ''", "a size")),
    "python": ("[projects.demo]\npython = '3'", ("projects.demo.python: '3'", '"3.12"')),
    "build": ("[projects.demo]\nbuild = 'docker'", ("projects.demo.build: 'docker'", 'did you mean "dockerfile"')),
    "index password": ("[projects.demo]\nindex = ['https://me:pw@h/x']", ("pip_index_file",)),
    "memlock word": ("[projects.demo]\nmemlock = 'all'", ("projects.demo.memlock: 'all'", '"unlimited", or a size')),
    "size zero": ("[projects.demo]\nshm = '0g'", ("projects.demo.shm: '0g'", "a size")),
    "size unit": ("[projects.demo]\nshm = '8GB'", ("projects.demo.shm: '8GB'", "a size")),
    "cuda": (
        "[projects.demo]\ncuda = 13.0",
        ("projects.demo.cuda: 13.0", 'such as "13.0" or "runtime-13.0"'),
    ),
    "cuda version": ("[images]\ncuda = '13'", ("images.cuda: '13'", 'such as "13.0" or "runtime-13.0"')),
    "apt shell": ("[projects.demo]\napt = ['x; rm']", ("projects.demo.apt:", "a Debian package name")),
    "apt option": ("[projects.demo]\napt = ['-y']", ("projects.demo.apt:", "a Debian package name")),
    "pids": ("[projects.demo]\npids = 1", ("projects.demo.pids: 1", "from 64 to")),
    "ports": ("[projects.demo]\nports = [6006, 'x']", ("projects.demo.ports:", "item 2 is 'x'")),
    "env name": ("[projects.demo]\nenv = { 'A-B' = 'x' }", ("projects.demo.env:", "letters, digits and '_'")),
    "env number": ("[projects.demo]\nenv = { A = 3 }", ("projects.demo.env:", "text on one line for A")),
    "env list": ("[projects.demo]\nenv = ['A=b']", ("projects.demo.env:", "a table of text")),
    # what belongs together
    "port twice": (
        "[access]\nssh_port = 443",
        ("access.https_port:", "port 443 is taken by access.ssh_port"),
    ),
    "project port of the gateway": (
        "[projects.demo]\nssh_port = 22222",
        ("rig.toml:2: projects.demo.ssh_port:", "port 22222 is taken by access.ssh_port"),
    ),
    "project ports alike": (
        "[projects.a]\nssh_port = 2201\n[projects.b]\nssh_port = 2201",
        ("rig.toml:4: projects.b.ssh_port:", "taken by projects.a.ssh_port"),
    ),
    "acme without hostname": ("[tls]\nmode = 'acme'", ("rig.toml:2: tls.mode:", "set rig.hostname")),
    "files without certificate": (
        "[tls]\nmode = 'files'\nkey = 'k.pem'",
        ("rig.toml:1: tls.certificate:", 'mode "files" needs it'),
    ),
    "files without key": ("[tls]\nmode = 'files'\ncertificate = 'c.pem'", ("tls.key:", 'mode "files" needs it')),
    "ddns without server": (
        "[ddns]\nprovider = 'dyndns2'\nhostname = 'rig.example.net'",
        ("rig.toml:1: ddns.server:", 'is missing; provider "dyndns2" needs it'),
    ),
    "ddns without an account": (
        "[ddns]\nprovider = 'no-ip'\nhostname = 'rig.example.net'",
        ("rig.toml:1: ddns.username:", 'provider "no-ip" needs it'),
    ),
    "ddns in another zone": (DDNS + "zone = 'example.org'", ("rig.toml:5: ddns.zone:", "is not in example.org")),
    "ddns server with a path": (DDNS.replace("dyn.example.net", "http://x/"), ("ddns.server:", "members.example.net")),
    "ddns provider": (DDNS.replace("dyndns2", "duckdsn"), ("ddns.provider: 'duckdsn'", 'did you mean "duckdns"?')),
    "ddns without hostname": (
        DDNS.replace('hostname = "rig.example.net"\n', ""),
        ("rig.toml:1: ddns.hostname:", "set it or rig.hostname"),
    ),
    "ddns interval": (DDNS + "interval = 1", ("rig.toml:5: ddns.interval: 1", "of seconds from 10 to 86400")),
}


@pytest.mark.parametrize(("text", "parts"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named(text: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_rig(text, rig_dir=tmp_path)
    error = raised.value
    assert error.exit_code == 2
    assert error.what == "rig.toml has 1 mistake", error.details
    for part in parts:
        assert part in error.details[0]
    assert error.remedy
    assert "S3CRET" not in error.details[0]


def test_all_mistakes_are_listed_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
        [rig]
        name = "UP"
        [access]
        ssh_port = 0
        zebra = 1
        apple = 2
        [gpuu]
        [projects.demo]
        gpus = "some"
        """
    with pytest.raises(ConfigError) as raised:
        parse_rig(dedent(text), rig_dir=tmp_path, file="/rig/rig.toml")
    assert raised.value.what == "/rig/rig.toml has 6 mistakes"
    places = [line.split(": ")[0] for line in raised.value.details]
    assert sorted(places) == [f"/rig/rig.toml:{n}" for n in (2, 4, 5, 6, 7, 9)]
    assert places.index("/rig/rig.toml:5") < places.index("/rig/rig.toml:6")


@pytest.mark.parametrize("text", ["[projects.demo]\n[projects.demo]", "[rig]\nname = 'a'\nname = 'b'", "[rig", "x = "])
def test_invalid_toml_is_said_with_its_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rig\.toml is not valid TOML: .*(line \d|end of document)") as raised:
        parse_rig(text, rig_dir=tmp_path)
    assert "stands twice" in raised.value.cause


@pytest.mark.parametrize("quote", ['"', '"""'])
def test_a_pasted_private_key_is_refused_and_never_shown(quote: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_rig(f"[access]\nauthorized_keys = [{quote}{PEM}{quote}]", rig_dir=tmp_path)
    message = "\n".join(raised.value.lines())
    assert "rig.toml:2: access.authorized_keys:" in message
    assert "looks like a private key" in message
    assert "SECRET" not in message
    assert "b3BlbnNzaC1rZXk" not in message


def test_a_missing_or_unreadable_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no .*rig\.toml") as raised:
        load_rig(tmp_path)
    assert "rigstack init" in raised.value.remedy
    (tmp_path / "rig.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_rig(tmp_path)
