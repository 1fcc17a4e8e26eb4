"""Retention: circuits and counts of jobs that were exported long ago go, and later the jobs.

What is not exported stays, and so does a failed job, which may be resumed, and a job of a suite that is not over. The
result stays as long as the job does, so that trends do not depend on counts. Each call looks at a bounded number of
jobs, the oldest first; what is gone already is not there to be done again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pymongo import IndexModel

from metriq_gym.errors import IllegalTransition, NotFound, UnreadableDocument
from metriq_gym.jobs.states import TERMINAL, ExportState, JobState
from metriq_gym.store.exports import EXPORTS_OF_RECORDS, STATES_OF_EXPORTS
from metriq_gym.store.indexes import wish
from metriq_gym.store.mongo import Stage, translated
from metriq_gym.store.records import Records
from metriq_gym.store.shapes import READABLE_JOB, READABLE_TASK

_OVER = (JobState.EXPORTED, JobState.CANCELLED, JobState.REJECTED, JobState.CHECKED)
"""States that nothing leads out of: a failed job may be resumed, and one that is stuck may be exported yet."""
_LEADING_ON = [state for state in JobState if state not in TERMINAL]
_EXPORTED: Stage = {
    "$not": {
        "$or": [
            {"$in": [ExportState.PENDING, STATES_OF_EXPORTS]},
            {"$in": [ExportState.FAILED, EXPORTS_OF_RECORDS]},
        ]
    }
}
_MAY_GO: Stage = {
    "imported": None,
    "record_due": {"$exists": False},
    "to_notify.number": {"$exists": False},
    "$expr": _EXPORTED,
}
_BULKY: Stage = {"$or": [{"circuits": {"$gt": b""}}, {"counts": {"$gt": b""}}]}
_ENDED = [state for state in JobState if state in TERMINAL]


class Place(NamedTuple):
    """Where a look at jobs ended, which go by age."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at a bounded number of jobs found."""

    ids: Sequence[str]
    place: Place | None
    """Where the next look begins; None where there is nothing behind."""


