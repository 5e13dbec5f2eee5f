"""A real authoritative name server (BIND) for one test zone, in a World."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from tests.world import World

KEY_NAME = "rig-key"
KEY_SECRET = base64.b64encode(b"a TSIG secret of a test").decode()


class NameServer:
    """Serves `zone` on port 53 of the world's addresses; updates need the TSIG key, or come from its own loopback."""

    def __init__(self, world: World, zone: str, address: str) -> None:
        self.world, self.zone = world, zone
        folder = world.folder / "named"
        folder.mkdir()
        folder.chmod(0o777)
        (folder / "zone").write_text(
            f"$TTL 2\n@ IN SOA ns.{zone}. admin.{zone}. 1 60 60 60 2\n  IN NS ns.{zone}.\nns IN A {address}\n"
        )
        (folder / "zone").chmod(0o666)
        (folder / "named.conf").write_text(
            f"""options {{ directory "{folder}"; pid-file none; session-keyfile none; recursion no;
  listen-on {{ any; }}; listen-on-v6 {{ none; }}; dnssec-validation no; notify no; }};
controls {{ }};
key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{KEY_SECRET}"; }};
zone "{zone}" {{ type primary; file "{folder}/zone"; allow-update {{ key "{KEY_NAME}"; 127.0.0.1; {address}; }}; }};
"""
        )
        world.start("named", "-g", "-n", "1", "-c", str(folder / "named.conf"))
        world.wait_for_port(53)

    @classmethod
    def running(cls, world: World, zone: str) -> NameServer:
        """The one that was started in this world before."""
        there = cls.__new__(cls)
        there.world, there.zone = world, zone
        return there

    def address_of(self, name: str, kind: str = "A") -> str:
        """What the zone says, asked at the server itself."""
        asked = self.world.inside("dig", "+short", "@127.0.0.1", kind, name)
        return subprocess.run(asked, capture_output=True, text=True, timeout=20).stdout.strip()

    def set(self, name: str, address: str) -> None:
        """Sets the name's address by hand."""
        commands = (
            f"server 127.0.0.1\nzone {self.zone}\nupdate delete {name} A\nupdate add {name} 2 A {address}\nsend\n"
        )
        subprocess.run(self.world.inside("nsupdate"), input=commands, text=True, check=True, timeout=20)


def password_file(folder: Path) -> Path:
    """A file that holds the TSIG secret."""
    path = folder / "tsig-secret"
    path.write_text(KEY_SECRET + "\n")
    return path
