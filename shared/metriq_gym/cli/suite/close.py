"""``mgym suite close``."""

from __future__ import annotations

from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.options import SuiteName, Yes
from metriq_gym.cli.output import confirm, say
from metriq_gym.operations.suites import close_suite


def close(
    name: SuiteName = None,
    drop: Annotated[bool, typer.Option("--drop", help="Upload nothing of it where suites go as a whole.")] = False,
    yes: Yes = False,
) -> None:
    """Upload what there is of a suite, or drop it.

    For one that cannot complete: its jobs that have a record by now are the suite from then on. `mgym status` lists
    suites that are overdue.
    """

    async def decide() -> None:
        async with opening.client() as client:
            suite_id = await opening.suite_called(client.store, name)
            if not yes:
                what = "drop" if drop else "upload what there is of"
                confirm(f"{what} suite {suite_id}?")
            jobs = await close_suite(client.store, client.bus, suite_id, drop=drop)
            say(f"{'dropped' if drop else 'closed'} {suite_id}: {len(jobs)} results waited")

    opening.run(decide())
