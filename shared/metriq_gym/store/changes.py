"""Following jobs by the store's change streams: changes are pushed, not asked for again and again."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pymongo.errors import OperationFailure, PyMongoError

from metriq_gym.errors import NotFound, Permanent, Unavailable, UnreadableDocument
from metriq_gym.jobs.documents import Job, is_settled
from metriq_gym.jobs.states import TaskState
from metriq_gym.store.jobs import Jobs
from metriq_gym.store.reading import read_all
from metriq_gym.store.tasks import Tasks

_AWAIT_MS = 500
"""How long the driver's thread waits for a change at a time; closing a stream waits for it to come back."""
_LOST = frozenset({2, 9, 14, 43, 136, 237, 260, 280, 286, 40647, 50811})
"""Codes of an event that a stream cannot begin after: it is none, or is not kept any more."""
_REST = 4
"""What many changes of a suite cost a client is kept to one part of its time in so many more."""
_LONGEST_REST_SECONDS = 0.25
_SILENT = ("lease", "check_at", "checked_by", "updated_at", "deaths", "attempts", "record_due")
"""Fields whose change tells a person nothing."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that changed."""

    token: str
    """Where the stream goes on after it; of two, the later one is the greater."""
    kind: Literal["opened", "job", "task", "deleted", "estimate"]
    id: str
    """Of the job (a task's job), or of the estimate; empty when the stream was opened."""
    state: str | None = None
    """The state that the job, or the task, has entered; None where it stayed in the one it was in."""


class Changes:
    """Change streams over the whole database. All raise `Unavailable` when a stream breaks: open another."""

    def __init__(self, database: Any, jobs: Jobs, tasks: Tasks) -> None:
        self._database = database
        self._jobs = jobs
        self._tasks = tasks

    async def job(
        self, job_id: str, *, until: Callable[[Job], bool] = is_settled
    ) -> AsyncGenerator[tuple[Job, Mapping[str, int]], None]:
        """Yield the job and how many of its tasks are in each state, once it exists and until it is as wanted.

        It is yielded when it has changed, when a provider has taken one of its tasks and when one has counts. Raises
        `NotFound` when it is deleted meanwhile.
        """
        task_got_on = {
            "ns.coll": "tasks",
            "documentKey._id": {"$regex": f"^{re.escape(job_id)}:"},
            "$or": [
                {"updateDescription.updatedFields.provider_job_id": {"$type": "string"}},
                {"updateDescription.updatedFields.state": TaskState.COMPLETED},
            ],
        }
        either = {"$or": [{"ns.coll": "jobs", "documentKey._id": job_id}, task_got_on]}
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
                    yield job, await self._tasks.counts(job_id)
                    if until(job):
                        return
                changed = (await stream.next())["ns"]["coll"]

    async def suite(self, suite_id: str) -> AsyncGenerator[list[Job], None]:
        """Yield the jobs of a suite that dispatchers have seen, each time some of them have changed; never ends.

        All are read once, and then those that have changed since they were yielded last, together.
        """
        ours = {"ns.coll": "jobs", "fullDocument.suite_id": suite_id}
        only_ids = {"$project": {"_id": 1, "ns": 1, "documentKey": 1}}
        async with (
            self._open([{"$match": ours}, only_ids], full_document="updateLookup") as stream,
            _listening(stream) as heard,
        ):
            jobs = await self._suite(suite_id)
            while True:
                began = time.thread_time()
                yield [jobs[job_id] for job_id in sorted(jobs)]
                # Meanwhile more changes, of which each costs as much as the suite is large.
                await asyncio.sleep(min(_REST * (time.thread_time() - began), _LONGEST_REST_SECONDS))
                jobs = await self._changed(suite_id, jobs, await heard.news())

    async def _changed(self, suite_id: str, jobs: dict[str, Job], changed: Sequence[str]) -> dict[str, Job]:
        found = await asyncio.gather(*map(self._find_readable, changed))
        read = [job for job in found if job is not None]
        if len(read) < len(found) or not jobs:
            return await self._suite(suite_id)
        sizes = (each.suite_size for each in jobs.values() if each.suite_size is not None)
        if (size := next(sizes, None)) is not None:  # of which those that were deleted are no part
            read = [each.model_copy(update={"suite_size": each.suite_size and size}) for each in read]
        return jobs | {each.id: each for each in read}

    async def _suite(self, suite_id: str) -> dict[str, Job]:
        try:
            return {job.id: job for job in await self._jobs.suite(suite_id)}
        except NotFound:
            return {}

    async def all(self) -> AsyncGenerator[Job, None]:
        """Yield each job that changes from now on; never ends."""
        changed = {"ns.coll": "jobs", "operationType": {"$in": ["insert", "update", "replace"]}}
        async with self._open([{"$match": changed}], full_document="updateLookup") as stream:
            while True:
                document = (await stream.next()).get("fullDocument")
                if document is not None:
                    for job in read_all(Job, [document]):
                        yield job

    async def events(self, after: str | None = None, until: str | None = None) -> AsyncGenerator[Event, None]:
        """Yield that the stream is open, then what changes in jobs, tasks and estimates.

        With `after`, the token of an event, that is what came after it, else what comes from now on. Ends only with
        `until`, at the place of that token. Raises `Permanent` when there was no event `after`, or what came after it
        is not kept any more.
        """
        changed = {"$objectToArray": {"$ifNull": ["$updateDescription.updatedFields", {}]}}
        wanted = [
            {"ns.coll": "jobs", "operationType": {"$in": ["insert", "update", "replace", "delete"]}},
            {"ns.coll": "tasks", "updateDescription.updatedFields.state": {"$type": "string"}},
            {"ns.coll": "estimates", "operationType": "insert"},
        ]
        fields = {
            "ns": 1,
            "operationType": 1,
            "documentKey": 1,
            "state": {"$ifNull": ["$updateDescription.updatedFields.state", "$fullDocument.state"]},
            "changed": {"$map": {"input": changed, "in": "$$this.k"}},
            "removed": "$updateDescription.removedFields",
        }
        options = {} if after is None else {"resume_after": {"_data": after}}
        try:
            async with self._open([{"$match": {"$or": wanted}}, {"$project": fields}], **options) as stream:
                opened = False
                while True:
                    change = await stream.try_next()
                    # After the last change of a batch the driver's token is where the batch ended, which may be later.
                    place = str((stream.resume_token if change is None else change["_id"])["_data"])
                    if not opened and change is None:
                        yield Event(place, "opened", "")
                    opened = True
                    if until is not None and place > until:
                        return
                    if change is not None and (event := _event(change)) is not None:
                        yield event
                    if place == until:
                        return
        except Unavailable as error:
            cause = error.__cause__
            if after is not None and isinstance(cause, OperationFailure) and cause.code in _LOST:
                raise Permanent("there is no such event, or what came after it is not kept any more") from error
            raise

    async def _find(self, job_id: str) -> Job | None:
        try:
            return await self._jobs.get(job_id)
        except NotFound:
            return None

    async def _find_readable(self, job_id: str) -> Job | None:
        try:
            return await self._find(job_id)
        except UnreadableDocument:
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


