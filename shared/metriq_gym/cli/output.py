"""What commands print: data on standard output, everything else on standard error."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.console import Console

from metriq_gym.wording import as_json


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
    typer.echo(message, err=True)
