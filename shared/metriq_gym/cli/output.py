"""What commands print: data on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def configure_logs(debug: bool) -> None:
    """Send logs to standard error with ``--debug``, and nowhere without: errors come as messages.

    Without it, `session.quiet` does the rest, in those commands that use what logs.
    """
    import logging
    import os

    if debug or os.environ.get("METRIQ_LOG_LEVEL") == "debug":
        from metriq_gym.telemetry import logs

        logs.configure("mgym", "debug", sys.stderr)
        return
    logging.disable(logging.CRITICAL)


def console() -> Console:
    """Return standard output."""
    from rich.console import Console

    return Console()


def emit(document: Any) -> None:
    """Print a document as JSON."""
    import json

    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def emit_line(document: Any) -> None:
    """Print a document as one line of JSON."""
    import json

    typer.echo(json.dumps(document, ensure_ascii=False))


def say(message: str) -> None:
    """Print a message on standard error."""
    typer.echo(message, err=True)
