"""The layers keep to themselves: who imports what, who starts processes, who prints, and which exit codes there are."""

from __future__ import annotations

import ast
import functools
import importlib
from pathlib import Path

import click
import pytest

import rigstack
from rigstack.cli import COMMANDS
from rigstack.errors import RigstackError, all_errors

ROOT = Path(rigstack.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "_assets" not in path.parts)
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): tree for path, tree in TREES.items()}


@functools.cache
def imports_of(module: str) -> set[str]:
    """Every module that `module` imports, also inside functions; `from a import b` is a, and a.b if a module."""
    found: set[str] = set()
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            assert node.module is not None
            found |= {
                node.module,
                *(f"{node.module}.{a.name}" for a in node.names if f"{node.module}.{a.name}" in MODULES),
            }
    return found


def reach_of(module: str) -> set[str]:
    """imports_of, followed through rigstack."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        for one in imports_of(waiting.pop()) - reached:
            reached.add(one)
            if one in MODULES:
                waiting.append(one)
    return reached


def starts_with(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


PURE = [module for module in MODULES if starts_with(module, "rigstack.plan", "rigstack.render")]
IMPURE = ("rigstack.engine", "rigstack.host", "rigstack.laptop", "rigstack.cli", "rigstack.process")
EFFECTS = ("subprocess", "socket", "os", "pathlib", "time", "random", "urllib", "shutil", "docker", "click")


def test_there_is_something_to_look_at() -> None:
    assert len(PURE) > 10
    assert "rigstack.process" in MODULES
    assert "rigstack.plan.desired" in reach_of("rigstack.plan.reconcile")
    assert "subprocess" in reach_of("rigstack.cli.up")


@pytest.mark.parametrize("module", PURE)
def test_plan_and_render_are_pure(module: str) -> None:
    reached = reach_of(module)
    assert not {one for one in reached if starts_with(one, *IMPURE, *EFFECTS)}


def test_config_knows_no_engine_and_no_host() -> None:
    for module in (one for one in MODULES if starts_with(one, "rigstack.config")):
        assert not {one for one in reach_of(module) if starts_with(one, *IMPURE)}, module


def test_host_and_engine_know_no_command_line() -> None:
    for module in (one for one in MODULES if starts_with(one, "rigstack.engine", "rigstack.host", "rigstack.laptop")):
        assert not {one for one in reach_of(module) if starts_with(one, "rigstack.cli", "click", "rich")}, module


def test_the_laptop_knows_no_engine_and_no_gpu_host() -> None:
    for module in (one for one in MODULES if starts_with(one, "rigstack.laptop")):
        reached = reach_of(module)
        assert not {one for one in reached if starts_with(one, "rigstack.engine", "rigstack.host", "docker")}, module


def test_only_process_starts_processes() -> None:
    assert {module for module in MODULES if "subprocess" in imports_of(module)} == {"rigstack.process"}
    starters = {"system", "popen", "fork", "execv", "execvp", "execve", "execvpe", "posix_spawn", "spawnv"}
    for module, tree in MODULES.items():
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
        }
        assert not used & starters, module


def test_only_the_console_prints() -> None:
    for module, tree in MODULES.items():
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        prints = calls & {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}
        assert not prints or module == "rigstack.cli.console", module
        assert prints or module != "rigstack.cli.console"


def test_only_the_engine_talks_to_docker() -> None:
    for module in MODULES:
        if imports_of(module) & {"docker", "python_on_whales"}:
            assert starts_with(module, "rigstack.engine"), module


@pytest.mark.parametrize("module", MODULES)
def test_each_module_says_why_it_exists(module: str) -> None:
    text = ast.get_docstring(MODULES[module])
    assert text
    assert text.splitlines()[0].endswith("."), text.splitlines()[0]


def descendants(kind: type[RigstackError]) -> set[type[RigstackError]]:
    below = set(kind.__subclasses__())
    return below.union(*(descendants(one) for one in below)) if below else below


def test_exit_codes_are_distinct() -> None:
    for module in MODULES:
        if not module.endswith("__main__"):
            importlib.import_module(module)
    kinds = descendants(RigstackError)
    assert kinds == set(all_errors()), "a subclass of a subclass has no exit code of its own"
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert not {0, 1} & set(codes)  # done, and an unexpected traceback
    assert {kind.__name__: kind.exit_code for kind in kinds} == {
        "ConfigError": 2,
        "HostError": 3,
        "EngineError": 4,
        "UnhealthyError": 5,
        "LockedError": 6,
        "BuildError": 7,
        "ConsentError": 8,
        "TrustError": 9,
        "ReachError": 10,
        "AccessError": 11,
    }
    assert {kind.__module__ for kind in kinds} == {"rigstack.errors"}


def test_an_error_reads_what_evidence_cause_remedy() -> None:
    error = RigstackError("it broke", cause="rust", remedy="oil it", details=("crack", "bang"))
    assert error.lines() == ["error: it broke", "  crack", "  bang", "  cause: rust", "  next:  oil it"]
    assert RigstackError("it broke").lines() == ["error: it broke"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_explains_itself(name: str) -> None:
    module, attribute, summary = COMMANDS[name]
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert summary.endswith(".")
    commands = [command]
    if isinstance(command, click.Group):
        commands += [command.commands[one] for one in command.commands]
    for one in commands:
        assert one.help, one.name
        for parameter in one.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{one.name} {parameter.name}"


def test_every_command_file_is_listed() -> None:
    listed = {module for module, _, _ in COMMANDS.values()}
    for module, tree in MODULES.items():
        if not starts_with(module, "rigstack.cli") or module == "rigstack.cli":
            continue
        decorated = [
            ast.unparse(decorator)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            for decorator in node.decorator_list
        ]
        if any(text.startswith(("click.command", "click.group")) for text in decorated):
            assert module in listed
