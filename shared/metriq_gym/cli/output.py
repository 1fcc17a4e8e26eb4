"""What commands print: data on standard output, everything else on standard error."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.console import Console

from metriq_gym.terminal.lines import tell as tell_on
from metriq_gym.terminal.lines import wrapped
from metriq_gym.wording import as_json

_ANSWER = len(" [y/N]: y")
"""Characters that come behind a question."""


def console() -> Console:
    """Return standard output."""
    return Console()


def emit(document: Any) -> None:
    """Print a document as JSON."""
    typer.echo(as_json(document))


def emit_line(document: Any) -> None:
    """Print a document as one line of JSON."""
    typer.echo(json.dumps(document, ensure_ascii=False))


def say(message: str) -> None:
    """Print a message on standard error."""
    tell_on(Console(stderr=True), message)


def tell(message: str) -> None:
    """Print a message on standard output, for commands whose data are words."""
    tell_on(console(), message)


def confirm(question: str) -> bool:
    """Ask on standard error; raises `typer.Abort` if the answer is no."""
    there = Console(stderr=True)
    return typer.confirm("\n".join(wrapped(question, there.width - _ANSWER)), abort=True, err=True)
