"""The bake file: every image of a plan in one build call, the engine builds side by side what it can."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rigstack.plan.images import Image


def render_bake(
    images: tuple[Image, ...],
    *,
    assets: str,
    staging: str,
    secrets: Mapping[str, str],
    arguments: Mapping[str, str],
    network_arguments: Mapping[str, str],
) -> str:
    """A bake definition (docs.docker.com/build/bake/reference) in JSON.

    staging: the folder with one staged context per project image. secrets: id -> file.
    arguments: the edge's, unless it has them (where its Caddy comes from).
    network_arguments: proxies, which leave no trace.
    """
    names = {image.name for image in images}
    targets = {
        image.name: _target(image, names, assets, staging, secrets, arguments, network_arguments) for image in images
    }
    definition = {"group": {"default": {"targets": sorted(targets)}}, "target": targets}
    return json.dumps(_literal(definition), indent=2) + "\n"


def _literal(value: Any) -> Any:
    """The same with every text as it is: bake reads JSON as HCL, which interpolates ${...} and %{...} in values.

    Source: the escapes of https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#template-expressions
    """
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, dict):
        return {key: _literal(one) for key, one in value.items()}
    return [_literal(one) for one in value] if isinstance(value, list) else value


def _target(
    image: Image,
    names: set[str],
    assets: str,
    staging: str,
    secrets: Mapping[str, str],
    arguments: Mapping[str, str],
    network_arguments: Mapping[str, str],
) -> dict[str, Any]:
    args = {**dict(image.args), **network_arguments}
    if image.name == "edge":
        args = {**arguments, **args}
    target: dict[str, Any] = {
        "dockerfile": f"{assets}/images/{image.dockerfile}/Dockerfile"
        if image.dockerfile
        else f"{staging}/{image.name}.Dockerfile",
        "context": f"{assets}/images/{image.context}" if image.context else f"{staging}/{image.name}",
        "tags": [image.built_tag],
        "args": args,
        "labels": {
            "rigstack.image": image.name,
            "rigstack.inputs": json.dumps(dict(image.inputs), sort_keys=True),
            **({"rigstack.lines": json.dumps(lines, sort_keys=True)} if (lines := image.lines()) else {}),
        },
        "secret": [f"id={name},src={path}" for name, path in sorted(secrets.items())],
        "output": ["type=docker"],
    }
    contexts = {_familiar(name): f"docker-image://{_bare(name)}@{digest}" for name, digest in image.held}
    if image.context:
        contexts["shared"] = f"{assets}/images/shared"
    if image.parent in names:
        contexts[image.parent_tag] = f"target:{image.parent}"
    if contexts:
        target["contexts"] = contexts
    if image.target:
        target["target"] = image.target
    return target


def _familiar(image: str) -> str:
    """The name under which BuildKit looks for what stands in for an image that a Dockerfile names.

    Source: dockerui.Client.NamedContext of https://github.com/moby/buildkit
    """
    return image.removeprefix("docker.io/").removeprefix("library/").removesuffix(":latest")


def _bare(image: str) -> str:
    """The image's name without its tag: the digest says more."""
    return re.sub(r":[^:/]+$", "", image)
