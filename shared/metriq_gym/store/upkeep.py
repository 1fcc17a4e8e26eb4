"""What the reconciler asks and writes: jobs that stand still, are overdue, or whose end was never recorded.

Its writes carry the token of its lease; one that is older than what another reconciler has left in the job is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from metriq_gym.jobs.changes import Failed
from metriq_gym.jobs.documents import Failure, Job
from metriq_gym.jobs.states import TERMINAL, JobState
from metriq_gym.store.jobs import Jobs
from metriq_gym.store.mongo import EPOCH, Stage, entries, from_now, translated
from metriq_gym.store.reading import read_each, readable
from metriq_gym.store.shapes import READABLE_JOB
from metriq_gym.store.transitions import not_checked_after

MAX_UNCHECKED_SECONDS = 3600
_BULKY = ("data", "runs", "input_two_qubit_gate_counts", "transpiled_two_qubit_gate_counts", "result", "history")
_LEADING_ON = [state for state in JobState if state not in TERMINAL]
_NOT_IN_HANDS: Stage = {"$not": {"$gt": ["$lease.expires_at", "$$NOW"]}}
TO_BE_CHECKED: Stage = {"$not": {"$gt": ["$check_at", "$$NOW"]}}
_NOT_BEFORE: Stage = {"$max": {"$map": {"input": entries("exports"), "in": "$$this.v.not_before"}}}
_NOT_PUT_OFF: Stage = {"$not": {"$gt": [_NOT_BEFORE, "$$NOW"]}}
"""An export that is to be tried again later: one more message would only be one more that waits."""


class Upkeep:
    """Reads the ``jobs`` collection without what happened at dispatch and is not needed to move on."""

    def __init__(self, collection: Any, jobs: Jobs) -> None:
        self._collection = collection
        self._jobs = jobs

    @translated
    async def unfinished(self, *, after: str = "", limit: int = 0) -> list[Job]:
        """Return jobs that have somewhere to go and are in no dispatcher's hands, and those to be recorded, by id.

        All of them, or `limit` of those whose ids come after `after`: a backlog need not fit into memory.
        """
        standing = {"state": {"$in": _LEADING_ON}, "held": None, "imported": None, "$expr": _NOT_IN_HANDS}
        query = {"_id": {"$gt": after}, "$or": [standing, {"record_due": {"$gt": EPOCH}}]}
        jobs = []
        async for job in readable(Job, self._collection.find(query, dict.fromkeys(_BULKY, 0)).sort("_id")):
            jobs.append(job)
            if len(jobs) == limit:
                break
        return jobs

    async def unmoved(self, seconds: float, *, limit: int = 1000) -> list[Job]:
        """Return jobs that should have moved on: unchanged for `seconds`, and in no dispatcher's hands.

        A job is returned again only after it has stood still for as long again as it had when it was `checked`, or for
        an hour, so that jobs that wait for days at a provider cost little.
        """
        return await self._standing(seconds, [_NOT_IN_HANDS, TO_BE_CHECKED, _NOT_PUT_OFF], limit)

    async def unrecorded(self, seconds: float, *, limit: int = 1000) -> list[Job]:
        """Return jobs that ended `seconds` ago or earlier and are not recorded everywhere yet; again as `unmoved`."""
        return await self._unrecorded(seconds, [TO_BE_CHECKED, _NOT_PUT_OFF], limit)

    async def overdue(self, *, limit: int = 1000) -> list[Job]:
        """Return jobs that have no result and whose deadline has passed."""
        # The comparison, true of every time, says which index serves.
        query = {"deadline_at": {"$gt": EPOCH}, "$expr": {"$lte": ["$deadline_at", "$$NOW"]}}
        return await self._found(query, limit)

    @translated
    async def dispatching(self, job_ids: Collection[str]) -> set[str]:
        """Return which of the jobs are on their way to a provider."""
        query = {"_id": {"$in": list(job_ids)}, "state": JobState.DISPATCHING}
        return {each["_id"] async for each in self._collection.find(query, {"_id": 1})}

    @translated
    async def checked(self, job_ids: Collection[str], token: int) -> None:
        """Leave jobs alone for as long again as they have stood still, or for an hour."""
        if not job_ids:
            return
        change = {"check_at": later_by_age(), "checked_by": token}
        await self._collection.update_many(
            {"_id": {"$in": list(job_ids)}} | not_checked_after(token) | READABLE_JOB, [{"$set": change}]
        )

    @translated
    async def recorded(self, job_id: str) -> None:
        """Write down that the end of a job which is recorded nowhere, as that of a dry run, was announced."""
        await self._collection.update_one({"_id": job_id, "state": JobState.CHECKED}, [{"$unset": ["record_due"]}])

    async def expire(self, job_id: str, failure: Failure, token: int, resumed: int | None = None) -> Job:
        """End a job without a result; raises `IllegalTransition` when it has one or has ended, and `LeaseLost`.

        One that was resumed more often than `resumed` times has a new deadline, and stays as it is.
        """
        return await self._jobs.move(
            job_id,
            Failed(failure=failure),
            service="reconciler",
            cause=failure.reason,
            reconciler_token=token,
            resumed=resumed,
        )

    async def _standing(self, seconds: float, conditions: list[Stage], limit: int) -> list[Job]:
        since = {"$lte": ["$updated_at", from_now(-seconds)]}
        query = {"state": {"$in": _LEADING_ON}, "held": None, "imported": None, "$expr": {"$and": [since, *conditions]}}
        return await self._found(query, limit)

    async def _unrecorded(self, seconds: float, conditions: list[Stage], limit: int) -> list[Job]:
        since = {"$lte": ["$record_due", from_now(-seconds)]}
        query = {"record_due": {"$gt": EPOCH}, "$expr": {"$and": [since, *conditions]}}
        return await self._found(query, limit)

    @translated
    async def _found(self, query: Stage, limit: int) -> list[Job]:
        found = self._collection.find(query, dict.fromkeys(_BULKY, 0)).limit(limit)
        return await read_each(Job, found)


def later_by_age() -> Stage:
    """Return the expression for a time as far from now as the document's last change, at most an hour."""
    age = {"$min": [{"$subtract": ["$$NOW", "$updated_at"]}, 1000 * MAX_UNCHECKED_SECONDS]}
    return {"$add": ["$$NOW", age]}
