"""A container keeps exactly its GPUs when the engine is killed and started again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rigstack.host.devices import KIND
from tests.live_rig import wait_for
from tests.nvml_stub import NvmlStub, a_gpu, build, gpus
from tests.own_engine import OwnEngine

NAMES = ("GPU-aaaa-00", "GPU-aaaa-01")
# A whole image in one file: waits until it is stopped.
PROGRAM = "#include <signal.h>\n#include <unistd.h>\nint main(void) { signal(SIGTERM, _exit); for (;;) pause(); }\n"


def test_a_gpu_is_kept_across_a_crash_of_the_engine(own_engine: OwnEngine, tmp_path: Path) -> None:
    engine = own_engine
    devices = [{"name": n, "containerEdits": {"env": [f"MADE_UP_GPU={n}"]}} for n in NAMES]
    (engine.folder / "cdi/gpus.json").write_text(json.dumps({"cdiVersion": "0.5.0", "kind": KIND, "devices": devices}))
    engine.start()
    subprocess.run(
        ["gcc", "-static", "-x", "c", "-", "-o", str(tmp_path / "wait")], input=PROGRAM, text=True, check=True
    )
    image = subprocess.run(["tar", "-C", str(tmp_path), "-c", "wait"], capture_output=True, check=True).stdout
    engine.docker("import", "--change", 'CMD ["/wait"]', "-", "waits:1", stdin=image)
    for number, name in enumerate(NAMES):
        ours = {"rig": "box", "project": f"p{number}", "role": "workspace", "gpus": name, "gpu_sharing": "exclusive"}
        labels = [f"--label=rigstack.{key}={value}" for key, value in ours.items()]
        start = ("run", "--detach", "--restart=always", "--network=none", f"--name=p{number}", *labels)
        engine.docker(*start, "--device", f"{KIND}={name}", "waits:1")

    def given() -> dict[str, str]:
        """container -> the made-up GPU in its first process's environment."""
        found = {}
        for number in range(len(NAMES)):
            pid = engine.docker("inspect", "--format={{.State.Pid}}", f"p{number}")
            pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0") if pid != "0" else []
            found[f"p{number}"] = next((p.partition("=")[2] for p in pairs if p.startswith("MADE_UP_GPU=")), "")
        return found

    wanted = {"p0": NAMES[0], "p1": NAMES[1]}
    assert given() == wanted
    before = engine.docker("inspect", "--format={{.State.StartedAt}}", "p0", "p1")
    engine.kill()
    engine.start()
    wait_for("containers run again", lambda: given() == wanted, timeout=60)
    assert engine.docker("inspect", "--format={{.State.StartedAt}}", "p0", "p1") != before, "it was a real crash"

    stub = NvmlStub(build(tmp_path / "nvml"), tmp_path)
    stub.set(gpus(2) | a_gpu(0, uuid=NAMES[0]) | a_gpu(1, uuid=NAMES[1]))
    words = (sys.executable, "-m", "rigstack", "gpus", "--json")
    shown = json.loads(subprocess.run(words, env={**engine.env, **stub.env}, capture_output=True, check=True).stdout)
    assert [[one["project"] for one in gpu["given_to"]] for gpu in shown["gpus"]] == [["p0"], ["p1"]]
    engine.docker("rm", "--force", "p0", "p1")
