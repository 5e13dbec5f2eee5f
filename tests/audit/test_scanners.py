"""What scanners may find: testssl.sh and nmap from outside, the CIS Docker Benchmark inside."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import MakeRig
from tests.live_rig import LiveRig, docker

NAME = "rig.example.net"
# Below MEDIUM testssl.sh tells of tastes: a session ticket of a week, no OCSP.
GRAVE = ("MEDIUM", "HIGH", "CRITICAL")
KNOWN = {
    "cert_revocation": "the authority is the test's own",
    "cert_extlifeSpan": "likewise",
    "DNS_CAArecord": "likewise",
    "BREACH": "pages are compressed; the one secret in a page, Jupyter's _xsrf, is masked anew in each",
}


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def public(make_rig: MakeRig, tmp_path_factory: pytest.TempPathFactory) -> tuple[LiveRig, Path]:
    """A rig with a name and a certificate as a public authority would give it; and that authority's root."""
    folder = tmp_path_factory.mktemp("authority")
    key, root = str(folder / "ca.key"), folder / "ca.pem"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-days", "90", "-subj", "/CN=test root", "-keyout", key, "-out", str(root))
    of_rig = ("-keyout", str(folder / "rig.key"), "-out", str(folder / "rig.csr"))
    openssl("req", *curve, "-subj", f"/CN={NAME}", *of_rig)
    extensions = f"subjectAltName=DNS:{NAME}\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\n"
    (folder / "ext").write_text(extensions)
    signed = ("-CA", str(root), "-CAkey", key, "-CAcreateserial", "-days", "89", "-extfile", str(folder / "ext"))
    openssl("x509", "-req", "-in", str(folder / "rig.csr"), *signed, "-out", str(folder / "rig.pem"))
    rig = make_rig(projects=())
    for name, value in (("hostname", NAME), ("mode", "files"), ("certificate", str(folder / "rig.pem"))):
        rig.set(name, f'"{value}"')
    rig.set("key", f'"{folder}/rig.key"')
    rig.up()
    return rig, root


def test_testssl_has_nothing_grave_to_say(public: tuple[LiveRig, Path], tmp_path: Path) -> None:
    rig, root = public
    how = ("--quiet", "--warnings", "off", "--nodns", "none", "--add-ca", str(root), "--ip", "127.0.0.1")
    # Half of a run is waiting: two side by side.
    halves = (
        ("--protocols", "--std", "--fs"),
        ("--server-defaults", "--server-preference", "--headers", "--vulnerable"),
    )

    def look(what: tuple[str, ...]) -> list[dict[str, str]]:
        report = tmp_path / f"{what[0]}.json"
        # Without an output of its own testssl.sh asks for a terminal.
        argv = ["testssl", *what, *how, "--color", "0", "--jsonfile", str(report), f"https://{NAME}:{rig.https_port}"]
        subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=150)
        found: list[dict[str, str]] = json.loads(report.read_text())
        return found

    with ThreadPoolExecutor() as side_by_side:
        findings = {one["id"].split(" ")[0]: one for half in side_by_side.map(look, halves) for one in half}
    assert {"TLS1_3", "HSTS_time", "cert_chain_of_trust", "heartbleed"} <= set(findings), "it did not get through"
    assert findings["cert_chain_of_trust"]["severity"] == "OK", findings["cert_chain_of_trust"]
    assert findings["HSTS_time"]["severity"] == "OK", findings["HSTS_time"]
    grave = {name: one["finding"] for name, one in findings.items() if one["severity"] in GRAVE and name not in KNOWN}
    assert grave == {}


def test_nmap_learns_no_version_but_that_of_openssh(public: tuple[LiveRig, Path]) -> None:
    """sshd names its version in its banner (RFC 4253, 4.2), since clients work around each other's faults by it."""
    rig, _ = public
    ports = f"{rig.ssh_port},{rig.https_port},{rig.http_port}"
    argv = ["nmap", "-n", "-Pn", "-sT", "-sV", "--version-light", "-p", ports, "127.0.0.1"]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=120).stdout
    found = {int(line.split("/")[0]): line for line in said.splitlines() if "/tcp" in line}
    assert set(found) == {rig.ssh_port, rig.https_port, rig.http_port}, said
    assert all(" open " in line for line in found.values()), said
    assert "OpenSSH" in found[rig.ssh_port]
    for word in ("Caddy", "Debian", "Jupyter", "Tornado", "deb13"):
        assert word not in said


def test_every_container_is_as_the_cis_docker_benchmark_asks(rig: LiveRig) -> None:
    """Section 5 of the benchmark, asked of the engine: what each container really runs with."""
    # Its provider is nobody, on this machine; the sidecar is well all the same.
    rig.append(
        '[ddns]\nprovider = "dyndns2"\nhostname = "a.example.net"\nserver = "127.0.0.1:9"\ncheckip = "127.0.0.1:9"\n'
    )
    secret = rig.path / "secrets/ddns-password"
    secret.write_text("a password\n")
    secret.chmod(0o600)
    rig.up()
    services = rig.containers()
    assert set(services) == {"edge", "gateway", "ddns", "demo-workspace", "demo-notebook"}
    own = (str(rig.path), "/etc/ssl/certs/ca-certificates.crt")
    for service, container in services.items():
        found = json.loads(docker("inspect", container))[0]
        host = found["HostConfig"]
        ours = service in ("edge", "gateway", "ddns")
        assert found["Config"]["User"].split(":")[0] not in ("", "0", "root"), service
        assert not host["Privileged"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"], service
        assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"]), service
        assert not any("unconfined" in option for option in host["SecurityOpt"]), service
        assert host["ReadonlyRootfs"] is ours and (host["Memory"] > 0 or not ours), service
        assert 0 < host["PidsLimit"] <= 65536, service
        assert host["RestartPolicy"]["Name"] == "always" and host["LogConfig"]["Type"] == "local", service
        assert found["State"]["Health"]["Status"] == "healthy", service
        namespaces = (host["NetworkMode"], host["PidMode"], host["IpcMode"], host["UTSMode"], host["UsernsMode"])
        assert "host" not in namespaces and not host["Devices"], service
        for mount in found["Mounts"]:
            assert mount["Type"] == "bind" and mount["Source"].startswith(own), (service, mount)
            assert mount["Propagation"] in ("rprivate", "private", ""), (service, mount)
        published = {binding["HostPort"] for ports in host["PortBindings"].values() for binding in ports or ()}
        wanted = {"edge": {rig.https_port, rig.http_port}, "gateway": {rig.ssh_port}}.get(service, set())
        assert published == {str(port) for port in wanted}, service
