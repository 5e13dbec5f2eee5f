"""Changes single settings in the text of a rig.toml, and leaves its comments and everything else as they are."""

from __future__ import annotations

from typing import Any

from rigstack.errors import ConfigError


def with_key(source: str, entry: str) -> str:
    """rig.toml with one more entry in [access] authorized_keys; as it is when the same key is there.

    Raises ConfigError for a text that is not TOML, or has no list where the list should be.
    """
    document, keys = _keys(source)
    if _same(entry) in {_same(str(one)) for one in keys}:
        return source
    keys.append(entry)
    if len(entry) > 40:
        keys.multiline(True)
    return str(document.as_string())


def without_key(source: str, entry: str) -> str:
    """rig.toml without the entry that is exactly `entry`. Raises ConfigError when it is not there."""
    document, keys = _keys(source)
    for number, one in enumerate(keys):
        if str(one) == entry:
            del keys[number]
            return str(document.as_string())
    raise ConfigError(f"access.authorized_keys has no entry {entry[:60]!r}", remedy="rigstack key list")


def _same(entry: str) -> str:
    """What makes two entries one: the key itself, without its comment."""
    return entry if entry.startswith(("github:", "file:")) else " ".join(entry.split()[:2])


def _keys(source: str) -> tuple[Any, Any]:
    import tomlkit
    import tomlkit.exceptions

    try:
        document = tomlkit.parse(source)
    except tomlkit.exceptions.ParseError as broken:
        raise ConfigError(f"rig.toml is not valid TOML: {broken}", remedy="rigstack config check") from None
    if "access" not in document:
        document["access"] = tomlkit.table()
    access: Any = document["access"]
    if "authorized_keys" not in access:
        access["authorized_keys"] = tomlkit.array()
    keys = access["authorized_keys"]
    if not isinstance(keys, list):
        raise ConfigError("rig.toml: access.authorized_keys is not a list", remedy="rigstack config check")
    return document, keys
