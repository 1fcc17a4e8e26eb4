"""Jobs written from outside the services: added or imported by a client, and deleted.

A job that no service ran has ``imported``, the record as it came. Only such a job can be replaced; any can be deleted
once it has ended.
"""

from __future__ import annotations

from typing import Any

from bson.errors import BSONError
from pymongo.errors import DocumentTooLarge, DuplicateKeyError

from metriq_gym.errors import IllegalTransition, InvalidRequest, NotFound, Problem
from metriq_gym.store.documents import TERMINAL, Job
from metriq_gym.store.mongo import translated

_UNSTORABLE = (BSONError, DocumentTooLarge, OverflowError)


class Records:
    """Writes the ``jobs`` collection for clients."""

    def __init__(self, jobs: Any, tasks: Any) -> None:
        self._jobs = jobs
        self._tasks = tasks

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
    async def delete(self, job_id: str) -> None:
        """Delete a job that has ended, and its tasks; raises `IllegalTransition` when it has not, and `NotFound`."""
        found = await self._jobs.find_one({"_id": job_id}, {"state": 1})
        if found is None:
            raise NotFound(f"there is no job {job_id}")
        if found["state"] not in TERMINAL:
            raise IllegalTransition(f"job {job_id} is {found['state']}; cancel it first (mgym job cancel {job_id})")
        # A terminal state never changes, so a crash between the two leaves a job that can be deleted again.
        await self._tasks.delete_many({"job_id": job_id})
        await self._jobs.delete_one({"_id": job_id})


def _document(job: Job) -> dict[str, Any]:
    return job.model_dump(by_alias=True, exclude_defaults=True)


def _unstorable(error: Exception) -> InvalidRequest:
    return InvalidRequest([Problem("$", f"cannot be stored: {error}")])
