"""``mgym job view``."""

from __future__ import annotations

from datetime import datetime

from metriq_gym.cli import opening
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.exports import elsewhere
from metriq_gym.cli.options import AsJson, Circuit, JobName, Plot
from metriq_gym.cli.output import console, emit
from metriq_gym.cli.pictures import draw_job
from metriq_gym.jobs import Job
from metriq_gym.terminal import report


def view(name: JobName = None, json: AsJson = False, plot: Plot = None, circuit: Circuit = None) -> None:
    """Print a job and its result."""
    if circuit is not None and plot is None:
        raise Usage("--circuit says which circuit --plot draws: give --plot FILE too")

    async def look() -> tuple[Job, list[str], tuple[int, datetime | None] | None]:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
            if plot is not None:
                await draw_job(store, job, plot, circuit)
            ids = (await store.catalogue.provider_job_ids([job.id])).get(job.id, [])
            return job, ids, await store.catalogue.next_start(job.id)

    job, provider_job_ids, place = opening.run(look())
    if json:
        position, starts_at = place or (None, None)
        queue = {"queue_position": position, "starts_at": starts_at and starts_at.isoformat()}
        emit(job.model_dump(mode="json") | {"provider_job_ids": provider_job_ids} | queue)
    else:
        report.show_job(console(), job, provider_job_ids, place=place, elsewhere=elsewhere())
