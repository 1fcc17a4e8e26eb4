"""``mgym results``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.cli import filters, opening
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.output import console, say
from metriq_gym.jobs.rows import rows
from metriq_gym.jobs.tables import ENCODERS
from metriq_gym.store.catalogue import Filter
from metriq_gym.terminal import report


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def results(
    benchmark: filters.Benchmark = None,
    provider: filters.OfProvider = None,
    device: filters.OfDevice = None,
    suite: filters.OfSuite = None,
    tag: filters.Tagged = None,
    since: filters.Since = None,
    until: filters.Until = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric.")] = None,
    as_: Annotated[Format, typer.Option("--format", "-f", help="What is printed.")] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it to this file.", metavar="FILE", show_default=False),
    ] = None,
) -> None:
    """Print results as a tidy table, one row a metric.

    The oldest come first. `position` is that in a list of numbers; `params` is the configuration as JSON. The data
    frame of `metriq_gym.results.frame` and the console have the same columns.
    """
    if as_ is Format.TABLE and output is not None:
        raise Usage("--output needs --format csv, json or parquet")
    if as_ is Format.PARQUET and output is None and console().is_terminal:
        raise Usage("Parquet is nothing for a terminal: name a file with --output")
    wanted = Filter(
        benchmark=benchmark,
        provider=provider,
        device=device,
        suite=suite,
        tags=tuple(tag or ()),
        since=since,
        until=until,
    )

    async def work() -> None:
        async with opening.store() as store:
            found = rows(store.catalogue.scored(wanted), metric)
            if as_ is Format.TABLE:
                report.show_results(console(), [row async for row in found])
            elif output is not None:
                await _write(ENCODERS[as_](found), output)
            else:
                await _print(ENCODERS[as_](found), as_)

    opening.run(work())


async def _print(pieces: AsyncIterator[bytes], as_: Format) -> None:
    async for piece in pieces:
        typer.echo(piece if as_ is Format.PARQUET else piece.decode(), nl=False)
    if as_ is Format.JSON:
        typer.echo()


async def _write(pieces: AsyncIterator[bytes], path: Path) -> None:
    """Write a file, which is there once all of it is."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            async for piece in pieces:
                file.write(piece)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    say(f"wrote {path}")
