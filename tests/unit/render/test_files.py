"""Edge files in each TLS mode, authorized keys, inadyn's configuration, rig.json and the bake file, as text."""

from __future__ import annotations

import json

import pytest
from builders import ALICE, BOB, DEMO, DEMO_AND_CIFAR, a_desire, a_host, a_rig
from golden import assert_golden

from rigstack.config.model import Ddns
from rigstack.plan.images import Image
from rigstack.render.authorized_keys import render_gateway_keys, render_workspace_keys
from rigstack.render.bake import render_bake
from rigstack.render.ddns import render_ddns_files, render_inadyn, render_inadyn_secret, render_settings
from rigstack.render.description import render_description
from rigstack.render.edge import render_edge_files, tls_files, tls_mode
from rigstack.secret import Secret

NAMED = "[rig]\nname = 'box'\nhostname = 'rig.example.net'\n"

EDGES = {
    "internal-without-hostname": "[access]\nhttps_port = 8443\n" + DEMO_AND_CIFAR,
    "internal-with-hostname": NAMED + "[tls]\nmode = 'internal'\n" + DEMO,
    "acme": NAMED + "[tls]\nmode = 'acme'\nemail = 'me@example.net'\n" + DEMO,
    "acme-private": NAMED + "[tls]\nacme_directory = 'https://acme.example.net/dir'\nacme_ca = '/ca.crt'\n" + DEMO,
    "dns": NAMED
    + "[tls]\ndns = 'rfc2136'\ncaddy_image = 'caddy-rfc2136'\ndns_resolver = '192.0.2.1'\nacme_ca = '/ca.crt'\n"
    + "dns_settings = { key_name = 'rig', key = 'file:secrets/tsig', server = '192.0.2.1:53' }\n"
    + DEMO,
    "files": NAMED + "[tls]\nmode = 'files'\ncertificate = 'c.pem'\nkey = 'k.pem'\n",
}


@pytest.mark.parametrize("name", EDGES)
def test_edge_files(name: str) -> None:
    rig = a_rig(EDGES[name])
    files = render_edge_files(rig, a_host(rig))
    text = "".join(f"==> {path}\n{body}\n" for path, body in sorted(files.items()))
    assert_golden(f"edge-{name}.txt", text)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("", "internal"),
        (NAMED, "acme"),
        (NAMED + "[tls]\nmode = 'internal'", "internal"),
        ("[rig]\nhostname = 'rig.lan'", "internal"),
        ("[rig]\nhostname = 'rig.home.arpa'", "internal"),
        ("[rig]\nhostname = 'rig.lan'\n[tls]\nacme_directory = 'https://ca.lan/dir'", "acme"),
        ("[tls]\nmode = 'files'\ncertificate = 'c'\nkey = 'k'", "files"),
    ],
)
def test_what_auto_comes_to(text: str, mode: str) -> None:
    assert tls_mode(a_rig(text)) == mode


def test_once_signed_nothing_stands_in_any_more() -> None:
    rig = a_rig(NAMED)
    for issued, there in ((False, True), (True, False)):
        sites = render_edge_files(rig, a_host(rig).replace(acme_issued=issued))["state/edge/current/sites.caddy"]
        assert ("issuer internal" in sites) == there
        assert ("Strict-Transport-Security" in sites) == (not there)
    acme = a_rig(NAMED + "[tls]\nmode = 'acme'")
    assert "issuer internal" not in render_edge_files(acme, a_host(acme))["state/edge/current/sites.caddy"]


def test_a_dns_module_may_take_its_token_as_the_only_word() -> None:
    rig = a_rig(NAMED + "[tls]\nmode = 'acme'\ndns = 'cloudflare file:~/token'\ncaddy_image = 'mine'\n")
    host = a_host(rig)
    files = render_edge_files(rig, host)
    assert "\t\tdns cloudflare {file./etc/rigstack/tls/dns}\n" in files["state/edge/current/sites.caddy"]
    assert "issuer internal" not in files["state/edge/current/sites.caddy"]
    assert tls_files(rig) == {"dns": ("dns", "~/token")}
    assert not any(host.tls["dns"].reveal() in text for text in files.values())


def test_with_a_new_token_the_edge_asks_again() -> None:
    """run-edge compares what stands after the name."""
    rig = a_rig(EDGES["dns"])
    host = a_host(rig)
    mended = host.replace(tls={**host.tls, "dns-key": Secret("another")})
    before, after = (render_edge_files(rig, one)["state/edge/current/acme-name"] for one in (host, mended))
    assert before.startswith("rig.example.net settings ") and after.startswith("rig.example.net settings ")
    assert before != after


def test_a_machine_without_addresses_still_has_names() -> None:
    rig = a_rig(DEMO)
    files = render_edge_files(rig, a_host(rig, addresses=()))
    assert "default_sni" not in files["state/edge/current/global.caddy"]
    assert "https://box, https://box.local, https://localhost" in files["state/edge/current/sites.caddy"]


def test_gateway_keys_open_workspaces_and_nothing_else() -> None:
    assert render_gateway_keys(a_rig(DEMO_AND_CIFAR), (ALICE, BOB)) == (
        f'restrict,port-forwarding,permitopen="demo:22",permitopen="cifar:22" {ALICE}\n'
        f'restrict,port-forwarding,permitopen="demo:22",permitopen="cifar:22" {BOB}\n'
    )


def test_without_projects_the_gateway_opens_nothing() -> None:
    assert render_gateway_keys(a_rig(""), (ALICE,)) == f'restrict,port-forwarding,permitopen="none:1" {ALICE}\n'
    assert render_gateway_keys(a_rig(""), ()) == ""


