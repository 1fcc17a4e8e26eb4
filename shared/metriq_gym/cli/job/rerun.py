"""``mgym job rerun``."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import uuid4

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.job.dispatch import tell_of_job, under_way
from metriq_gym.cli.options import AsJson, Force, JobName
from metriq_gym.errors import Permanent
from metriq_gym.jobs import Job, JobState


def rerun(
    name: JobName = None,
    provider: Annotated[str | None, typer.Option("--provider", "-p", help="Where the device is; the same.")] = None,
    device: Annotated[str | None, typer.Option("--device", "-d", help="The device; the same.")] = None,
    job_id: Annotated[str | None, typer.Option("--id", help="Name the new job.")] = None,
    force: Force = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the circuits are with the provider.")
    ] = True,
    json: AsJson = False,
) -> None:
    """Request once more what a job was, print the new job's id.

    The same benchmark, parameters, device, tags and wishes, as a job of its own, outside the first one's suite.
    """

    async def work() -> Job:
        async with opening.client() as client:
            first = await opening.job_called(client.store, name)
            if first.state is JobState.REJECTED or not first.config:
                raise Permanent(f"job {first.id} was {first.state}: it has no configuration that could be run again")
            wishes: dict[str, Any] = {
                "job_id": job_id or uuid4().hex,
                "prior": first.prior,
                "remarks": first.remarks,
                "group": first.group,
                "force": force,
                "compilation": first.compilation,
                "tags": first.tags,
            }
            where = provider or first.provider, device or first.target or first.device
            return await under_way(client, first.config, *where, wishes, wait=wait)

    tell_of_job(opening.run(work()), as_json=json)
