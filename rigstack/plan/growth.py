"""By which steps a project's Python packages are installed, so that an added line installs what it adds. Pure.

The steps are no input of an image: they decide how its layers are cut, and never what is in it. install-python, which
does them, ends a build whose steps would not add up to what a single one makes; that build is done again in one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from rigstack.plan.images import Image
from rigstack.render.digest import digest

# Staged file -> its name in a step.
FILES = {
    "requirements.txt": "requirements.txt",
    "constraints.txt": "constraints.txt",
    "pyproject/pyproject.toml": "pyproject.toml",
    "pyproject/uv.lock": "uv.lock",
}
MOST_STEPS = 4  # as many as images/project/Dockerfile has

# The files that one step installs, by name; the steps of one image.
Step = tuple[tuple[str, str], ...]
Chain = tuple[Step, ...]


def ground(image: Image) -> str:
    """A digest of what is below the Python packages: on another ground no step that was done before is in the cache."""
    args = [pair for pair in image.args if pair[0] != "PROJECT"]
    staged = [pair for pair in image.staged if pair[0] in ("apt.txt", "environment.txt")]
    recipe = [pair for pair in image.inputs if pair[0].startswith("images/project/")]
    return digest(json.dumps([args, staged, recipe]))


def single(image: Image) -> Chain:
    """All in one step, or in none where there is nothing to install."""
    now = tuple(sorted((FILES[name], text) for name, text in image.staged if name in FILES and text))
    return (now,) if now else ()


def choose(image: Image, done: tuple[Chain, ...]) -> Chain:
    """The steps for this image; as many as can be are the first ones of a chain in `done` (of the same ground)."""
    chain = single(image)
    if not chain or {"requirements.txt", "pyproject.toml"} <= dict(chain[0]).keys() or image.copies:
        return chain  # two lists of packages, or archives, whose names do not tell what is in them
    (now,) = chain
    same = [one for one in done if one[-1] == now]
    if same:
        return min(same, key=len)
    begun = {one[:length] for one in done for length in range(1, min(len(one), MOST_STEPS - 1) + 1)}
    fitting = [one for one in begun if _extends(now, one[-1])]
    return (*max(fitting, key=lambda one: (len(_lines(one[-1])[0]), -len(one), one), default=()), now)


def choose_all(images: tuple[Image, ...], done: Mapping[str, tuple[Chain, ...]]) -> dict[str, Chain]:
    """Image -> its steps. done: ground -> what was built on it before.

    Where several images start from nothing, the lines that they have in common are a first step of all of them.
    """
    chains = {image.name: choose(image, done.get(ground(image), ())) for image in images}
    new: dict[str, list[str]] = {}
    for image in images:
        chain, below = chains[image.name], ground(image)
        if len(chain) == 1 and chain not in done.get(below, ()) and not image.copies:
            new.setdefault(below, []).append(image.name)
    for names in new.values():
        first = _common([chains[name][0] for name in names])
        for name in names if first and len(names) > 1 else ():
            if _extends(chains[name][0], first):
                chains[name] = (first, *chains[name])
    return chains


def _common(steps: list[Step]) -> Step:
    """A requirements.txt of the lines that all have; nothing where one is not made of lines with a package each."""
    if any({name for name, _ in step} - {"requirements.txt", "constraints.txt"} for step in steps):
        return ()
    told = [_lines(step) for step in steps]
    lines = frozenset.intersection(*(packages for packages, _ in told))
    if not lines or len({options for _, options in told}) > 1 or any(line.endswith("\\") for line in lines):
        return ()
    first = dict(steps[0])
    options = [line for line in first["requirements.txt"].splitlines() if line.strip().startswith("-")]
    return tuple(sorted({**first, "requirements.txt": "\n".join([*options, *sorted(lines), ""])}.items()))


def lay(image: Image, chain: Chain) -> Image:
    """The image with the steps of `chain` staged, as images/project/Dockerfile wants them."""
    rest = tuple(pair for pair in image.staged if pair[0] not in FILES)
    steps = [(f"python/{number}/{name}", text) for number, step in enumerate(chain, 1) for name, text in step]
    return image.replace(
        staged=tuple(sorted((*rest, *steps))),
        copies=tuple(copy.replace(name=f"python/1/{copy.name}") for copy in image.copies),
        args=(*image.args, ("STEPS", str(len(chain)))),
    )


def _extends(now: Step, before: Step) -> bool:
    """Whether `before` names a part of the packages of `now`, and says all else alike."""
    (packages, options), (earlier, earlier_options) = _lines(now), _lines(before)
    return earlier < packages and options == earlier_options


def _lines(step: Step) -> tuple[frozenset[str], frozenset[str]]:
    """What a step installs, a package a line, and everything else that it says."""
    files = dict(step)
    if "uv.lock" in files:
        packages = re.findall(r'^\[\[package\]\]\nname = "(.+)"\nversion = "(.+)"$', files["uv.lock"], re.M)
        return frozenset(f"{name}=={version}" for name, version in packages), frozenset({"uv.lock"})
    if "pyproject.toml" in files:
        import tomllib

        document = tomllib.loads(files["pyproject.toml"])
        project, groups = document.pop("project", {}), document.pop("dependency-groups", {})
        wanted = {*map(str, project.get("dependencies", ())), *(f"dev: {one}" for one in groups.pop("dev", ()))}
        rest = json.dumps([document, groups, project.get("requires-python")], sort_keys=True, default=str)
        return frozenset(wanted), frozenset({rest})
    lines = {line.strip() for line in files.get("requirements.txt", "").splitlines()}
    lines = {line for line in lines if line and not line.startswith("#")}
    options = {line for line in lines if line.startswith("-") and not line.startswith("--hash")}
    return frozenset(lines - options), frozenset(options | {files.get("constraints.txt", "")})