def test_workspace_keys_hold_nothing_back() -> None:
    assert render_workspace_keys((ALICE, BOB)) == f"{ALICE}\n{BOB}\n"


def ddns(**changed: object) -> Ddns:
    rig = a_rig("[ddns]\nprovider='dyndns2'\nserver='dyn.example.net'\nhostname='rig.example.net'\nusername='me'\n")
    assert rig.ddns is not None
    return rig.ddns.replace(**changed)


def test_inadyn() -> None:
    assert_golden("inadyn.conf", render_inadyn(ddns(), ca_bundle=False))
    assert_golden("inadyn6.conf", render_inadyn(ddns(ipv6=True, tls=False), ca_bundle=True, ipv6=True))
    assert_golden("ddns.conf", render_settings(ddns(checkip="ip.example.net", interval=300)))


PROVIDED = {
    "no-ip": ("provider default@no-ip.com {", '"me"', '"rig.example.net"'),
    "duckdns": ("custom rigstack {", '"none"', '"rig"'),
    "cloudflare": ("provider default@cloudflare.com {", '"example.net"', '"rig.example.net"'),
    "desec": ("provider default@desec.io {", '"me"', '"rig.example.net"'),
    "dynu": ("provider default@dynu.com {", '"me"', '"rig.example.net"'),
    "freedns": ("provider default@freedns.afraid.org {", '"me"', '"rig.example.net"'),
    "namecheap": ("provider default@namecheap.com {", '"rig"', '"example.net"'),
}


@pytest.mark.parametrize("provider", PROVIDED)
def test_each_provider_gets_what_its_plugin_understands(provider: str) -> None:
    name = "rig.duckdns.org" if provider == "duckdns" else "rig.example.net"
    lines = [
        line.strip() for line in render_inadyn(ddns(provider=provider, hostname=name), ca_bundle=False).split("\n")
    ]
    section, username, hostname = PROVIDED[provider]
    assert section in lines
    assert f"username         = {username}" in lines
    assert f"hostname         = {hostname}" in lines


def test_rfc2136_gets_a_tsig_key_and_no_inadyn() -> None:
    files = render_ddns_files(
        ddns(provider="rfc2136", server="192.0.2.1:53", username="hmac-sha512:rig"), Secret("c2Vj\n"), ca_bundle=False
    )
    assert set(files) == {"state/ddns/ddns.conf", "secrets/ddns/password", "secrets/ddns/tsig.key"}
    assert files["secrets/ddns/tsig.key"] == ('key "rig" { algorithm hmac-sha512; secret "c2Vj"; };\n', True)
    assert "nameserver=192.0.2.1:53\n" in files["state/ddns/ddns.conf"][0]
    plain = render_ddns_files(ddns(provider="no-ip", ipv6=True), Secret("hunter2"), ca_bundle=False)
    assert {path for path, (text, secret) in plain.items() if "hunter2" in text} == {
        path for path, (_, secret) in plain.items() if secret
    }
    assert "state/ddns/inadyn6.conf" in plain


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", '"plain"'),
        ('a"b', r'"a\"b"'),
        ("a\\b", r'"a\\b"'),
        ('\\"', r'"\\\""'),
        ("${HOME}", r'"\${HOME}"'),
        ("it's # not a comment", '"it\'s # not a comment"'),
        ("", '""'),
    ],
)
def test_inadyn_strings_are_quoted(text: str, quoted: str) -> None:
    assert render_inadyn_secret(Secret(text)) == f"password = {quoted}\n"
    assert f"    username         = {quoted}\n" in render_inadyn(ddns(username=text), ca_bundle=False)
    assert f"    ddns-server      = {quoted}\n" in render_inadyn(ddns(server=text), ca_bundle=False)


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {str(secret)!r}"
    assert secret.reveal() == "hunter2"


def test_the_description_for_laptops() -> None:
    rig = a_rig(NAMED + "[projects.demo]\nssh_port = 2201\nports = [6006]\n[projects.cifar]")
    assert_golden("rig.json", render_description(rig, a_host(rig)))


def test_a_description_before_keys_are_made() -> None:
    rig = a_rig(DEMO)
    document = json.loads(render_description(rig, a_host(rig).replace(host_keys={})))
    assert document["gateway"]["host_key"] == document["projects"][0]["host_key"] == ""


def bake(images: tuple[Image, ...], **secrets: str) -> str:
    text = render_bake(
        images,
        assets="/assets",
        staging="/rig/state/build",
        secrets=secrets,
        arguments={"CADDY": "packages"},
        network_arguments={"HTTPS_PROXY": "http://proxy.example.net:3128"},
    )
    for image in a_desire(DEMO).images:
        text = text.replace(image.tag, f"tag of {image.name}")
    return text


def test_the_bake_file() -> None:
    assert_golden("bake.json", bake(a_desire(DEMO).images, pip_index="/rig/secrets/index", ca_bundle="/ca.crt"))


def test_a_project_built_alone_starts_from_the_base_that_exists() -> None:
    together = json.loads(bake(a_desire(DEMO).images))["target"]["project-demo"]
    alone = json.loads(bake((a_desire(DEMO).image("project-demo"),)))
    assert together["contexts"] == {"tag of base": "target:base"}
    assert "contexts" not in alone["target"]["project-demo"]
    assert alone["group"]["default"]["targets"] == ["project-demo"]


def test_only_the_edge_is_told_where_caddy_comes_from() -> None:
    targets = json.loads(bake(a_desire(DEMO).images))["target"]
    assert [name for name, target in targets.items() if "CADDY" in target["args"]] == ["edge"]
