"""Which images of elsewhere a Dockerfile names."""

from __future__ import annotations

import pytest

from rigstack.plan.dockerfile import base_images


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM debian:12\n", ["debian:12"]),
        ("# FROM a\nfrom --platform=linux/amd64 localhost:5000/a/b:1 as x\n", ["localhost:5000/a/b:1"]),
        ("FROM debian AS debian\nFROM debian\n", ["debian"]),
        ("FROM a AS one\nFROM one AS Two\nFROM two\nFROM scratch\n", ["a"]),
        ("FROM a\nCOPY --from=b:1 --chown=1 /x /y\nCOPY --from=0 /x /y\n", ["a", "b:1"]),
        ("FROM a\nRUN --mount=type=bind,from=b:2,target=/m \\\n  # why\n  true\n", ["a", "b:2"]),
        ("FROM a@sha256:00\n", []),
        ("FROM a\nRUN <<END\nFROM users\nEND\nFROM b\n", ["a", "b"]),
        ('ARG V=3.12\nARG OS="slim" X\nFROM python:${V}-$OS\n', ["python:3.12-slim"]),
        ("ARG N=python\nARG I=$N:3\nFROM $I\n", ["python:3"]),
        ("ARG V\nFROM python:${V:-3.11}\nFROM x:$V\n", ["python:3.11"]),
        ("FROM a\nARG V=1\nFROM b:$V\n", ["a"]),
    ],
)
def test_images_that_a_dockerfile_names(text: str, images: list[str]) -> None:
    assert list(base_images(text, {})) == images


def test_build_arguments_win() -> None:
    assert base_images("ARG V=1\nARG W\nFROM a:$V\nFROM b:$W\n", {"V": "2", "W": "3"}) == ("a:2", "b:3")