class _Heard:
    """The ids of documents that have changed, since they were last asked for."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._error: Exception | None = None
        self._any = asyncio.Event()

    async def listen(self, stream: Any) -> None:
        """Hear of all changes, until the stream breaks."""
        try:
            while True:
                change = await stream.next()
                self._ids[change["documentKey"]["_id"]] = None
                self._any.set()
        except Exception as error:
            self._error = error
            self._any.set()

    async def news(self) -> list[str]:
        """Return the ids of what has changed, as soon as something has; raises what the stream broke with."""
        await self._any.wait()
        if not self._ids and self._error is not None:
            raise self._error
        if self._error is None:
            self._any.clear()
        ids, self._ids = [*self._ids], {}
        return ids


@asynccontextmanager
async def _listening(stream: Any) -> AsyncIterator[_Heard]:
    """Hear of changes also while what is yielded is not asked."""
    heard = _Heard()
    listening = asyncio.create_task(heard.listen(stream))
    try:
        yield heard
    finally:
        listening.cancel()
        await asyncio.wait({listening})


def _event(change: Mapping[str, Any]) -> Event | None:
    """Return what a change tells; None when it tells a person nothing."""
    token, key = change["_id"]["_data"], str(change["documentKey"]["_id"])
    match change["ns"]["coll"], change["operationType"]:
        case "tasks", _:
            return Event(token, "task", key.rpartition(":")[0], change.get("state"))
        case "estimates", _:
            return Event(token, "estimate", key)
        case _, "delete":
            return Event(token, "deleted", key)
        case _, "update":
            names = [*change.get("changed", ()), *(change.get("removed") or ())]
            if all(name.partition(".")[0] in _SILENT for name in names):
                return None
    return Event(token, "job", key, change.get("state"))
