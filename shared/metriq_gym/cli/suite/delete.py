"""``mgym suite delete``."""

from __future__ import annotations

from metriq_gym.cli import opening
from metriq_gym.cli.options import SuiteName, Yes
from metriq_gym.cli.output import confirm, say
from metriq_gym.errors import IllegalTransition


def delete(name: SuiteName = None, yes: Yes = False) -> None:
    """Delete a suite that has ended.

    Exported files stay.
    """

    async def remove() -> None:
        async with opening.store() as store:
            suite_id = await opening.suite_called(store, name)
            jobs = await store.jobs.suite(suite_id)
            if going := [job.id for job in jobs if not job.has_ended]:
                raise IllegalTransition(
                    f"of {len(jobs)} jobs these have not ended; cancel them first: {', '.join(going)}"
                )
            if not yes:
                confirm(f"delete suite {suite_id} ({len(jobs)} jobs)?")
            for job in jobs:
                await store.records.delete(job.id)
            say(f"deleted {suite_id}")

    opening.run(remove())
