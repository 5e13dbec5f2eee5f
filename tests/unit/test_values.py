"""Values are frozen, compare by content, hide what is secret; processes come back with what they printed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rigstack import process
from rigstack.secret import Secret
from rigstack.value import Value


class Port(Value):
    number: int
    open: bool = False


class NamedPort(Port):
    name: str
    _hidden = frozenset({"name"})


def test_fields_and_defaults() -> None:
    assert (Port(number=22).number, Port(number=22).open) == (22, False)
    assert NamedPort(number=22, name="ssh").name == "ssh"
    for wrong in ({}, {"open": True}, {"number": 22, "colour": "red"}):
        with pytest.raises(TypeError):
            Port(**wrong)  # type: ignore[arg-type]


def test_frozen() -> None:
    port = Port(number=22)
    with pytest.raises(AttributeError, match="number cannot be set"):
        port.number = 23  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del port.number
    assert port.replace(number=23) == Port(number=23)
    assert port == Port(number=22)


def test_equal_by_kind_and_content() -> None:
    assert Port(number=22) == Port(number=22, open=False)
    assert Port(number=22) != Port(number=22, open=True)
    assert Port(number=22) != NamedPort(number=22, name="")
    assert len({Port(number=22), Port(number=22), Port(number=23)}) == 2


def test_repr_hides_what_is_named_hidden() -> None:
    assert repr(Port(number=22)) == "Port(number=22, open=False)"
    assert repr(NamedPort(number=22, name="hunter2")) == "NamedPort(number=22, open=False)"


def test_secrets_compare_and_hide() -> None:
    assert Secret("x") == Secret("x") != Secret("y")
    assert "hunter2" not in repr({"password": Secret("hunter2")})


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_process_that_ends() -> None:
    done = process.run(python("import sys; print(input()); print('e', file=sys.stderr); sys.exit(3)"), stdin="in\n")
    assert (done.status, done.ok, done.stdout, done.stderr) == (3, False, "in\n", "e\n")
    assert done.tail() == ("e",)
    assert process.run(python("print(1)")).tail() == ("1",)


def test_a_process_without_input_gets_none_of_ours() -> None:
    assert process.run(python("import sys; print(repr(sys.stdin.read()))")).stdout == "''\n"


def test_a_process_that_takes_too_long_or_is_not_there() -> None:
    late = process.run(python("import time; time.sleep(30)"), timeout=0.1)
    assert (late.status, late.ok) == (124, False)
    with pytest.raises(FileNotFoundError):
        process.run(("no-such-program",))


def test_environment_and_folder(tmp_path: Path) -> None:
    code = "import os; print(os.environ['A'], 'PATH' in os.environ, os.getcwd())"
    assert process.run(python(code), env={"A": "b"}, cwd=str(tmp_path)).stdout == f"b True {tmp_path}\n"
    assert "A" not in os.environ


def test_lines_come_as_they_are_printed() -> None:
    lines: list[str] = []
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr); print(b'\\xff'); sys.exit(4)"
    assert process.stream(python(code), lines.append) == 4
    assert lines == ["out", "err", "b'\\xff'"]


def test_argv_is_shown_as_it_would_be_typed() -> None:
    assert process.quote(("echo", "a b", "$x", "it's")) == "echo 'a b' '$x' 'it'\"'\"'s'"
