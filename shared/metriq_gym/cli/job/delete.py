"""``mgym job delete``."""

from __future__ import annotations

from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.options import Yes
from metriq_gym.cli.output import confirm, say


def delete(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB_ID", help="Ids, the beginnings of them, or latest.", show_default=False),
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete jobs that have ended. Exported files stay."""

    async def remove() -> None:
        async with opening.store() as store:
            for name in names or (None,):
                job = await opening.job_called(store, name)
                if not yes:
                    confirm(f"delete {job.benchmark_name} job {job.id} ({job.state})?")
                await store.records.delete(job.id)
                say(f"deleted {job.id}")

    opening.run(remove())
