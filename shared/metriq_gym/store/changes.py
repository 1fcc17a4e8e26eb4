"""Following jobs by the store's change streams: changes are pushed, not asked for again and again."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pymongo.errors import PyMongoError

from metriq_gym.errors import NotFound, Unavailable
from metriq_gym.jobs.documents import Job, is_settled
from metriq_gym.jobs.states import TaskState
from metriq_gym.store.jobs import Jobs
from metriq_gym.store.tasks import Tasks

_AWAIT_MS = 500
"""How long the driver's thread waits for a change at a time; closing a stream waits for it to come back."""


class Changes:
    """Change streams over the whole database. All raise `Unavailable` when a stream breaks: open another."""

    def __init__(self, database: Any, jobs: Jobs, tasks: Tasks) -> None:
        self._database = database
        self._jobs = jobs
        self._tasks = tasks

    async def job(
        self, job_id: str, *, until: Callable[[Job], bool] = is_settled
    ) -> AsyncGenerator[tuple[Job, int], None]:
        """Yield the job and the number of its completed tasks, once it exists and until it is as wanted.

        Raises `NotFound` when it is deleted meanwhile.
        """
        task_ended = {
            "ns.coll": "tasks",
            "documentKey._id": {"$regex": f"^{re.escape(job_id)}:"},
            "updateDescription.updatedFields.state": TaskState.COMPLETED,
        }
        either = {"$or": [{"ns.coll": "jobs", "documentKey._id": job_id}, task_ended]}
        # What has changed is read anew: a change may carry a task's counts, megabytes that were not asked for.
        async with self._open([{"$match": either}, {"$project": {"_id": 1, "ns": 1}}]) as stream:
            changed = "jobs"
            job: Job | None = None
            while True:
                if job is None:
                    job = await self._find(job_id)
                elif changed == "jobs":
                    job = await self._jobs.get(job_id)
                if job is not None:
                    yield job, await self._tasks.count(job_id, TaskState.COMPLETED)
                    if until(job):
                        return
                changed = (await stream.next())["ns"]["coll"]

    async def suite(self, suite_id: str) -> AsyncGenerator[list[Job], None]:
        """Yield the jobs of a suite that dispatchers have seen, each time one of them has changed; never ends."""
        ours = {"ns.coll": "jobs", "fullDocument.suite_id": suite_id}
        only_ids = {"$project": {"_id": 1, "ns": 1}}
        async with self._open([{"$match": ours}, only_ids], full_document="updateLookup") as stream:
            while True:
                try:
                    jobs = await self._jobs.suite(suite_id)
                except NotFound:
                    jobs = []
                yield jobs
                await stream.next()

    async def all(self) -> AsyncGenerator[Job, None]:
        """Yield each job that changes from now on; never ends."""
        changed = {"ns.coll": "jobs", "operationType": {"$in": ["insert", "update", "replace"]}}
        async with self._open([{"$match": changed}], full_document="updateLookup") as stream:
            while True:
                document = (await stream.next()).get("fullDocument")
                if document is not None:
                    yield Job.model_validate(document)

    async def _find(self, job_id: str) -> Job | None:
        try:
            return await self._jobs.get(job_id)
        except NotFound:
            return None

    @asynccontextmanager
    async def _open(self, pipeline: list[dict[str, Any]], **options: Any) -> AsyncIterator[Any]:
        try:
            stream = self._database.watch(pipeline, max_await_time_ms=_AWAIT_MS, **options)
            if hasattr(stream, "__await__"):  # PyMongo's own asynchronous client
                stream = await stream
            async with stream:
                yield stream
        except PyMongoError as error:
            raise Unavailable(f"the store's change stream broke: {error}") from error
