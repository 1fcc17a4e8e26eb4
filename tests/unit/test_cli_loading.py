"""Commands are imported when they are called: help is quick, and imports stand at the top of each module."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

import metriq_gym
from metriq_gym.cli import COMMANDS
from metriq_gym.cli.lazy import LazyCommand, load

ROOMS = [Path(metriq_gym.__file__).parent / room for room in ("cli", "terminal", "operations")]
HEAVY = ("aio_pika", "aiohttp", "httpx", "matplotlib", "motor", "numpy", "pymongo", "qiskit", "rich")


def lazy_commands(tree: dict[str, Any], path: str = "mgym") -> Iterator[Any]:
    for name, command in tree.items():
        if isinstance(command, TyperGroup):
            yield from lazy_commands(dict(command.commands), f"{path} {name}")
        else:
            yield pytest.param(command, id=f"{path} {name}")


def loaded_by(*arguments: str) -> set[str]:
    """The modules that a command loads in an interpreter of its own."""
    code = f"""
import json, sys
from metriq_gym.cli import main
sys.argv = ["mgym", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
print("\\n" + json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.parametrize("group", [[], ["job"], ["suite"], ["dead"]])
def test_help_loads_no_command_and_nothing_heavy(group: list[str]) -> None:
    loaded = loaded_by(*group, "--help")
    assert loaded.isdisjoint(HEAVY)
    assert not [name for name in loaded if name.startswith("metriq_gym.cli.") and name != "metriq_gym.cli.lazy"]


@pytest.mark.slow
def test_a_command_that_looks_at_jobs_loads_nothing_that_computes_or_draws() -> None:
    loaded = loaded_by("job", "list", "--help")
    assert "metriq_gym.cli.job.list" in loaded
    assert loaded.isdisjoint({"aio_pika", "httpx", "matplotlib", "numpy", "qiskit"})


@pytest.mark.parametrize("command", list(lazy_commands(COMMANDS)))
def test_the_purpose_in_the_list_is_the_first_sentence_of_the_command(command: LazyCommand) -> None:
    assert isinstance(command, LazyCommand)
    first, _, _ = (inspect.getdoc(load(command.target)) or "").partition("\n")
    assert first.startswith(str(command.help))
    assert command.loaded().name == command.name


def test_imports_stand_at_the_top_of_each_module() -> None:
    found = [
        f"{path}:{node.lineno}"
        for room in ROOMS
        for path in room.rglob("*.py")
        for outer in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(outer)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert found == []
