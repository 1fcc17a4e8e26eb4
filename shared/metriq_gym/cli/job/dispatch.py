"""``mgym job dispatch``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import uuid4

import typer

from metriq_gym.cli import opening, options
from metriq_gym.cli.options import AsJson, Compilation, Config, Device, Force, Group, Prior, Provider, Remarks, Tags
from metriq_gym.cli.output import emit, say
from metriq_gym.client.client import Client, decision_about, failure_of
from metriq_gym.client.configurations import read_configuration
from metriq_gym.jobs import Job
from metriq_gym.schema_validator import validate
from metriq_gym.terminal.follow import ProgressLine, follow, handed_over


def dispatch(
    config: Config,
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    job_id: Annotated[
        str | None, typer.Option("--id", help="Name the job; the same name again runs nothing twice.")
    ] = None,
    prior: Prior = None,
    remarks: Remarks = None,
    group: Group = None,
    force: Force = False,
    compilation: Compilation = None,
    tag: Tags = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the circuits are with the provider.")
    ] = True,
    json: AsJson = False,
) -> None:
    """Hand a benchmark to a device, print its id."""
    chosen = read_configuration(config)
    wishes: dict[str, Any] = {
        "job_id": job_id,
        "prior": prior,
        "remarks": remarks,
        "group": group,
        "force": force,
        "compilation": compilation,
        "tags": tag or [],
    }

    async def work() -> Job:
        async with opening.client() as client:
            return await under_way(client, chosen, provider, device, wishes, wait=wait)

    tell_of_job(opening.run(work()), as_json=json)


def tell_of_job(job: Job, *, as_json: bool) -> None:
    """Print the id of a job that is under way."""
    if as_json:
        emit({"job_id": job.id, "state": str(job.state), "held": job.held})
    else:
        typer.echo(job.id)
        say(f"to wait for its result: mgym job poll {job.id}")


async def under_way(
    client: Client, config: Mapping[str, Any], provider: str, device: str, wishes: Mapping[str, Any], *, wait: bool
) -> Job:
    """Request a job and return it once the provider has it; without `wait`, once a dispatcher has it.

    Raises what `failure_of` says of a job that could not be dispatched.
    """
    _, warnings = validate(config, "$.config")
    title = f"{config['benchmark_name']} on {provider}/{device}"
    job_id = wishes["job_id"] or uuid4().hex
    with opening.way_back(f"mgym job poll {job_id}"), ProgressLine(title) as progress:
        for warning in warnings:
            progress.note(f"warning: {warning}")
        progress.show("requesting")
        await client.dispatch(config, provider, device, **{**wishes, "job_id": job_id})
        job = await follow(client, job_id, progress, handed_over if wait else _exists)
        if (undecided := decision_about(job)) is not None:
            progress.note(str(undecided))
    if (error := failure_of(job)) is not None:
        say(f"job {job.id} is {job.state}: mgym job view {job.id}")
        raise error
    return job


def _exists(_: Job) -> bool:
    return True
