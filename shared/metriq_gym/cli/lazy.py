"""Commands that are known by name and purpose, and imported when they are called.

So the module of a command imports what it needs at its top, and ``mgym --help`` imports none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class LazyCommand(TyperCommand):
    """A command whose function is imported when the command is called, asked for help, or completed."""

    def __init__(self, name: str, target: str, purpose: str) -> None:
        super().__init__(name, help=purpose)
        self.target = target

    def loaded(self) -> TyperCommand:
        """Return the command itself; this imports its module."""
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        single.command(self.name)(load(self.target))
        command = typer.main.get_command(single)
        assert isinstance(command, TyperCommand)  # noqa: S101  (there is only this one, and no callback)
        return command

    def make_context(self, info_name: str | None, args: list[str], *arguments: Any, **extra: Any) -> Any:
        """Return the context of the command itself."""
        command = self.loaded()
        words = load("metriq_gym.cli.words:split_files")(command, args)
        return command.make_context(info_name, words, *arguments, **extra)


def load(target: str) -> Any:
    """Return what ``module:name`` names."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def commands(package: str, table: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Return the commands of a table: by name, where below `package` the function is, and what the command is for."""
    return {name: LazyCommand(name, f"{package}.{where}", purpose) for name, (where, purpose) in table.items()}


def group(name: str, purpose: str, members: dict[str, Any]) -> TyperGroup:
    """Return a command that has commands; without one, it prints its help."""
    return TyperGroup(name=name, help=purpose, commands=members, no_args_is_help=True, rich_markup_mode=None)
