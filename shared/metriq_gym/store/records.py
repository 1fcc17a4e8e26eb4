"""Jobs written from outside the services: added or imported by a client, and deleted.

A job that no service ran has ``imported``, the record as it came. Only such a job can be replaced; any can be deleted
once it has ended. The id of a deleted job stays taken: its request may be delivered once more, and must not run again.
"""

from __future__ import annotations

from typing import Any

from bson.errors import BSONError
from pymongo.errors import DocumentTooLarge, DuplicateKeyError

from metriq_gym.errors import IllegalTransition, InvalidRequest, NotFound, Problem
from metriq_gym.jobs.documents import Job
from metriq_gym.store.mongo import Stage, translated
from metriq_gym.store.reading import read
from metriq_gym.store.together import by_id

_UNSTORABLE = (BSONError, DocumentTooLarge, OverflowError)


class Records:
    """Writes the ``jobs`` collection for clients, and the ids of what they delete to ``deleted``."""

    def __init__(self, jobs: Any, tasks: Any, deleted: Any) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._deleted = deleted
        self._deleted_by_id = by_id(deleted, {"_id": 1})

    @translated
    async def add(self, job: Job) -> bool:
        """Store a job that no service ran; return False, and change nothing, when one of that id exists.

        Raises `InvalidRequest` when it is too large or holds what the store cannot keep.
        """
        try:
            await self._jobs.insert_one(_document(job))
        except DuplicateKeyError:
            return False
        except _UNSTORABLE as error:
            raise _unstorable(error) from error
        return True

    @translated
    async def replace(self, job: Job) -> None:
        """Store a job in place of the one of that id; raises `IllegalTransition` unless no service ran that one."""
        try:
            written = await self._jobs.replace_one({"_id": job.id, "imported": {"$type": "string"}}, _document(job))
        except _UNSTORABLE as error:
            raise _unstorable(error) from error
        if not written.matched_count:
            raise IllegalTransition(f"job {job.id} belongs to the services, and only they change it")

    @translated
    async def delete(self, job_id: str, *, only: Stage | None = None) -> None:
        """Delete a job that has ended, and its tasks.

        Raises `NotFound`, also where it is not as `only` says, and `IllegalTransition` when it has not ended, or has
        tasks that are yet to be cancelled at the provider.
        """
        found = await self._jobs.find_one({"_id": job_id, **(only or {})})
        if found is None:
            raise NotFound(f"there is no job {job_id}")
        job = read(Job, found)
        if not job.has_ended:
            raise IllegalTransition(f"job {job_id} is {job.state}; cancel it first (mgym job cancel {job_id})")
        if await self._tasks.find_one({"job_id": job_id, "withdraw_at": {"$exists": True}}, {"_id": 1}) is not None:
            raise IllegalTransition(f"job {job_id}: {job.provider} is still to be told that it was cancelled")
        # In this order a crash leaves a job that can be deleted again, and no moment in which a request for it would be
        # taken for a new one.
        if job.imported is None:
            mark = {"$setOnInsert": {"suite_id": job.suite_id}}
            await self._deleted.update_one({"_id": job_id}, mark, upsert=True)
        await self._tasks.delete_many({"job_id": job_id})
        await self._jobs.delete_one({"_id": job_id})

    @translated
    async def is_deleted(self, job_id: str) -> bool:
        """Whether there was a job of that id which the services ran, and which was deleted."""
        return await self._deleted_by_id(job_id) is not None

    @translated
    async def is_deleted_suite(self, suite_id: str) -> bool:
        """Whether there was a suite of that id of which a job was deleted."""
        return await self._deleted.find_one({"suite_id": {"$type": "string", "$eq": suite_id}}) is not None


def _document(job: Job) -> dict[str, Any]:
    return job.model_dump(by_alias=True, exclude_defaults=True)


def _unstorable(error: Exception) -> InvalidRequest:
    return InvalidRequest([Problem("$", f"cannot be stored: {error}")])
