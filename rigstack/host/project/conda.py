"""Reads an environment.yml: which of its packages are wheels, which are Debian's, and which come with the image anyway.

The file: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html, its specifications:
https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/pkg-specs.html#package-match-specifications.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rigstack.errors import ConfigError
from rigstack.value import Value

# The same thing under another name.
_WHEELS = {
    "pytorch": "torch", "pytorch-cpu": "torch", "pytorch-gpu": "torch", "tensorflow-gpu": "tensorflow",
    "matplotlib-base": "matplotlib", "opencv": "opencv-python-headless", "py-opencv": "opencv-python-headless",
    "pytables": "tables", "msgpack-python": "msgpack", "python-graphviz": "graphviz", "ruamel_yaml": "ruamel.yaml",
    "faiss": "faiss-cpu", "py-xgboost": "xgboost", "pyqt": "PyQt5", "seaborn-base": "seaborn", "dask-core": "dask",
    "astropy-base": "astropy", "jupyterlab_widgets": "jupyterlab-widgets",
}  # fmt: skip
# Comes with the image, with the setting cuda, or inside the wheels themselves.
_PRESENT = re.compile(
    r"python|pip|setuptools|wheel|conda|mamba|uv|nomkl|mkl.*|blas|libblas|openblas|intel-openmp|cudatoolkit|cudnn|nccl"
    r"|cuda-.*|pytorch-cuda|pytorch-mutex|ca-certificates|openssl|sqlite|readline|ncurses|tk|zlib|xz|bzip2|libffi"
    r"|ld_impl_.*|lib(gcc|stdcxx|gomp|gfortran|uuid|sqlite|zlib|expat|mpdec|lzma|nsl|ffi).*|_.*|tzdata|python_abi"
    r"|git|curl|gcc|gxx|c-compiler|cxx-compiler|compilers|make|tmux|vim|rsync"
)
# Debian has it, under this name.
_DEBIAN = {
    "ffmpeg": "ffmpeg", "graphviz": "graphviz", "cmake": "cmake", "ninja": "ninja-build", "wget": "wget",
    "nodejs": "nodejs", "openjdk": "default-jre-headless", "pandoc": "pandoc", "libgl": "libgl1",
    "gfortran": "gfortran", "hdf5": "libhdf5-dev", "fftw": "libfftw3-dev", "gsl": "libgsl-dev", "sox": "sox",
    "libsndfile": "libsndfile1", "poppler": "poppler-utils", "tesseract": "tesseract-ocr", "imagemagick": "imagemagick",
    "r-base": "r-base", "texlive-core": "texlive", "eigen": "libeigen3-dev", "boost": "libboost-all-dev",
}  # fmt: skip
_KEYS = {"name", "channels", "dependencies", "prefix", "platforms", "category", "variables"}
# What they have is in the package index too.
_CHANNELS = {"conda-forge", "defaults", "nodefaults", "anaconda", "main", "pytorch", "nvidia"}
# What the base system has, and what can be had where that does not fit, the newest first.
_OWN_PYTHON = (3, 13)
_PYTHONS = ((3, 14), (3, 12), (3, 11), (3, 10), (3, 9))


class CondaEnvironment(Value):
    """wheels: conda's name -> the requirement for pip. debian: conda's name -> Debian's, for what is no Python package.

    pip: the lines of its pip part. python: "3.12", or "" when the image's own fits. notes: what of it is not honoured.
    """

    wheels: tuple[tuple[str, str], ...] = ()
    debian: tuple[tuple[str, str], ...] = ()
    pip: tuple[str, ...] = ()
    python: str = ""
    notes: tuple[str, ...] = ()


def parse_environment(path: Path, text: str) -> CondaEnvironment:
    """What an environment.yml asks for. Raises ConfigError that names the line or the specification that is wrong."""
    document = _load(path, text)
    listed = document.get("dependencies") or []
    if not isinstance(listed, list):
        raise ConfigError(f"{path}: dependencies is not a list", remedy="write each package after a dash")
    wheels: dict[str, str] = {}
    debian: dict[str, str] = {}
    pip: list[str] = []
    python = ""
    for one in listed:
        if isinstance(one, dict) and set(one) == {"pip"} and isinstance(one["pip"], list | None):
            pip += [str(line) for line in one["pip"] or ()]
        elif isinstance(one, str) and one.strip():
            name, versions = _specification(path, one)
            if name == "python":
                python = _python(path, one, versions)
            elif name in _DEBIAN:
                debian[name] = _DEBIAN[name]
            elif not _PRESENT.fullmatch(name):
                wheels[name] = _WHEELS.get(name, name) + ",".join(versions)
        else:
            raise ConfigError(
                f"{path}: dependencies: {one!r} is no package",
                remedy='it is text such as "numpy=2.1", or pip: and a list',
            )
    return CondaEnvironment(
        wheels=tuple(wheels.items()),
        debian=tuple(debian.items()),
        pip=tuple(pip),
        python=python,
        notes=tuple(f"{path.name}: {note}" for note in _notes(document)),
    )


def _load(path: Path, text: str) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as broken:
        mark = getattr(broken, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        what = getattr(broken, "problem", None) or "it cannot be read"
        raise ConfigError(f"{path} is not valid YAML{where}: {what}", remedy="mend that line") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path} has no list of dependencies", remedy="dependencies: and each package after a dash")
    return document


def _notes(document: dict[str, Any]) -> Iterable[str]:
    if variables := document.get("variables"):
        names = ", ".join(variables) if isinstance(variables, dict) else str(variables)
        yield f"variables are not honoured: write {names} into env of [tool.rigstack] or rig.toml"
    channels = document.get("channels") or []
    others = [str(one) for one in channels if one not in _CHANNELS] if isinstance(channels, list) else []
    if others:
        yield f"channels {', '.join(others)}: packages come from the package index; see index in [projects.NAME]"
    for key in document:
        if key not in _KEYS:
            yield f"{key} is not honoured: rigstack does not know it"


def _specification(path: Path, spec: str) -> tuple[str, tuple[str, ...]]:
    """conda's "channel::name=1.2=build" as its name and the conditions on its version as pip writes them."""
    wrong = ConfigError(
        f"{path}: {spec!r} cannot be told to pip",
        cause="a version is =1.2, ==1.2.3, >=1.2,<2 or 1.2.*",
        remedy="write it so, or into the list below pip:",
    )
    bare = spec.rpartition("::")[2].strip()
    found = re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(.*?)\s*(?:\[(.*)\])?", bare)
    if found is None:
        raise wrong
    name, rest, brackets = found.group(1).lower(), found.group(2), found.group(3) or ""
    if inner := re.search(r"version\s*=\s*[\"']?([^\"'\]]+)[\"']?", brackets):
        rest = inner.group(1).strip()
    rest = re.sub(r"^(==?)\s+", r"\1", rest)
    if not rest or rest == "*":
        return name, ()
    # The build, after a second "=" or a blank, is of no meaning for wheels.
    plain = re.fullmatch(r"(==|=)?\s*([\w.!+*]+)(?:(?:=|\s+)[\w.*]+)?", rest)
    if plain:
        sign, version = plain.groups()
        return name, () if version == "*" else (_exact(sign or "", version, with_build="=" in rest[2:] or " " in rest),)
    conditions = tuple(re.sub(r"\s+", "", one) for one in rest.split(","))
    if not all(re.fullmatch(r"(==|!=|<=|>=|~=|<|>|=)?[\w.!+*]+", one) for one in conditions):
        raise wrong
    return name, tuple(
        one if re.match(r"[!<>~]|==", one) else _exact("=" if one[0] == "=" else "", one.lstrip("="), with_build=False)
        for one in conditions
    )


