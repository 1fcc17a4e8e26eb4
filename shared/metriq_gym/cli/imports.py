"""``mgym import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.options import AsJson
from metriq_gym.cli.output import emit, say
from metriq_gym.operations.importing import ImportSummary, import_jobs


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The job file of metriq-gym's own tool, a job a line, or a file of the dataset; - is standard input.",
        ),
    ],
    json: AsJson = False,
) -> None:
    """Take over metriq-gym's jobs, or records of the dataset.

    Doing it again changes nothing. The exit code is 1 if a line is bad.
    """

    async def work() -> ImportSummary:
        async with opening.store() as store:
            return await import_jobs(store, file)

    done = opening.run(work())
    if json:
        emit(done.to_dict())
    else:
        for line in done.bad:
            say(f"{file}, {line.unit} {line.number}: {line.reason}")
        for line in done.notes:
            say(f"note: {file}, {line.unit} {line.number}: {line.reason}")
        say(f"{done.added} added, {done.updated} updated, {done.unchanged} there already, {len(done.bad)} bad")
    if done.bad:
        raise typer.Exit(FAILED)
