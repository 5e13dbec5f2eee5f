"""The `features` of a devcontainer.json: scripts of a registry that run as root; what to write in their place.

Their list: https://containers.dev/features
"""

from __future__ import annotations

from typing import Any

_THERE = ("common-utils", "git", "git-lfs", "sshd", "jupyterlab")
_ENGINE = ("docker-in-docker", "docker-outside-of-docker", "docker-from-docker", "kubectl-helm-minikube")
_DEBIAN = {
    "node": "nodejs npm",
    "java": "default-jdk-headless",
    "go": "golang",
    "rust": "rustc cargo",
    "ruby": "ruby-full",
    "github-cli": "gh",
    "ffmpeg": "ffmpeg",
    "ffmpeg-apt-get": "ffmpeg",
    "r-apt": "r-base",
    "desktop-lite": "",
}


def report_features(given: Any, *, by_dockerfile: bool) -> list[str]:
    """A line for each feature that the rig does not have already. by_dockerfile: one of theirs makes the image."""
    features = given if isinstance(given, dict) else {}
    return [
        f"features {name}: {remedy}"
        for name, options in features.items()
        if (remedy := _remedy(str(name), options if isinstance(options, dict) else {}, by_dockerfile))
    ]


def _remedy(name: str, options: dict[str, Any], by_dockerfile: bool) -> str:
    word = name.rpartition("/")[2].partition(":")[0].partition("@")[0]
    if word in _THERE:
        return ""
    if word in _ENGINE:
        return "no container of the rig may use the engine: that would be root on the host"
    if word == "python":
        version = str(options.get("version", ""))
        shown = version if version[:2] == "3." else "3.12"
        return f'write python = "{shown}" into [tool.rigstack] of pyproject.toml, or take an image that has it'
    if word == "nvidia-cuda":
        return 'write cuda = "13.0" into [tool.rigstack] of pyproject.toml'
    if word in ("conda", "anaconda", "miniforge", "micromamba", "mamba"):
        return "write the packages into environment.yml"
    packages = _DEBIAN.get(word, "")
    if word in ("apt-packages", "apt-get-packages"):
        packages = " ".join(str(options.get("packages", "")).replace(",", " ").split())
    if by_dockerfile:
        return f"write RUN {f'apt-get install -y {packages}' if packages else '...'} into the Dockerfile"
    return f"write {packages or 'what it installs'} into apt.txt{'' if packages else ', postBuild or a Dockerfile'}"