class Retention:
    """Finds and forgets what the services are done with; a job's age is counted from its last change."""

    def __init__(self, jobs: Any, tasks: Any, deleted: Any, suites: Any, records: Records) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._deleted = deleted
        self._suites = suites
        self._records = records

    async def create_indexes(self) -> None:
        """Create the index by which jobs that are over are found by age, those with circuits and counts apart."""
        keys = [("state", 1), ("forgotten", 1), ("updated_at", 1), ("_id", 1)]
        over = {"state": {"$in": list(_OVER)}}
        await wish(self._jobs, [IndexModel(keys, name="over_by_age", partialFilterExpression=over)])

    @translated
    async def jobs(self, before: datetime, *, after: Place | None = None, limit: int) -> Found:
        """Find jobs that may be deleted among `limit` that are over and last changed before a time."""
        places = await self._places(
            {"state": {"$in": list(_OVER)}, "forgotten": {"$in": [None, True]}}, before, after, limit
        )
        fields = {"suite_id": 1, "suite_size": 1, "suite_closed": 1}
        found = [each async for each in self._jobs.find(self._may_go(places), fields)]
        sizes = {
            each["suite_id"]: None if each.get("suite_closed") else each.get("suite_size")
            for each in found
            if each.get("suite_id")
        }
        waiting = {suite_id for suite_id, size in sizes.items() if not await self._is_over(suite_id, size, before)}
        ids = sorted(each["_id"] for each in found if each.get("suite_id") not in waiting)
        return Found(ids, places[-1] if len(places) == limit else None)

    @translated
    async def exported(
        self, before: datetime, *, since: datetime | None = None, after: Place | None = None, limit: int
    ) -> Found:
        """Find jobs whose circuits and counts may be forgotten among `limit` that are exported, and have not been.

        They last changed before a time, and not before `since`.
        """
        places = await self._places({"state": JobState.EXPORTED, "forgotten": None}, before, after, limit, since)
        ids = sorted([each["_id"] async for each in self._jobs.find(self._may_go(places), {"_id": 1})])
        return Found(ids, places[-1] if len(places) == limit else None)

    @translated
    async def bulky(self, job_ids: Sequence[str]) -> int:
        """Return how many tasks of these jobs have circuits or counts."""
        return int(await self._tasks.count_documents({"job_id": {"$in": list(job_ids)}, **_BULKY}))

    @translated
    async def forget(self, job_ids: Sequence[str]) -> int:
        """Forget the circuits and counts of jobs that are exported; return of how many tasks."""
        if not job_ids:
            return 0
        query = {"job_id": {"$in": list(job_ids)}, **_BULKY, **READABLE_TASK}
        written = await self._tasks.update_many(query, [{"$unset": ["circuits", "counts"]}])
        # After a crash here they are found once more, and have nothing left to forget.
        over = {"_id": {"$in": list(job_ids)}, "state": JobState.EXPORTED}
        await self._jobs.update_many(over, [{"$set": {"forgotten": True}}])
        return int(written.modified_count)

    async def delete(self, job_id: str) -> bool:
        """Delete a job; return False where it is gone, is to be exported once more, or cannot be deleted yet."""
        with suppress(IllegalTransition, NotFound, UnreadableDocument):
            await self._records.delete(job_id, only={"state": {"$in": list(_OVER)}, **_MAY_GO})
            return True
        return False

    @translated
    async def done_with(self, job_ids: Collection[str]) -> set[str]:
        """Return those of these jobs that have ended with all that is to be told of it, and those that were deleted.

        No message is needed for any of them.
        """
        query = {"_id": {"$in": list(job_ids)}}
        ended = {**query, "state": {"$in": _ENDED}, "record_due": {"$exists": False}, "held": None, **READABLE_JOB}
        found = {each["_id"] async for each in self._jobs.find(ended, {"_id": 1})}
        there = {each["_id"] async for each in self._jobs.find(query, {"_id": 1})}
        return found | {each["_id"] async for each in self._deleted.find(query, {"_id": 1})} - there

    async def _places(
        self, states: Stage, before: datetime, after: Place | None, limit: int, since: datetime | None = None
    ) -> list[Place]:
        """Return the oldest jobs behind a place, whether they may go or not: so many are looked at, and no more."""
        bounds = {"$lt": before} | ({} if since is None else {"$gte": since})
        by_age = [("updated_at", 1), ("_id", 1)]
        looks = [({**states, "updated_at": bounds}, by_age)]
        if after is not None:  # not by one query: MongoDB would sort all that is behind
            same_time = {**states, "updated_at": after.at, "_id": {"$gt": after.id}}
            behind = {**states, "updated_at": {"$lt": before, "$gt": after.at}}
            looks = [(same_time, by_age[1:]), (behind, by_age)]
        places: list[Place] = []
        for query, order in looks:
            if len(places) < limit:
                found = self._jobs.find(query, {"updated_at": 1}).sort(order).limit(limit - len(places))
                places += [Place(each["updated_at"], each["_id"]) async for each in found]
        return places

    def _may_go(self, places: Sequence[Place]) -> dict[str, Any]:
        return {"_id": {"$in": [each.id for each in places]}, **_MAY_GO, **READABLE_JOB}

    async def _is_over(self, suite_id: str, size: int | None, before: datetime) -> bool:
        """Whether each job of a suite has been seen, has ended, and last changed before a time."""
        if await self._suites.find_one({"_id": suite_id, "finished": None}, {"_id": 1}) is not None:
            return False
        # Without the type the partial index does not serve.
        query: dict[str, Any] = {"suite_id": {"$type": "string", "$eq": suite_id}}
        young = {"$or": [{"state": {"$in": _LEADING_ON}}, {"updated_at": {"$gte": before}}]}
        if await self._jobs.find_one(query | young, {"_id": 1}) is not None:
            return False
        if not size:
            return True
        seen = int(await self._jobs.count_documents(query))
        return (
            seen >= size or seen + int(await self._deleted.count_documents(query | {"_id": {"$ne": suite_id}})) >= size
        )
