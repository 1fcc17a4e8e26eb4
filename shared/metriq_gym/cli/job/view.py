"""``mgym job view``."""

from __future__ import annotations

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

    async def look() -> tuple[Job, list[str]]:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
            if plot is not None:
                await draw_job(store, job, plot, circuit)
            return job, (await store.catalogue.provider_job_ids([job.id])).get(job.id, [])

    job, provider_job_ids = opening.run(look())
    if json:
        emit(job.model_dump(mode="json") | {"provider_job_ids": provider_job_ids})
    else:
        report.show_job(console(), job, provider_job_ids, elsewhere=elsewhere())
