"""What scanners may find: testssl.sh, nmap and hydra from outside, the CIS Docker Benchmark inside."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
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
    """A rig with all that there is and a certificate as a public authority would give it; and that authority's root."""
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
    rig = make_rig()
    for name, value in (("hostname", NAME), ("mode", "files"), ("certificate", str(folder / "rig.pem"))):
        rig.set(name, f'"{value}"')
    rig.set("key", f'"{folder}/rig.key"')
    # Its provider is nobody, on this machine; the sidecar is well all the same.
    rig.append(
        '[ddns]\nprovider = "dyndns2"\nhostname = "a.example.net"\nserver = "127.0.0.1:9"\ncheckip = "127.0.0.1:9"\n'
    )
    secret = rig.path / "secrets/ddns-password"
    secret.parent.mkdir(mode=0o700, exist_ok=True)
    secret.touch(mode=0o600)
    secret.write_text("a password\n")
    rig.up()
    return rig, root


@pytest.fixture(scope="module", autouse=True)
def scans(
    public: tuple[LiveRig, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[subprocess.Popen[bytes], Path]]]:
    """testssl.sh and nmap at work, and what each writes to. Both wait a lot: the file's other tests go on meanwhile."""
    rig, root = public
    folder = tmp_path_factory.mktemp("scans")
    # All that the grade takes into account (testssl.sh(1), RATING), and what it found to be the server's order.
    what = ("--protocols", "--std", "--fs", "--server-defaults", "--server-preference", "--headers", "--vulnerable")
    how = (
        "--quiet",
        "--warnings",
        "off",
        "--nodns",
        "none",
        "--color",
        "0",
        "--add-ca",
        str(root),
        "--ip",
        "127.0.0.1",
    )
    report = ("--jsonfile", str(folder / "testssl"), f"https://{NAME}:{rig.https_port}")
    ports = f"{rig.ssh_port},{rig.https_port},{rig.http_port}"
    argvs = {
        "testssl": ("testssl", *what, *how, *report),
        "nmap": (
            "nmap",
            "-n",
            "-Pn",
            "-sT",
            "-sV",
            "--version-light",
            "-p",
            ports,
            "-oN",
            f"{folder}/nmap",
            "127.0.0.1",
        ),
    }
    # Without an output of its own testssl.sh asks for a terminal.
    where = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "start_new_session": True}
    running = {name: (subprocess.Popen(argv, **where), folder / name) for name, argv in argvs.items()}  # type: ignore[call-overload]
    yield running
    for process, _ in running.values():
        process.kill()
        process.communicate()


def test_every_container_is_as_the_cis_docker_benchmark_asks(public: tuple[LiveRig, Path]) -> None:
    """Section 5 of the benchmark, asked of the engine: what each container really runs with."""
    rig, _ = public
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
        assert "host" not in namespaces and "shareable" not in namespaces, service
        assert all(name.startswith(f"rigstack-{rig.name}_") for name in found["NetworkSettings"]["Networks"]), service
        for key in (
            "Devices",
            "DeviceRequests",
            "DeviceCgroupRules",
            "Ulimits",
            "VolumesFrom",
            "Links",
            "CgroupParent",
        ):
            assert not host[key], (service, key)
        assert found["AppArmorProfile"] != "unconfined", service
        assert not re.search(r":latest$|^[^:]*$", found["Config"]["Image"]), service
        # What the kernel says of its first process (proc(5)), whatever the engine was asked for.
        status = dict(re.findall(r"^(\w+):\t(\S+)", docker("exec", container, "cat", "/proc/1/status"), re.M))
        assert {status[key] for key in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}, service
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2") and status["Uid"] != "0", service
        for mount in found["Mounts"]:
            assert mount["Type"] == "bind" and mount["Source"].startswith(own), (service, mount)
            assert mount["Propagation"] in ("rprivate", "private", ""), (service, mount)
        published = {binding["HostPort"] for ports in host["PortBindings"].values() for binding in ports or ()}
        wanted = {"edge": {rig.https_port, rig.http_port}, "gateway": {rig.ssh_port}}.get(service, set())
        assert published == {str(port) for port in wanted}, service


def hydra(*words: str) -> str:
    done = subprocess.run(["hydra", "-I", *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


def test_hydra_finds_no_password_to_guess_at_the_gateway(public: tuple[LiveRig, Path], tmp_path: Path) -> None:
    rig, _ = public
    (tmp_path / "words").write_text("".join(f"wrong {n}\n" for n in range(6)))
    said = hydra("-l", "jump", "-P", str(tmp_path / "words"), "-s", str(rig.ssh_port), "127.0.0.1", "ssh")
    assert "6 login tries" in said and "does not support password authentication" in said, said


def test_hydra_gets_a_few_of_its_passwords_looked_at(public: tuple[LiveRig, Path], tmp_path: Path) -> None:
    """At the project list, which asks a notebook: what that one refuses to look at is a 429."""
    rig, _ = public
    where = ("-s", str(rig.https_port), "localhost", "https-get", "/projects/")
    assert "1 valid password found" in hydra("-l", "rig", "-p", rig.password, *where), "it cannot guess at all"
    (tmp_path / "words").write_text("".join(f"wrong {n}\n" for n in range(40)))
    said = hydra("-t", "16", "-l", "rig", "-P", str(tmp_path / "words"), *where)
    assert "40 login tries" in said and "1 of 1 target completed, 0 valid password found" in said, said
    journal = (rig.path / "state/access/edge/web").read_text().splitlines()
    looked_at = Counter(json.loads(line)["status"] for line in journal)
    assert looked_at[401] <= 9 and looked_at[429] >= 31, looked_at


def test_nmap_learns_no_version_but_that_of_openssh(
    public: tuple[LiveRig, Path], scans: dict[str, tuple[subprocess.Popen[bytes], Path]]
) -> None:
    """sshd names its version in its banner (RFC 4253, 4.2), since clients work around each other's faults by it."""
    rig, _ = public
    process, report = scans["nmap"]
    process.communicate(timeout=120)
    said = report.read_text()
    found = {int(line.split("/")[0]): line for line in said.splitlines() if re.match(r"\d+/tcp", line)}
    assert set(found) == {rig.ssh_port, rig.https_port, rig.http_port}, said
    assert all(" open " in line for line in found.values()), said
    assert "OpenSSH" in found[rig.ssh_port]
    for word in ("Caddy", "Debian", "Jupyter", "Tornado", "deb13"):
        assert word not in said


def test_testssl_gives_the_best_grade_and_has_nothing_grave_to_say(
    scans: dict[str, tuple[subprocess.Popen[bytes], Path]],
) -> None:
    process, report = scans["testssl"]
    said, _ = process.communicate(timeout=180)
    findings = {one["id"].split(" ")[0]: one for one in json.loads(report.read_text())}
    assert {"TLS1_3", "HSTS_time", "cert_chain_of_trust", "heartbleed"} <= set(findings), said.decode()
    assert findings["overall_grade"]["finding"] == "A+", findings["overall_grade"]
    assert int(findings["final_score"]["finding"]) >= 96, findings["final_score"]
    assert findings["cert_chain_of_trust"]["severity"] == "OK", findings["cert_chain_of_trust"]
    assert findings["HSTS_time"]["severity"] == "OK", findings["HSTS_time"]
    grave = {name: one["finding"] for name, one in findings.items() if one["severity"] in GRAVE and name not in KNOWN}
    assert grave == {}
