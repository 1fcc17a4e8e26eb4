"""``mgym suite view``."""

from __future__ import annotations

from metriq_gym.cli import opening
from metriq_gym.cli.options import AsJson, Plot, SuiteName
from metriq_gym.cli.suite.showing import show
from metriq_gym.jobs import Job


def view(name: SuiteName = None, json: AsJson = False, plot: Plot = None) -> None:
    """Print a suite's jobs and their scores."""

    async def look() -> list[Job]:
        async with opening.store() as store:
            return await store.jobs.suite(await opening.suite_called(store, name))

    show(opening.run(look()), json, plot)
