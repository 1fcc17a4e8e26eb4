"""Retention: circuits and counts of jobs that were exported long ago go, and later the jobs.

What is not exported stays, and so does a failed job, which may be resumed. The result stays as long as the job does, so
that trends do not depend on counts. Each call does a bounded share; what is gone already is not there to be done again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from metriq_gym.errors import IllegalTransition, NotFound
from metriq_gym.jobs.states import ExportState, JobState
from metriq_gym.store.exports import EXPORTS_OF_RECORDS, STATES_OF_EXPORTS
from metriq_gym.store.mongo import Stage, from_now, translated
from metriq_gym.store.records import Records

_OVER = (JobState.EXPORTED, JobState.CANCELLED, JobState.REJECTED, JobState.CHECKED)
"""States that nothing leads out of: a failed job may be resumed, and one that is stuck may be exported yet."""
_EXPORTED: Stage = {
    "$not": {
        "$or": [
            {"$in": [ExportState.PENDING, STATES_OF_EXPORTS]},
            {"$in": [ExportState.FAILED, EXPORTS_OF_RECORDS]},
        ]
    }
}
_BULKY: Stage = {"$or": [{"circuits": {"$gt": b""}}, {"counts": {"$gt": b""}}]}


class Retention:
    """Finds and forgets what the services are done with; ages are seconds since a job last changed."""

    def __init__(self, jobs: Any, tasks: Any, records: Records) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._records = records

    @translated
    async def jobs(self, seconds: float, *, after: str = "", limit: int) -> list[str]:
        """Return ids of jobs that may be deleted, those after `after`."""
        return await self._found(_OVER, seconds, after, limit)

    @translated
    async def exported(
        self, seconds: float, *, less_than: float | None = None, after: str = "", limit: int
    ) -> list[str]:
        """Return ids of jobs whose circuits and counts, if they are still there, may be forgotten.

        Of those only that are `less_than` so old, where it is given.
        """
        return await self._found((JobState.EXPORTED,), seconds, after, limit, less_than)

    @translated
    async def bulky(self, job_ids: list[str]) -> int:
        """Return how many tasks of these jobs have circuits or counts."""
        return int(await self._tasks.count_documents({"job_id": {"$in": job_ids}, **_BULKY}))

    @translated
    async def forget(self, job_ids: list[str]) -> int:
        """Forget the circuits and counts of jobs that are exported; return of how many tasks."""
        query = {"job_id": {"$in": job_ids}, **_BULKY}
        written = await self._tasks.update_many(query, [{"$unset": ["circuits", "counts"]}])
        return int(written.modified_count)

    async def delete(self, job_id: str) -> bool:
        """Delete a job; return False where it is gone, or its provider is yet to be told that it was cancelled."""
        with suppress(IllegalTransition, NotFound):
            await self._records.delete(job_id)
            return True
        return False

    async def _found(
        self, states: tuple[JobState, ...], seconds: float, after: str, limit: int, less_than: float | None = None
    ) -> list[str]:
        ages = [{"$lte": ["$updated_at", from_now(-seconds)]}]
        if less_than is not None:
            ages.append({"$gt": ["$updated_at", from_now(-less_than)]})
        query = {
            "_id": {"$gt": after},
            "state": {"$in": list(states)},
            "imported": None,
            "record_due": {"$exists": False},
            "$expr": {"$and": [*ages, _EXPORTED]},
        }
        found = self._jobs.find(query, {"_id": 1}).sort("_id").limit(limit)
        return [str(each["_id"]) async for each in found]
