"""Every query on task documents: a work list that pollers claim from under fenced leases.

A task that some worker should look at has ``next_poll_at``. Claiming pushes that time to the lease's end, so
one index serves both the list of due tasks and the expiry of leases; time is always the server's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import BulkWriteError

from metriq_gym.errors import LeaseLost
from metriq_gym.store.documents import OPEN_TASKS, Task, TaskState
from metriq_gym.store.mongo import Stage, from_now, literal, translated

_DUPLICATE_KEY = 11000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPREAD = 4  # pollers look at this many times what they want and pick at random, so that they seldom collide


class Tasks:
    """The ``tasks`` collection."""

    def __init__(self, collection: Any) -> None:
        self._tasks = collection

    async def create_indexes(self) -> None:
        """Create the indexes the queries below use; harmless when they exist."""
        await self._tasks.create_index(
            [("provider", 1), ("next_poll_at", 1)], partialFilterExpression={"next_poll_at": {"$exists": True}}
        )
        await self._tasks.create_index([("job_id", 1), ("state", 1)])

    @translated
    async def replace_all(self, job_id: str, tasks: Sequence[Task]) -> None:
        """Store a job's tasks, none of which has been submitted, in place of any left by an earlier attempt."""
        await self._tasks.delete_many({"job_id": job_id, "state": TaskState.STORED})
        await self.insert(tasks)

    @translated
    async def insert(self, tasks: Sequence[Task]) -> None:
        """Store tasks; those that exist stay as they are."""
        documents = [task.model_dump(by_alias=True, exclude_defaults=True) for task in tasks]
        try:
            await self._tasks.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if any(each["code"] != _DUPLICATE_KEY for each in (error.details or {})["writeErrors"]):
                raise

    @translated
    async def release(self, job_id: str) -> None:
        """Make a job's stored tasks due now."""
        await self._tasks.update_many(
            {"job_id": job_id, "state": TaskState.STORED},
            [{"$set": {"state": TaskState.SUBMITTED, "next_poll_at": "$$NOW"}}],
        )

    @translated
    async def claim(self, provider: str, *, owner: str, limit: int, lease_seconds: float) -> list[Task]:
        """Lease up to `limit` due tasks of `provider` to `owner`."""
        due = {
            "provider": provider,
            "next_poll_at": {"$gt": _EPOCH},
            "$expr": {"$lte": ["$next_poll_at", "$$NOW"]},
        }
        seen = [found["_id"] async for found in self._tasks.find(due, {"_id": 1}).limit(_SPREAD * limit)]
        if not seen:
            return []
        chosen = {"_id": {"$in": random.sample(seen, min(limit, len(seen)))}}
        claim = f"{owner}/{random.getrandbits(64):016x}"
        lease = {"owner": claim, "token": {"$add": [{"$ifNull": ["$lease.token", 0]}, 1]}}
        await self._tasks.update_many(
            chosen | due, [{"$set": {"next_poll_at": from_now(lease_seconds), "lease": lease}}]
        )
        cursor = self._tasks.find(chosen | {"lease.owner": claim}, {"counts": 0})
        return [Task.model_validate(found) async for found in cursor]

    @translated
    async def renew(self, task: Task, lease_seconds: float) -> None:
        """Extend the lease; raises `LeaseLost` when it went to another worker or the task has ended."""
        await self._update(task, [{"$set": {"next_poll_at": from_now(lease_seconds)}}])

    @translated
    async def hand_back(self, task: Task) -> None:
        """Give up the lease so that another worker can claim the task at once."""
        await self._update(task, [{"$set": {"next_poll_at": "$$NOW"}}])

    @translated
    async def complete(self, task: Task, counts: bytes, execution_seconds: float | None) -> None:
        """Store a task's packed counts; raises `LeaseLost` when another worker has taken it over."""
        await self._end(task, TaskState.COMPLETED, {"counts": counts, "execution_seconds": execution_seconds})

    @translated
    async def fail(self, task: Task, error: str) -> None:
        """End a task without counts; raises `LeaseLost` when another worker has taken it over."""
        await self._end(task, TaskState.FAILED, {"error": error})

    async def _end(self, task: Task, state: TaskState, fields: dict[str, Any]) -> None:
        # The circuits have served: keeping them would double what a finished job occupies.
        ended: list[Stage] = [{"$set": {"state": state} | literal(fields)}, {"$unset": ["next_poll_at", "circuits"]}]
        await self._update(task, ended)

    async def _update(self, task: Task, pipeline: list[Stage]) -> None:
        assert task.lease is not None  # noqa: S101  (only claimed tasks are written)
        held = {"_id": task.id, "state": TaskState.SUBMITTED, "lease": task.lease.model_dump()}
        if not (await self._tasks.update_one(held, pipeline)).matched_count:
            raise LeaseLost(f"task {task.id} is in other hands")

    @translated
    async def cancel(self, job_id: str) -> None:
        """End every open task of a job."""
        await self._tasks.update_many(
            {"job_id": job_id, "state": {"$in": list(OPEN_TASKS)}},
            [{"$set": {"state": TaskState.CANCELLED}}, {"$unset": ["next_poll_at", "circuits"]}],
        )

    @translated
    async def count_by_state(self, job_id: str) -> dict[TaskState, int]:
        """Return how many of a job's tasks are in each state."""
        counts: dict[TaskState, int] = {}
        async for found in self._tasks.find({"job_id": job_id}, {"state": 1, "_id": 0}):
            state = TaskState(found["state"])
            counts[state] = counts.get(state, 0) + 1
        return counts

    @translated
    async def first_error(self, job_id: str) -> str | None:
        """Return the error of one failed task of a job, if any failed."""
        found = await self._tasks.find_one({"job_id": job_id, "state": TaskState.FAILED}, {"error": 1})
        return None if found is None else str(found["error"])

    @translated
    async def of_job(self, job_id: str) -> list[Task]:
        """Return a job's tasks with their counts, in the order of their circuits."""
        tasks = [Task.model_validate(found) async for found in self._tasks.find({"job_id": job_id})]
        return sorted(tasks, key=lambda task: (task.run, task.first))