def _exact(sign: str, version: str, *, with_build: bool) -> str:
    """One "=" leaves open what follows, unless a build is named too; "1.2.*" does so in any form."""
    if version.endswith("*"):
        return f"=={version.rstrip('*').rstrip('.')}.*"
    return f"=={version}.*" if sign == "=" and not with_build else f"=={version}"


def _python(path: Path, spec: str, versions: tuple[str, ...]) -> str:
    """The Python to take, "" for the image's own."""
    if all(_fits(_OWN_PYTHON, one) for one in versions):
        return ""
    for python in _PYTHONS:
        if all(_fits(python, one) for one in versions):
            return ".".join(map(str, python))
    raise ConfigError(f"{path}: there is no Python for {spec!r}", remedy="name one from 3.9 on, such as python=3.12")


def _fits(python: tuple[int, int], condition: str) -> bool:
    """Whether some release of this minor version meets one condition."""
    found = re.fullmatch(r"(==|!=|<=|>=|~=|<|>)(\d+)(?:\.(\d+))?(\..*)?", condition)
    if found is None:
        return False
    sign, major, minor, more = found.groups()
    wanted = (int(major), int(minor)) if minor and minor != "*" else (int(major),)
    here = python[: len(wanted)]
    match sign:
        case "==":
            return here == wanted
        case "!=":
            return here != wanted or bool(more and more != ".*")
        case "~=":
            return here == wanted if more else python[0] == wanted[0] and python >= wanted
        case "<":
            return python < wanted if not more else python <= wanted
        case "<=":
            return here <= wanted
        case ">":
            return here > wanted or (bool(more) and here == wanted)
        case _:
            return here >= wanted
