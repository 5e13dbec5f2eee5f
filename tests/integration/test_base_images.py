"""The images that a Dockerfile names stay the very ones that they were, until they are moved on purpose."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import MakeRig
from tests.live_rig import docker
from tests.registry import registry

# Debian packages that rigstack adds to an image are in the rig's own base already: the builds here are short.
STRIPPED = "rm -rf /opt/jupyter /usr/local/bin/* /usr/local/lib/rigstack"
ASK = "cat /etc/edition /etc/tool"


def short(digest: str) -> str:
    return digest[: len("sha256:") + 12]


def test_the_images_of_a_dockerfile_move_when_told_to_and_not_before(make_rig: MakeRig, tmp_path: Path) -> None:
    base = docker("image", "ls", "rigstack/base", "--format={{.Repository}}:{{.Tag}}").split()[0]
    rig = make_rig()
    with registry(tmp_path) as theirs:
        system, tool = f"{theirs.address}/system:1", f"{theirs.address}/tool"

        def push(edition: str) -> tuple[str, str]:
            written = f"FROM {base} AS made\nUSER root\nRUN {STRIPPED}; echo {edition} > /etc/edition\n"
            return (
                theirs.push("system:1", written),
                theirs.push("tool", f"{written}FROM scratch\nCOPY --from=made /etc/edition /said\n"),
            )

        def locked() -> dict[str, str]:
            made: dict[str, str] = json.loads(rig.run("image", "why", "demo", "--json").stdout)["inputs"]
            return {name: value for name, value in made.items() if name.startswith("FROM ")}

        first = push("one")
        dockerfile = rig.code() / "Dockerfile"
        dockerfile.write_text(f"FROM {system} AS tool\nFROM tool\nCOPY --from={tool} /said /etc/tool\n")
        rig.up()
        rig.pin_host_keys()
        assert rig.ssh("demo", ASK).stdout == "one\none\n"
        assert locked() == {f"FROM {system}": first[0], f"FROM {tool}": first[1]}

        second = push("two")
        assert "nothing to do" in rig.up().stdout
        dockerfile.write_text(dockerfile.read_text() + "RUN echo three > /etc/three\n")
        rig.up()
        assert rig.ssh("demo", ASK + " /etc/three").stdout == "one\none\nthree\n"

        said = rig.up("--pull", "demo").stderr
        for image, old, new in zip((system, tool), first, second, strict=True):
            assert f"FROM {image}: {short(old)} -> {short(new)}" in said
        assert rig.ssh("demo", ASK).stdout == "two\ntwo\n"
        assert locked() == {f"FROM {system}": second[0], f"FROM {tool}": second[1]}

    silent = rig.up("--pull", "demo")
    assert f"{system} stays as it is: " in silent.stderr
    assert "nothing to do" in silent.stdout
