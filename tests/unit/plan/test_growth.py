"""By which steps Python packages are installed: earlier ones are kept where the new lines only add to theirs."""

from __future__ import annotations

import pytest
from builders import DEMO, a_desire

from rigstack.plan.growth import Chain, choose, choose_all, ground, lay
from rigstack.plan.host import Copy
from rigstack.plan.images import Image


def an_image(**files: str) -> Image:
    names = {"requirements": "requirements.txt", "constraints": "constraints.txt", "apt": "apt.txt"}
    names |= {"pyproject": "pyproject/pyproject.toml", "lock": "pyproject/uv.lock"}
    staged = {names[key]: text for key, text in files.items()}
    return a_desire(DEMO, files={"demo": staged}).image("project-demo")


def chain(*texts: str, file: str = "requirements.txt") -> Chain:
    return tuple(((file, text),) for text in texts)


def test_nothing_to_install_is_no_step() -> None:
    assert choose(an_image(), chain("numpy\n")[:0]) == ()
    assert dict(lay(an_image(), ()).args)["STEPS"] == "0"


@pytest.mark.parametrize(
    ("now", "done", "steps"),
    [
        ("numpy\n", [], ["numpy\n"]),
        ("numpy\nsix\n", [["numpy\n"]], ["numpy\n", "numpy\nsix\n"]),
        ("six\n# why\nnumpy\n", [["numpy\n"]], ["numpy\n", "six\n# why\nnumpy\n"]),
        # The most of it; of as much, the fewest steps.
        ("a\nb\nc\n", [["a\n", "a\nb\n"], ["b\n"]], ["a\n", "a\nb\n", "a\nb\nc\n"]),
        ("a\nb\nc\n", [["a\n", "a\nb\n"], ["a\nb\n"]], ["a\nb\n", "a\nb\nc\n"]),
        # What was built before is built the same way.
        ("a\nb\n", [["a\n"], ["a\n", "a\nb\n"]], ["a\n", "a\nb\n"]),
        ("a\nb\n", [["a\nb\n"], ["a\n", "a\nb\n"]], ["a\nb\n"]),
        # No more steps than the Dockerfile has.
        (
            "a\nb\nc\nd\ne\n",
            [["a\n", "a\nb\n", "a\nb\nc\n", "a\nb\nc\nd\n"]],
            ["a\n", "a\nb\n", "a\nb\nc\n", "a\nb\nc\nd\ne\n"],
        ),
        # Gone, or another version: all anew.
        ("numpy\n", [["numpy\nsix\n"]], ["numpy\n"]),
        ("numpy==2.1\nsix\n", [["numpy==2.0\n"]], ["numpy==2.1\nsix\n"]),
        # Hashes are of their lines, options of all.
        ("a==1 \\\n--hash=sha256:0\nb==2 \\\n--hash=sha256:1\n", [["a==1 \\\n--hash=sha256:0\n"]], [
            "a==1 \\\n--hash=sha256:0\n", "a==1 \\\n--hash=sha256:0\nb==2 \\\n--hash=sha256:1\n"]),
        ("--pre\nnumpy\nsix\n", [["numpy\n"]], ["--pre\nnumpy\nsix\n"]),
    ],
)  # fmt: skip
def test_steps_of_a_requirements_txt(now: str, done: list[list[str]], steps: list[str]) -> None:
    assert choose(an_image(requirements=now), tuple(chain(*texts) for texts in done)) == chain(*steps)


def test_other_constraints_are_all_anew() -> None:
    (before,) = choose(an_image(requirements="a\n", constraints="b<2\n"), ())
    assert choose(an_image(requirements="a\nc\n", constraints="b<2\n"), ((before,),))[0] == before
    assert len(choose(an_image(requirements="a\nc\n", constraints="b<3\n"), ((before,),))) == 1


