"""The lifecycle of a job: the message that each state waits for, and what a person can do about a parked job."""

from __future__ import annotations

from metriq_gym.jobs.documents import Job
from metriq_gym.jobs.states import JobState
from metriq_gym.messages import (
    JobCancelled,
    JobChecked,
    JobCompleted,
    JobDispatched,
    JobFailed,
    JobRequested,
    JobScored,
    Message,
)

REFUSED = "not resumed"
"""How the line of a job's history begins that says why it does not go on."""


def message_for(job: Job) -> Message:
    """Return the message that a job in its state waits for, or that says how it ended."""
    match job.state:
        case JobState.DISPATCHING:
            return JobRequested(
                job_id=job.id,
                suite_id=job.suite_id,
                suite_name=job.suite_name,
                suite_size=job.suite_size,
                provider=job.provider,
                device=job.target,
                prior=job.prior,
                remarks=job.remarks,
                compilation=job.compilation,
                group=job.group,
                tags=job.tags,
                config=job.config,
            )
        case JobState.DISPATCHED:
            return JobDispatched(job_id=job.id)
        case JobState.COMPLETED:
            return JobCompleted(job_id=job.id)
        case JobState.SCORED | JobState.EXPORTED:
            return JobScored(job_id=job.id)
        case JobState.CHECKED:
            return JobChecked(job_id=job.id)
        case JobState.FAILED | JobState.REJECTED if job.failure is not None:
            return JobFailed(job_id=job.id, outcome=job.failure.outcome, reason=job.failure.reason)
        case JobState.CANCELLED:
            return JobCancelled(job_id=job.id)
        case _:
            raise ValueError(f"job {job.id} is {job.state} without a reason")


def refusal(job: Job, *, after: int) -> str | None:
    """Return why a failed job was not resumed, if that was refused after the first lines of its history."""
    return next((line.cause for line in job.history[after:] if line.cause.startswith(REFUSED)), None)


def command(job: Job) -> str:
    """Return the command by which to decide about a held job."""
    return f"mgym dead replay --job {job.id}" if job.given_up else f"mgym job resolve {job.id}"


def advice(job: Job) -> str:
    """Say how to decide about a held job."""
    if job.given_up:
        return f"see `mgym dead list --job {job.id}`, mend it, then `{command(job)}`"
    return f"decide with: {command(job)}"
