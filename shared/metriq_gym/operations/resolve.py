"""What an operator decides about a job that is held: a submission may or may not have been accepted, or a message about
it was given up.

The decision is written to the task (or the job) first, then the job is let go, then its message is published. After a
crash in between, deciding the same again takes it from there; a job that is let go already is found by the reconciler.
"""

from __future__ import annotations

from dataclasses import dataclass

from metriq_gym.bus.port import Bus
from metriq_gym.errors import MetriqGymError, NotFound, Permanent
from metriq_gym.jobs import Failure, Job, JobState, Task, TaskState
from metriq_gym.jobs.lifecycle import advice
from metriq_gym.jobs.states import MOVES, STAGES
from metriq_gym.service.lifecycle import announce, announce_again, fail
from metriq_gym.store import Store

SERVICE = "operator"


@dataclass(frozen=True, slots=True)
class Adopt:
    """The submission was accepted; the provider calls it this."""

    provider_job_id: str


@dataclass(frozen=True, slots=True)
class Resubmit:
    """The submission was not accepted: send it again."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Give the job up."""

    reason: str = "given up by the operator"


Decision = Adopt | Resubmit | Fail


class NotHeld(MetriqGymError):
    """The job does not wait for a decision."""


async def resolve(store: Store, bus: Bus, job_id: str, decision: Decision, task_id: str | None = None) -> Job:
    """Carry out a decision about a held job, and return the job as it is then: still held if tasks are left in doubt.

    `task_id` says which task is meant; it may be left out when only one is in doubt. Raises `NotFound` for a job or
    task that does not exist, `NotHeld` when there is nothing to decide, and `Permanent` when the decision cannot be
    meant: no task named where several are in doubt, or an id adopted that another task has.
    """
    job = await store.jobs.get(job_id)
    if isinstance(decision, Fail):
        return await _fail(store, bus, job, decision)
    if job.state is not JobState.DISPATCHING or job.given_up:
        instead = (
            f"it does not wait for that decision: {advice(job)}" if job.held else "it does not wait for a decision"
        )
        raise NotHeld(f"job {job_id} is {job.state}: {instead}")
    tasks = await store.catalogue.outline(job_id)
    task = _chosen(job, tasks, decision, task_id)
    if task.state is TaskState.UNKNOWN:
        await _decide(store, task, decision)
    elif not _decided(task, decision):
        raise NotHeld(f"task {task.id} is {task.state}: it is not in doubt")
    if any(each.state is TaskState.UNKNOWN for each in tasks if each.id != task.id):
        return await store.jobs.get(job_id)
    await store.jobs.unhold(job_id)
    job = await store.jobs.get(job_id)
    if job.state is JobState.DISPATCHING:
        await announce_again(store, bus, job)
    return job


def in_doubt(tasks: list[Task]) -> list[Task]:
    """Return the tasks of a job that wait for a decision."""
    return [task for task in tasks if task.state is TaskState.UNKNOWN]


def _chosen(job: Job, tasks: list[Task], decision: Adopt | Resubmit, task_id: str | None) -> Task:
    if task_id is not None:
        found = [task for task in tasks if task.id in (task_id, f"{job.id}:{task_id}")]
        if not found:
            raise NotFound(f"job {job.id} has no task {task_id}; in doubt: {_names(in_doubt(tasks)) or 'none'}")
        return found[0]
    doubtful = in_doubt(tasks)
    if len(doubtful) > 1:
        raise Permanent(f"several tasks of job {job.id} are in doubt; say which (--task): {_names(doubtful)}")
    # None in doubt: perhaps an earlier attempt wrote the decision down and came no further.
    candidates = doubtful or [task for task in tasks if job.held and _decided(task, decision)]
    if not candidates:
        raise NotHeld(f"no task of job {job.id} is in doubt")
    return candidates[0]


async def _decide(store: Store, task: Task, decision: Adopt | Resubmit) -> None:
    if isinstance(decision, Resubmit):
        await store.tasks.send_again(task)
        return
    if await store.tasks.ours_among(task.provider, [decision.provider_job_id]):
        raise Permanent(f"{decision.provider_job_id} belongs to another task already: it cannot be task {task.id}")
    await store.tasks.submitted(task, decision.provider_job_id)


def _decided(task: Task, decision: Adopt | Resubmit) -> bool:
    """Whether a task is as the decision would have it."""
    if isinstance(decision, Adopt):
        return task.provider_job_id == decision.provider_job_id
    return task.state is TaskState.STORED


async def _fail(store: Store, bus: Bus, job: Job, decision: Fail) -> Job:
    can_fail = JobState.FAILED in MOVES[job.state]
    if can_fail and job.held is None:
        raise NotHeld(f"job {job.id} does not wait for a decision; to end it: mgym job cancel {job.id}")
    if can_fail:
        failure = Failure(outcome="error", reason=decision.reason, source=STAGES[job.state])
        job = await fail(store, job.id, failure, service=SERVICE)
    if job.state is not JobState.FAILED or job.failure is None or job.failure.reason != decision.reason:
        raise NotHeld(f"job {job.id} is {job.state}: it does not wait for a decision")
    await announce(store, bus, job)
    return job


def _names(tasks: list[Task]) -> str:
    return ", ".join(task.id for task in tasks)
