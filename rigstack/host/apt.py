"""apt's command lines, and where this machine's packages come from, so that no mirror need be named here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rigstack.value import Value

# apt asks nothing and restarts nothing by itself (debconf(7), needrestart(1)).
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
# Another apt at work (unattended upgrades after a boot) is waited for, in seconds.
_LOCK = ("-o", "DPkg::Lock::Timeout=180")


def update_argv(options: Sequence[str] = ()) -> tuple[str, ...]:
    """Reads the package lists again."""
    return ("apt-get", *_LOCK, *options, "update")


def repair_argv() -> tuple[str, ...]:
    """Finishes what a killed installation left half configured; does nothing, and fast, when there is nothing."""
    return ("dpkg", "--configure", "-a")


def install_argv(packages: Sequence[str]) -> tuple[str, ...]:
    """Installs packages and what they depend on, without what they only recommend."""
    return ("apt-get", *_LOCK, "install", "-y", "--no-install-recommends", *packages)


def download_argv(packages: Sequence[str], options: Sequence[str]) -> tuple[str, ...]:
    """Fetches the packages' files into the current folder and installs nothing."""
    return ("apt-get", *options, "download", *packages)


def unpack_argv(package: Path, into: Path) -> tuple[str, ...]:
    """Unpacks a package's files below `into`, runs none of its scripts and does not register it."""
    return ("dpkg", "-x", str(package), str(into))


def private_options(folder: Path, sources: Path) -> tuple[str, ...]:
    """Options that make apt read only `sources` and keep its lists and cache under `folder`.

    The machine's apt.conf (proxies, certificates) still holds; its sources and pins are left out
    (apt.conf(5), "Directories"). Files are fetched as root: the unprivileged _apt cannot write there.
    """
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "APT::Default-Release": "",
        "APT::Sandbox::User": "root",
    }
    return tuple(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))


class Mirror(Value):
    """Where the machine's packages come from. signed_by: as its source has it, "" for apt's own keys."""

    uri: str
    signed_by: str


def own_mirror(codename: str, root: Path = Path("/")) -> Mirror | None:
    """The first mirror in the machine's sources that serves the suite `codename` (sources.list(5)), or None."""
    folder = root / "etc/apt/sources.list.d"
    lists = [root / "etc/apt/sources.list", *sorted(folder.glob("*.list"))]
    for file in [*sorted(folder.glob("*.sources")), *lists]:
        if not file.is_file():
            continue
        text = file.read_text(errors="replace")
        mirror = _from_stanzas(text, codename) if file.suffix == ".sources" else _from_lines(text, codename)
        if mirror:
            return mirror
    return None


def _from_stanzas(text: str, codename: str) -> Mirror | None:
    text = re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)
    for stanza in re.split(r"\n\s*\n", text):
        fields = {
            key.lower(): value.strip("\n")
            for key, value in re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        }
        usable = fields.get("enabled", "yes").strip().lower() not in ("no", "false")
        serves = codename in fields.get("suites", "").split()
        if usable and serves and "deb" in fields.get("types", "").split():
            return Mirror(uri=fields["uris"].split()[0], signed_by=fields.get("signed-by", ""))
    return None


def _from_lines(text: str, codename: str) -> Mirror | None:
    for options, uri, suite in re.findall(r"^deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)", text, re.MULTILINE):
        if suite == codename:
            signed = re.search(r"signed-by=(\S+)", options)
            return Mirror(uri=uri, signed_by=signed.group(1) if signed else "")
    return None


def render_source(mirror: Mirror, suite: str) -> str:
    """A source of `suite` on the machine's own mirror, checked with the machine's own key."""
    lines = ["Types: deb", f"URIs: {mirror.uri}", f"Suites: {suite}", "Components: main"]
    if mirror.signed_by:
        lines.append(f"Signed-By: {mirror.signed_by}")
    return "\n".join(lines) + "\n"
