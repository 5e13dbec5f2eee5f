"""What buildx prints in plain mode when builds fail, shortened; the form is that of buildx 0.29 with BuildKit 0.24."""

from __future__ import annotations

START = """\
#0 building with "default" instance using docker driver

#1 [internal] load local bake definitions
#1 reading /rig/state/build/bake.json 4.77kB / 4.77kB done
#1 DONE 0.0s
#0 building with "default" instance using docker driver

#1 [project-demo internal] load build definition from Dockerfile
#1 transferring dockerfile: 3.38kB done
#1 DONE 0.0s

#7 [gateway internal] load metadata for docker.io/rigstack/debian:trixie
#7 DONE 0.0s

#9 [base packages 1/2] FROM docker.io/rigstack/debian:trixie
#9 CACHED

#12 [gateway stage-0 2/4] RUN --mount=type=cache,id=rigstack-apt-trixie,target=/var/cache/apt,sharing=locked     \
--mount=type=secret,id=ca_bundle,mode=0444     ./apt-install openssh-server
#12 0.310 Get:1 http://mirror.example.org/debian trixie InRelease [140 kB]
"""

_MOUNTS = "--mount=type=cache,id=rigstack-uv,target=/root/.cache/uv     --mount=type=secret,id=ca_bundle,mode=0444     "


def _failed(vertex: int, title: str, lines: str, ending: str, dockerfile_line: int) -> str:
    """The tail of a failing step: interrupted by another step in the middle, then the summary that buildx repeats."""
    first, _, rest = lines.partition("\n")
    numbered = "".join(f"#{vertex} {line}\n" for line in rest.splitlines())
    return (
        f"\n#{vertex} {title}\n#{vertex} {first}\n#{vertex} ...\n"
        "\n#12 [gateway stage-0 2/4] RUN --mount=type=cache,id=rigstack-apt-trixie,target=/var/cache/apt,sharing=locked"
        "     --mount=type=secret,id=ca_bundle,mode=0444     ./apt-install openssh-server\n"
        "#12 1.902 Setting up openssh-server ...\n#12 DONE 2.1s\n"
        f"\n#{vertex} {title}\n{numbered}"
        f"#{vertex} ERROR: {ending}\n------\n > {title}:\n{rest}\n------\n"
        f"Dockerfile:{dockerfile_line}\n--------------------\n  38 |     \n  39 | >>> RUN --mount=type=cache\n"
        f"--------------------\nERROR: target project-demo: failed to solve: {ending}\n\n"
    )


def exit_of(code: int, command: str) -> str:
    return f'process "/bin/sh -c {command}" did not complete successfully: exit code: {code}'


INSTALL_PYTHON = "/usr/local/lib/rigstack/install-python /opt/inputs /opt/before"


def _python(step: int, words: str) -> str:
    title = (
        f"[project-demo python-{step} 1/1] RUN {_MOUNTS}--mount=type=bind,source=python/{step},target=/opt/inputs     "
    )
    return START + _failed(20, title + INSTALL_PYTHON, words, exit_of(1, INSTALL_PYTHON), 39)


REQUIREMENTS = _python(
    1,
    "0.402 Using Python 3.13.5 environment at: /opt/env\n"
    "0.911   \N{MULTIPLICATION SIGN} No solution found when resolving dependencies:\n"
    "0.911   ╰─▶ Because nunpy was not found in the package registry and you require\n"
    "0.911       nunpy, we can conclude that your requirements are unsatisfiable.\n"
    "0.912 rigstack: cannot install requirements.txt",
)

# A step on top of an earlier one, which has another version of something.
NO_ADDITION = _python(2, "0.402 rigstack: not an addition: numpy scipy")

APT = START + _failed(
    18,
    "[project-demo stage-0 3/9] RUN --mount=type=cache,id=rigstack-apt-trixie,target=/var/cache/apt,sharing=locked     "
    "--mount=type=bind,source=apt.txt,target=/opt/inputs/apt.txt     /usr/local/lib/rigstack/install-packages "
    "/opt/inputs/apt.txt",
    "0.231 Hit:1 http://mirror.example.org/debian trixie InRelease\n"
    "1.004 Reading package lists...\n"
    "1.410 E: Unable to locate package ffmpge",
    exit_of(100, "/usr/local/lib/rigstack/install-packages /opt/inputs/apt.txt"),
    24,
)

POST_BUILD = START + _failed(
    23,
    f"[project-demo stage-0 8/9] RUN {_MOUNTS}--mount=type=bind,source=postBuild,target=/opt/inputs/postBuild     "
    'if [ -s /opt/inputs/postBuild ]; then PATH="/opt/env/bin:/opt/cuda/bin:${PATH}" bash /opt/inputs/postBuild; fi',
    "0.114 + jupyter labextension list\n0.115 /opt/inputs/postBuild: line 3: jupiter: command not found",
    exit_of(127, "if [ -s /opt/inputs/postBuild ]; then bash /opt/inputs/postBuild; fi"),
    63,
)

PYPROJECT = _python(
    1,
    "0.114 Resolved 3 packages\n0.120 error: The lockfile at `uv.lock` needs to be updated\n"
    "0.121 rigstack: cannot install uv.lock",
)

# The engine's own disk is full: BuildKit says it, in Go's words.
FULL_ENGINE = START + (
    "\n#24 [project-demo] exporting to image\n#24 exporting layers\n"
    "#24 ERROR: failed to copy: write /var/lib/docker/tmp/x: no space left on device\n"
    "------\n > [project-demo] exporting to image:\n------\n"
    "ERROR: target project-demo: failed to solve: write /var/lib/docker/tmp/x: no space left on device\n"
)


def said_in_a_step(words: str) -> str:
    """A program inside a step fails, and says so in its own words."""
    return _python(1, f"0.402 Resolved 40 packages\n9.000 {words}\n9.000 rigstack: cannot install requirements.txt")


GATEWAY = START + (
    "#12 1.902 E: Failed to fetch http://mirror.example.org/debian/pool/o/openssh  Temporary failure resolving\n"
    f"#12 ERROR: {exit_of(100, './apt-install openssh-server')}\n\n"
    f"#20 [project-demo python-1 1/1] RUN --mount=type=bind,source=python/1,target=/opt/inputs {INSTALL_PYTHON}\n"
    "#20 0.402 Using Python 3.13.5 environment at: /opt/env\n#20 CANCELED\n"
    "------\n > [gateway stage-0 2/4] RUN ./apt-install openssh-server:\n------\n"
    f"ERROR: target gateway: failed to solve: {exit_of(100, './apt-install openssh-server')}\n"
)

# Fails before any step: there is no such file, or bake itself refuses.
BEFORE_ANY_STEP = "ERROR: failed to find target project-demo\n"