def test_steps_of_a_pyproject_toml() -> None:
    project = '[project]\nname = "x"\nrequires-python = ">=3.11"\ndependencies = {}\n'
    before = chain(project.format('["a>1"]'), file="pyproject.toml")
    now = project.format('[\n  "a>1",\n  "b",\n]')
    assert choose(an_image(pyproject=now), (before,)) == (*before, *chain(now, file="pyproject.toml"))
    assert len(choose(an_image(pyproject=now.replace("3.11", "3.12")), (before,))) == 1
    assert len(choose(an_image(pyproject=now + "[tool.uv]\nprerelease = 'allow'\n"), (before,))) == 1


def test_steps_of_a_uv_lock() -> None:
    lock = '[[package]]\nname = "{}"\nversion = "{}"\nsource = {{ registry = "x" }}\n\n'
    before = choose(an_image(pyproject="[project]\n", lock=lock.format("a", 1)), ())
    grown = choose(an_image(pyproject="[project]\n#\n", lock=lock.format("a", 1) + lock.format("b", 1)), (before,))
    assert grown[:1] == before and len(grown) == 2
    other = lock.format("a", 2) + lock.format("b", 1)
    assert len(choose(an_image(pyproject="[project]\n", lock=other), (before,))) == 1


def test_what_projects_of_one_build_have_in_common_is_installed_once() -> None:
    def chains(*texts: str, done: tuple[Chain, ...] = ()) -> list[Chain]:
        images = tuple(
            an_image(requirements=text).replace(name=f"project-p{n}") for n, text in enumerate(texts) if text
        )
        return list(choose_all(images, {ground(images[0]): done}).values())

    assert chains("numpy\na\n", "b\nnumpy\n") == [chain("numpy\n", "numpy\na\n"), chain("numpy\n", "b\nnumpy\n")]
    assert chains("--pre\nb\na\nc\n", "a\n--pre\nb\n")[0][0] == chain("--pre\na\nb\n")[0]
    # One of them says nothing else; one goes on from what it had; options and hashes are left alone.
    assert chains("a\n", "a\nb\n") == [chain("a\n"), chain("a\n", "a\nb\n")]
    assert chains("a\nb\n", "a\nc\n", done=(chain("a\nb\n"),)) == [chain("a\nb\n"), chain("a\nc\n")]
    assert chains("a\nb\n", "--pre\na\n") == [chain("a\nb\n"), chain("--pre\na\n")]
    hashed = "a==1 \\\n--hash=sha256:0\n"
    assert chains(hashed + "b\n", hashed) == [chain(hashed + "b\n"), chain(hashed)]
    assert chains("a\n", "b\n") == [chain("a\n"), chain("b\n")]


def test_two_lists_and_archives_are_always_one_step() -> None:
    done = (chain("a\n"),)
    assert len(choose(an_image(requirements="a\nb\n", pyproject="[project]\n"), done)) == 1
    with_wheel = an_image(requirements="a\nb\n").replace(copies=(Copy(name="wheels/x.whl", source="/x", digest="0"),))
    assert len(choose(with_wheel, done)) == 1
    assert lay(with_wheel, choose(with_wheel, done)).copies[0].name == "python/1/wheels/x.whl"


def test_steps_are_staged_each_in_its_folder_and_leave_the_tag_alone() -> None:
    image = an_image(requirements="a\nb\n", apt="ffmpeg\n")
    laid = lay(image, choose(image, (chain("a\n"),)))
    assert dict(laid.staged)["python/1/requirements.txt"] == "a\n"
    assert dict(laid.staged)["python/2/requirements.txt"] == "a\nb\n"
    assert "requirements.txt" not in dict(laid.staged)
    assert dict(laid.args)["STEPS"] == "2"
    assert (laid.tag, laid.inputs) == (image.tag, image.inputs)


def test_the_ground_is_all_that_is_below() -> None:
    image = an_image(requirements="a\n", apt="ffmpeg\n")
    assert ground(image) == ground(an_image(requirements="b\n", apt="ffmpeg\n"))
    assert ground(image) != ground(an_image(requirements="a\n", apt="sox\n"))
    assert ground(image) != ground(image.replace(args=(*image.args, ("CUDA", "1"))))
    args = tuple(("PROJECT", "other") if name == "PROJECT" else (name, value) for name, value in image.args)
    assert ground(image) == ground(image.replace(args=args))
