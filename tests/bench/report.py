"""How measurements are printed: tables to standard output, progress to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from math import ceil
from statistics import median

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

_WIDTH = 140  # of a table that does not go to a terminal
_started = time.monotonic()


def show_machine() -> None:
    """Print what the numbers depend on."""
    memory = psutil.virtual_memory().total / 2**30
    load = " ".join(f"{each:.1f}" for each in psutil.getloadavg())
    python = ".".join(map(str, sys.version_info[:3]))
    _console().print(
        f"{psutil.cpu_count()} cores, {memory:.0f} GiB, Python {python}; load average at the start: {load}"
    )


def progress(text: str) -> None:
    """Say what goes on."""
    print(f"[{time.monotonic() - _started:4.0f} s] {text}", file=sys.stderr, flush=True)


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown; all columns but the first are numbers."""
    table = Table(box=box.MARKDOWN)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = _console()
    console.print(f"\n[bold]{title}[/bold]")
    console.print(table)


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


def ms(seconds: float) -> str:
    """Format a time in milliseconds, with three digits where it is short."""
    return f"{1000 * seconds:,.{0 if seconds >= 0.1 else 1 if seconds >= 0.01 else 2}f}"


def spread(seconds: Sequence[float]) -> tuple[str, str]:
    """Format the median and the 95th percentile in milliseconds."""
    return ms(median(seconds)), ms(sorted(seconds)[ceil(0.95 * len(seconds)) - 1])
