"""Requesting a job or a suite, and waiting until it is safely under way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from metriq_gym.cli.opening import client, way_back
from metriq_gym.cli.output import say
from metriq_gym.client.client import decision_about, embedded, failure_of
from metriq_gym.jobs import Job
from metriq_gym.schema_validator import validate
from metriq_gym.settings import Settings
from metriq_gym.suite_parser import Suite, load_suite, select
from metriq_gym.terminal.follow import Progress, follow, handed_over


async def dispatch(
    config: Mapping[str, Any], provider: str, device: str, wishes: Mapping[str, Any], *, wait: bool
) -> Job:
    """Request a job and return it once the provider has it; without `wait`, once a dispatcher has it.

    Raises what `failure_of` says of a job that could not be dispatched.
    """
    _, warnings = validate(config, "$.config")
    title = f"{config['benchmark_name']} on {provider}/{device}"
    job_id = wishes["job_id"] or uuid4().hex
    async with client() as opened:
        with way_back(f"mgym job poll {job_id}"), Progress(title) as progress:
            for warning in warnings:
                progress.note(f"warning: {warning}")
            progress.show("requesting")
            await opened.dispatch(config, provider, device, **{**wishes, "job_id": job_id})
            job = await follow(opened, job_id, progress, handed_over if wait else _exists)
            if (undecided := decision_about(job)) is not None:
                progress.note(str(undecided))
    if (error := failure_of(job)) is not None:
        say(f"job {job.id} is {job.state}: mgym job view {job.id}")
        raise error
    return job


async def dispatch_suite(
    name: str, provider: str, device: str, components: list[str], everything: bool, suite_id: str | None
) -> tuple[str, Suite]:
    """Request a suite's jobs and return its id; without servers, once all of them are in the store.

    Raises `InvalidRequest` with everything that is wrong with the suite.
    """
    suite, warnings = load_suite(name)
    chosen = select(suite, components, everything)
    suite_id = suite_id or uuid4().hex
    async with client() as opened:
        with way_back(f"mgym suite poll {suite_id}"), Progress(f"{suite.name} on {provider}/{device}") as progress:
            for warning in warnings:
                progress.note(f"warning: {warning}")
            progress.show("requesting")
            document = suite.model_dump(mode="json", exclude_none=True)
            await opened.dispatch_suite(
                document, provider, device, components=components, all=everything, suite_id=suite_id
            )
            if embedded(Settings()):
                # The queue ends with this process: what it still holds must be in the store before.
                async for summary, jobs in opened.suite_progress(suite_id):
                    refused = next((job for job in jobs if job.id == suite_id), None)
                    if refused is not None and (error := failure_of(refused)) is not None:
                        raise error
                    if len(jobs) >= len(chosen) or summary.done:
                        break
    return suite_id, suite


def _exists(_: Job) -> bool:
    return True
