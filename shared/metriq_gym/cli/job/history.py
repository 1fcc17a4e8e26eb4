"""``mgym job history``."""

from __future__ import annotations

from datetime import UTC

from metriq_gym.cli import opening
from metriq_gym.cli.options import AsJson, JobName
from metriq_gym.cli.output import console, emit
from metriq_gym.jobs import Job
from metriq_gym.terminal import report


def history(name: JobName = None, json: AsJson = False) -> None:
    """Print every state a job has been in.

    When it got there, which service moved it, and why.
    """

    async def look() -> Job:
        async with opening.store() as store:
            return await opening.job_called(store, name)

    job = opening.run(look())
    if json:
        emit([each.model_dump(mode="json") for each in job.history])
        return
    rows = []
    for position, each in enumerate(job.history):
        since = (each.at - job.history[max(0, position - 1)].at).total_seconds()
        at = each.at.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
        rows.append([at, f"+{since:.3f} s", each.state, each.service, each.cause])
    report.show_table(console(), ("time", "after", "state", "service", "cause"), rows)
