"""SSH keys on the host: host keys that are made once, and the public keys of the people who may log in."""

from __future__ import annotations

from pathlib import Path

from rigstack.config.schema import key_source
from rigstack.errors import ConfigError, HostError
from rigstack.host.files import give, read_text, write_file


def keygen_argv(path: Path, comment: str) -> tuple[str, ...]:
    return ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))


def ensure_host_key(path: Path, comment: str, *, owner: tuple[int, int] | None) -> None:
    """Makes the key pair when there is none; never touches an existing one. Raises HostError.

    The private half is 0600 and belongs to the containers' user: sshd skips a key that others may read.
    """
    public = path.with_name(path.name + ".pub")
    if not path.is_file():
        public.unlink(missing_ok=True)
        fresh = path.with_name(path.name + ".new")
        for leftover in (fresh, fresh.with_name(fresh.name + ".pub")):
            leftover.unlink(missing_ok=True)
        _keygen(keygen_argv(fresh, comment))
        fresh.chmod(0o600)
        give(fresh, owner)
        fresh.with_name(fresh.name + ".pub").replace(public)
        fresh.replace(path)
    elif not public.is_file():
        write_file(public, _keygen(("ssh-keygen", "-y", "-f", str(path))), mode=0o644, owner=owner)
    give(public, owner)


def _keygen(argv: tuple[str, ...]) -> str:
    from rigstack import process  # not needed when every key is there, which is nearly always

    try:
        done = process.run(argv)
    except FileNotFoundError:
        raise HostError("ssh-keygen is not installed", remedy="apt-get install openssh-client") from None
    if not done.ok:
        raise HostError(f"{process.quote(argv)} failed", details=done.tail())
    return done.stdout


def public_half(path: Path) -> str:
    """ "type base64" of the host key at `path`, without its comment; "" when there is none yet."""
    text = read_text(path.with_name(path.name + ".pub"))
    return " ".join(text.split()[:2]) if text else ""


def resolve_authorized_keys(
    root: Path, entries: tuple[str, ...], *, fresh: bool = False, keep: bool = True
) -> tuple[str, ...]:
    """Public key lines from [access] authorized_keys: written out, read from files, or fetched once from GitHub.

    A fetched account's keys are kept in state/keys/github-NAME. fresh: they are fetched again; keep: and kept.
    Raises ConfigError that names the entry, or HostError when GitHub does not answer; what was kept stays then.
    """
    lines: dict[str, None] = {}
    for entry in entries:
        if entry.startswith("github:"):
            found = _github_keys(root, entry.removeprefix("github:"), fresh=fresh, keep=keep)
        elif entry.startswith("file:"):
            found = _file_keys(root, entry.removeprefix("file:"))
        else:
            found = (entry,)
        lines.update(dict.fromkeys(found))
    return tuple(lines)


def _file_keys(root: Path, name: str) -> tuple[str, ...]:
    path = root / Path(name).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failed:
        raise ConfigError(
            f"access.authorized_keys: cannot read {path}: {failed}",
            remedy="name a file of public keys (.pub)",
        ) from None
    return _checked(text, f"access.authorized_keys: {path}")


def _checked(text: str, place: str) -> tuple[str, ...]:
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    for key in keys:
        try:
            if key.startswith(("github:", "file:")):
                raise ValueError("a public key line")
            key_source(key)
        except ValueError as wrong:
            raise ConfigError(f"{place}: {key[:40]!r} is not right; expected {wrong}") from None
    return tuple(keys)


def _github_keys(root: Path, account: str, *, fresh: bool, keep: bool) -> tuple[str, ...]:
    kept = root / "state" / "keys" / f"github-{account}"
    text = None if fresh else read_text(kept)
    fetched = text if text is not None else fetch_github_keys(account)
    keys = _checked(fetched, f"access.authorized_keys: github:{account}")
    if text is None and keep:
        write_file(kept, fetched, mode=0o644, owner=None)
    return keys


def forget_github_keys(root: Path, entry: str) -> None:
    """Nothing of an account is kept whose entry was taken away: added again, it is asked again."""
    if entry.startswith("github:"):
        (root / "state" / "keys" / f"github-{entry.removeprefix('github:')}").unlink(missing_ok=True)


def fetch_github_keys(account: str) -> str:
    """The public keys of a GitHub account, one a line. Raises HostError when they cannot be had."""
    import urllib.error
    import urllib.request

    url = f"https://github.com/{account}.keys"
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            text: str = answer.read(1 << 20).decode()
    except (urllib.error.URLError, OSError, ValueError) as failed:
        raise HostError(
            f"cannot fetch the keys of github:{account} from {url}: {failed}",
            remedy="check the name and this machine's network, or paste the public key itself",
        ) from None
    if not text.strip():
        raise ConfigError(f"github:{account} has no public keys", remedy="add one there, or paste a key here")
    return text
