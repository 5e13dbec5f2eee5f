"""The part of the gateway's sshd policy that rig.toml decides; images/gateway/sshd_config includes it first."""

from __future__ import annotations

from rigstack.config.model import Rig

# sshd_config(5): for each keyword the first value obtained is used.
_POST_QUANTUM = "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com"
# sshj, PyCharm's one SSH library (sshj #1022), has no post-quantum exchange yet (sshj #1017).
# Under both its names: libraries of some age know the second only (RFC 8731).
_CLASSIC = "curve25519-sha256,curve25519-sha256@libssh.org"


def render_gateway_policy(rig: Rig) -> str:
    """state/ssh/gateway/policy.conf: which key exchanges a client may use."""
    exchanges = _POST_QUANTUM if rig.access.clients == "modern" else f"{_POST_QUANTUM},{_CLASSIC}"
    return f"KexAlgorithms {exchanges}\n"
