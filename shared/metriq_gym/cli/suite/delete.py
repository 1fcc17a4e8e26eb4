"""``mgym suite delete``."""

from __future__ import annotations

from metriq_gym.cli import opening
from metriq_gym.cli.options import SuiteName, Yes
from metriq_gym.cli.output import confirm, say
from metriq_gym.errors import IllegalTransition
from metriq_gym.terminal.follow import ProgressLine
from metriq_gym.wording import shorten


def delete(name: SuiteName = None, yes: Yes = False) -> None:
    """Delete a suite that has ended.

    Exported files stay.
    """

    async def remove() -> None:
        async with opening.store() as store:
            suite_id = await opening.suite_called(store, name)
            jobs = await store.jobs.suite(suite_id)
            if going := [job.id for job in jobs if not job.has_ended]:
                listed = shorten(", ".join(going))
                raise IllegalTransition(f"of {len(jobs)} jobs these have not ended; cancel them first: {listed}")
            if not yes:
                confirm(f"delete suite {suite_id} ({len(jobs)} jobs)?")
            with ProgressLine(f"deleting {suite_id}") as progress:
                for number, job in enumerate(jobs):
                    progress.update(f"{number} of {len(jobs)} jobs")
                    await store.records.delete(job.id)
            say(f"deleted {suite_id}")

    opening.run(remove())
