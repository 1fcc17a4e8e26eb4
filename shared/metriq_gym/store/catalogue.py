"""Looking at many jobs at once: lists, short ids, suites, and how the work stands. Nothing here writes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from metriq_gym.jobs.documents import Job, Task
from metriq_gym.jobs.states import NOTICES, OPEN_TASKS, TERMINAL, ExportState, JobState, TaskState
from metriq_gym.jobs.suite_progress import SuiteRun, summarise_alike
from metriq_gym.store.mongo import EPOCH, entries, from_now, rows, translated
from metriq_gym.store.reading import ODD, Unreadable, collection_of, describe, read_all, read_each, readable
from metriq_gym.store.searching import near_with_text, places_of_text, with_text, with_values
from metriq_gym.store.shapes import READABLE_JOB, READABLE_TASK

_BULKY = ("data", "result", "runs")
_UNLISTED = (
    "data",
    "runs",
    "history",
    "imported",
    "device_metadata",
    "input_two_qubit_gate_counts",
    "transpiled_two_qubit_gate_counts",
)
"""What is left out of lists."""
_ALIKE = {
    "state": "$state",
    "size": "$suite_size",
    "held": {"$gt": ["$held", None]},
    "imported": "$imported",
    "exports": {
        "$map": {
            "input": entries("exports"),
            "in": ["$$this.k", "$$this.v.state", {"$gt": ["$$this.v.attempts", 0]}],
        }
    },
}
"""What a suite's progress is told by: jobs that have the same of it count as the same."""
_OF_RUNS = (
    *("state", "created_at", "updated_at", "suite_id", "suite_name", "suite_size"),
    *("provider", "device", "tags", "held", "exports"),
)
"""What is read of a job of each kind."""
_MATRIX_AT_ONCE = 8
_BATCH = 200
"""Jobs that are read at a time where all of them are: a server's own batches are 16 MB, which take seconds to read."""
_NEWEST_FIRST = [("created_at", -1), ("_id", -1)]
AGES = (60, 3600, 86400)
"""Seconds by which the time that jobs have been in a state is told apart."""
MOST_MS = 5000
BRIEF_MS = 2000
"""How long a look for what cannot be read may take: at all there is, and among what is new or on its way."""
_HELD = {"held": {"$gt": ""}}  # as a partial index has it
_RECORDS = {"$filter": {"input": entries("exports"), "cond": {"$not": {"$in": ["$$this.k", list(NOTICES)]}}}}
_STUCK = {
    "state": JobState.SCORED,
    "$expr": {"$setEquals": [{"$map": {"input": _RECORDS, "in": "$$this.v.state"}}, [ExportState.FAILED]]},
}
"""As `Job.is_stuck` has it."""


@dataclass(frozen=True, slots=True)
class StateCount:
    """The jobs that are in one state."""

    state: JobState
    count: int
    oldest_seconds: float
    """For how long the one that has been in it for longest has."""
    ages: Sequence[int] = ()
    """How many of them have been in it for less than each of `AGES`, and than no shorter one; the rest come last."""


@dataclass(frozen=True, slots=True)
class DueTasks:
    """The tasks of one provider that a poller should look at now."""

    provider: str
    count: int
    lag_seconds: float
    """For how long the first of them has been due."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs a list is of; what is empty or None filters nothing."""

    states: Sequence[JobState] = ()
    benchmark: str | None = None
    provider: str | None = None
    device: str | None = None
    suite: str | None = None
    suite_name: str | None = None
    text: str | None = None
    """Stands in the id, the benchmark, the device, the suite's name or the remarks, whatever its case."""
    since: datetime | None = None
    until: datetime | None = None
    held: bool = False
    """Only those that wait for an operator."""
    tags: Sequence[str] = ()
    """Only those that have all of these."""
    least_score: float | None = None
    most_score: float | None = None

    def query(self) -> dict[str, Any]:
        """Return it as the store has it."""
        exact = {"benchmark_name": self.benchmark, "provider": self.provider, "device": self.device}
        found: dict[str, Any] = {key: value for key, value in exact.items() if value}
        if self.states:
            found["state"] = {"$in": list(self.states)} if len(self.states) > 1 else self.states[0]
        if self.suite:
            found["suite_id"] = {"$type": "string", "$eq": self.suite}
        if self.suite_name:
            found["suite_name"] = self.suite_name
        if self.held:
            found |= _HELD
        if self.tags:
            found["tags"] = {"$all": list(self.tags)}
        ranges: dict[str, dict[str, Any]] = {
            "created_at": {"$gte": self.since, "$lt": self.until},
            "result.score.value": {"$gte": self.least_score, "$lte": self.most_score},
        }
        for field, bounds in ranges.items():
            if given := {operator: bound for operator, bound in bounds.items() if bound is not None}:
                found[field] = given
        if self.text:
            found |= with_text(self.text)
        return found


@dataclass(frozen=True, slots=True)
class StageTimes:
    """How long jobs were in a state before they moved on."""

    state: JobState
    count: int
    mean_seconds: float
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class WaitingSuite:
    """A suite whose results wait for jobs that should have ended by now."""

    id: str
    waiting: int
    size: int


@dataclass(frozen=True, slots=True)
class FailedExports:
    """Exports to one target that failed."""

    target: str
    count: int
    newest: str
    """The id of the job that moved last of those."""


class Catalogue:
    """Reads the ``jobs`` and ``tasks`` collections, and which jobs were deleted."""

    def __init__(self, jobs: Any, tasks: Any, deleted: Any) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._deleted = deleted

    @translated
    async def find(self, filters: Mapping[str, Any] | None = None, *, limit: int = 0) -> list[Job]:
        """Return jobs whose fields have the given values, newest first; all of them when `limit` is 0."""
        cursor = self._jobs.find(dict(filters or {})).sort(_NEWEST_FIRST).limit(limit)
        return await read_each(Job, cursor)

    @translated
    async def page(
        self,
        which: Filter | None = None,
        *,
        after: tuple[datetime, str] | None = None,
        ascending: bool = False,
        limit: int = 50,
    ) -> list[Job]:
        """Return a page of a list of jobs, the newest first unless `ascending`, without what is bulky.

        `after` is the time of creation and the id of the last job of the page before.
        """
        which = which or Filter()
        query, order = _listed(which, after, ascending)
        if not which.text:
            return await self._some(query, order, limit)
        others, _ = _listed(replace(which, text=None), after, ascending)
        near = await read_each(Job, rows(self._jobs, near_with_text(which.text, others, order, limit, _UNLISTED)))
        if len(near) == limit:
            return near
        places = await self._places(which.text)
        if places is None:
            return await self._some(query, order, limit)
        parts = await asyncio.gather(*(self._some({"$and": [others, each]}, order, limit) for each in places))
        found = {job.id: job for part in parts for job in part}
        return sorted(found.values(), key=lambda job: (job.created_at, job.id), reverse=not ascending)[:limit]

    async def _some(self, query: Mapping[str, Any], order: Sequence[tuple[str, int]], limit: int) -> list[Job]:
        cursor = self._jobs.find(query, dict.fromkeys(_UNLISTED, 0)).sort(order).limit(limit)
        return await read_each(Job, cursor)

    async def _places(self, text: str) -> list[dict[str, Any]] | None:
        benchmarks, devices, suites = await asyncio.gather(
            self.benchmark_names(), self.device_names(), self.suite_names()
        )
        values = [
            *with_values(text, "benchmark_name", benchmarks),
            *(each for at, name in devices for each in with_values(text, "device", [name], {"provider": at})),
            *with_values(text, "suite_name", suites),
        ]
        return await places_of_text(self._jobs, text, values)

    @translated
    async def explain_page(self, which: Filter | None = None, *, limit: int = 50) -> dict[str, Any]:
        """Return the store's plan for `page`, with what it had to look at."""
        query, order = _listed(which or Filter(), None, False)
        found = self._jobs.find(query, dict.fromkeys(_UNLISTED, 0)).sort(order).limit(limit)
        explained: dict[str, Any] = await found.explain()
        return explained

    @translated
    async def brief(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Return jobs by id, without what is bulky; those that there are not are left out."""
        cursor = self._jobs.find({"_id": {"$in": list(job_ids)}}, dict.fromkeys((*_UNLISTED, "result", "config"), 0))
        return {job.id: job for job in await read_each(Job, cursor)}

    @translated
    async def benchmark_names(self) -> list[str]:
        """Return the benchmarks that there are jobs of."""
        return sorted(name for name in await self._jobs.distinct("benchmark_name") if name)

    @translated
    async def device_names(self) -> list[tuple[str, str]]:
        """Return provider and device of all that there are jobs for."""
        providers = sorted(name for name in await self._jobs.distinct("provider") if name)
        found = [(name, await self._jobs.distinct("device", {"provider": name})) for name in providers]
        return [(name, device) for name, devices in found for device in sorted(devices)]

    @translated
    async def suite_names(self) -> list[str]:
        """Return the names of suites that there are jobs of; an index alone tells."""
        return sorted(await self._jobs.distinct("suite_name", {"suite_name": {"$gt": ""}}))

    async def scored(self, which: Filter, *, ascending: bool = True, limit: int = 0) -> AsyncIterator[Job]:
        """Yield the jobs that have a result, the oldest first unless told else; 0 is no limit."""
        query = which.query() | {"result": {"$exists": True}}
        direction = 1 if ascending else -1
        unread = dict.fromkeys(("data", "runs", "history", "imported"), 0)
        found = self._jobs.find(query, unread).sort([("created_at", direction), ("_id", direction)]).limit(limit)
        async for job in readable(Job, _in_words(found.batch_size(_BATCH))):
            yield job

    @translated
    async def newest_scored(self, pairs: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Job]:
        """Return the newest job with a result of each benchmark, provider and device; those without one are left out.

        Each is one step of an index, however many jobs there are.
        """
        at_once = asyncio.Semaphore(_MATRIX_AT_ONCE)

        async def newest(pair: tuple[str, str, str]) -> Job | None:
            query = dict(zip(("benchmark_name", "provider", "device"), pair, strict=True))
            async with at_once:
                found = await self._jobs.find_one(
                    query | {"result": {"$exists": True}},
                    dict.fromkeys(("data", "runs", "history", "imported"), 0),
                    sort=[("created_at", -1)],
                )
            return None if found is None else next(iter(read_all(Job, [found])), None)

        jobs = await asyncio.gather(*map(newest, pairs))
        return {pair: job for pair, job in zip(pairs, jobs, strict=True) if job is not None}

    @translated
    async def stage_times(self, seconds: float, *, limit: int = 5000) -> list[StageTimes]:
        """Return how long the newest jobs, of those created in the last `seconds`, were in each state."""
        newest = self._jobs.find(
            {"created_at": {"$gte": await self.now() - timedelta(seconds=seconds)}} | READABLE_JOB, {"history": 1}
        )
        spent: dict[JobState, list[float]] = {}
        async for found in newest.sort(_NEWEST_FIRST).limit(limit):
            moves = [each for each, before in _with_before(found.get("history", ())) if each["state"] != before]
            for entered, left in pairwise(moves):
                span = (left["at"] - entered["at"]).total_seconds()
                spent.setdefault(JobState(entered["state"]), []).append(span)
        return [
            StageTimes(state, len(spent[state]), sum(spent[state]) / len(spent[state]), max(spent[state]))
            for state in JobState
            if state in spent
        ]

    @translated
    async def created_since(self, at: datetime) -> int:
        """Return how many jobs were created at that time or later."""
        return int(await self._jobs.count_documents({"created_at": {"$gte": at}}))

    @translated
    async def exported_since(self, at: datetime) -> int:
        """Return how many jobs are exported and have been so since that time or later; an index alone tells."""
        return int(await self._jobs.count_documents({"state": JobState.EXPORTED, "updated_at": {"$gte": at}}))

    @translated
    async def now(self) -> datetime:
        """Return the server's time, by which everything in the store is dated."""
        hello = await self._jobs.database.client.admin.command("hello")
        at: datetime = hello["localTime"]
        return datetime.combine(at.date(), at.time(), UTC)

    @translated
    async def counts(self, job_id: str) -> list[Task]:
        """Return a job's tasks with their counts and without circuits, in the order of their circuits."""
        found = self._tasks.find({"job_id": job_id}, {"circuits": 0}).sort([("run", 1), ("first", 1)])
        return await read_each(Task, found)

    @translated
    async def held(self) -> list[Job]:
        """Return the jobs that wait for an operator; without what is bulky."""
        return await read_each(Job, self._jobs.find(_HELD, dict.fromkeys(_BULKY, 0)).sort(_NEWEST_FIRST))

    @translated
    async def stuck(self) -> list[Job]:
        """Return the jobs whose result could be exported nowhere; without what is bulky."""
        found = self._jobs.find(_STUCK, dict.fromkeys(_BULKY, 0)).sort(_NEWEST_FIRST)
        jobs = await read_each(Job, found)
        return [job for job in jobs if job.is_stuck]

    @translated
    async def job_ids(self, prefix: str, *, limit: int) -> list[str]:
        """Return the ids of jobs that begin with `prefix`, in order."""
        return [found["_id"] async for found in self._jobs.find(_begins("_id", prefix), {}).sort("_id").limit(limit)]

    @translated
    async def job_ids_of_suite(self, suite: str, name: str, *, limit: int) -> list[str]:
        """Return the ids of suites' jobs, as `job_ids`: `suite` begins the suite's part, `name` the part of the job."""
        of_both = {"_id": {"$regex": f"^{re.escape(suite)}[^.]*\\.{re.escape(name)}"}}
        return [found["_id"] async for found in self._jobs.find(of_both, {}).sort("_id").limit(limit)]

    @translated
    async def suite_ids(self, prefix: str = "", *, limit: int, filters: Mapping[str, Any] | None = None) -> list[str]:
        """Return the ids of suites that begin with `prefix`, the one with the newest job first.

        With `filters`, only of those with a job whose fields have the given values. Without them an index alone tells,
        in one step a suite, however many jobs each has.
        """
        begins = {"$regex": f"^{re.escape(prefix)}"} if prefix else {}
        stages: list[dict[str, Any]] = [
            {"$match": {"suite_id": {"$gt": ""} | begins} | dict(filters or {})},
            {"$sort": {"suite_id": 1, "created_at": -1, "_id": -1}},
            {"$group": {"_id": "$suite_id", "at": {"$first": "$created_at"}, "job": {"$first": "$_id"}}},
            {"$sort": {"at": -1, "job": -1}},
            {"$limit": limit},
        ]
        return [found["_id"] async for found in rows(self._jobs, stages)]

    @translated
    async def suite_runs(self, suite_ids: Sequence[str]) -> list[SuiteRun]:
        """Return how far suites are, in this order, without those of which no job can be read.

        The server counts jobs that are alike, so that a suite of thousands takes no more to send than one of ten.
        """
        query = {"suite_id": {"$type": "string", "$in": list(suite_ids)}}
        stages: list[dict[str, Any]] = [
            {"$match": query | READABLE_JOB},
            # Of what was imported only that it was: it is a whole record.
            {
                "$project": dict.fromkeys(_OF_RUNS, 1)
                | {"imported": {"$cond": [{"$gt": ["$imported", None]}, "", None]}}
            },
            {"$sort": {"created_at": 1, "_id": 1}},
            {"$group": {"_id": {"suite": "$suite_id"} | _ALIKE, "count": {"$sum": 1}, "like": {"$first": "$$ROOT"}}},
        ]
        kinds: dict[str, list[tuple[Job, int]]] = {}
        async for found in rows(self._jobs, stages):
            for job in read_all(Job, [found["like"]]):
                kinds.setdefault(str(job.suite_id), []).append((job, found["count"]))
        gone = {"$group": {"_id": "$suite_id", "count": {"$sum": {"$cond": [{"$eq": ["$_id", "$suite_id"]}, 0, 1]}}}}
        deleted = {each["_id"]: each["count"] async for each in rows(self._deleted, [{"$match": query}, gone])}
        return [_run(each, kinds[each], deleted.get(each, 0)) for each in suite_ids if each in kinds]

    @translated
    async def provider_job_ids(self, job_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return what the provider calls the tasks of each job, in the order of the circuits; local ones have none."""
        query = {"job_id": {"$in": list(job_ids)}, "provider_job_id": {"$type": "string"}}
        fields = {"job_id": 1, "provider_job_id": 1}
        found: dict[str, list[str]] = {}
        async for task in self._tasks.find(query, fields).sort([("run", 1), ("first", 1)]):
            found.setdefault(task["job_id"], []).append(task["provider_job_id"])
        return found

    @translated
    async def next_start(self, job_id: str) -> tuple[int, datetime | None] | None:
        """Return the foremost place of a job's tasks in their provider's queue, and the start expected for it."""
        query = {"job_id": job_id, "state": TaskState.SUBMITTED, "queue_position": {"$gte": 0}}
        fields = {"queue_position": 1, "starts_at": 1}
        async for task in self._tasks.find(query, fields).sort([("queue_position", 1)]).limit(1):
            return task["queue_position"], task.get("starts_at")
        return None

    @translated
    async def outline(self, job_id: str) -> list[Task]:
        """Return a job's tasks without circuits and counts, in the order of their circuits."""
        found = self._tasks.find({"job_id": job_id}, {"circuits": 0, "counts": 0}).sort([("run", 1), ("first", 1)])
        return await read_each(Task, found)

    @translated
    async def by_state(self) -> list[StateCount]:
        """Return how many jobs are in each state, in the order a job goes through them."""
        younger = {f"y{age}": {"$sum": {"$cond": [{"$lt": ["$age", 1000 * age]}, 1, 0]}} for age in AGES}
        stages: list[dict[str, Any]] = [
            # By an index alone, which this bound calls for.
            {"$match": {"state": {"$gte": ""}, "updated_at": {"$type": "date"}}},
            {"$project": {"_id": 0, "state": 1, "age": {"$subtract": ["$$NOW", "$updated_at"]}}},
            {"$group": {"_id": "$state", "count": {"$sum": 1}, "oldest": {"$max": "$age"}} | younger},
        ]
        counted = {found["_id"]: found async for found in rows(self._jobs, stages)}
        return [_state_count(state, counted[state]) for state in JobState if state in counted]

    @translated
    async def waiting_suites(self, seconds: float, *, limit: int = 100) -> list[WaitingSuite]:
        """Return suites whose results have waited for the rest of them since jobs that are older than `seconds`."""
        stages: list[dict[str, Any]] = [
            {"$match": {"state": JobState.SCORED, "suite_id": {"$type": "string"}, "suite_size": {"$gte": 1}}},
            {"$match": {"$expr": {"$lte": ["$created_at", from_now(-seconds)]}, **READABLE_JOB}},
            {"$set": {"waits": {"$map": {"input": entries("exports"), "in": "$$this.v"}}}},
            {"$match": {"waits": {"$elemMatch": {"state": ExportState.PENDING, "attempts": 0}}}},
            {"$group": {"_id": "$suite_id", "jobs": {"$sum": 1}, "size": {"$max": "$suite_size"}}},
            {"$sort": {"_id": 1}},
            {"$limit": limit},
        ]
        return [WaitingSuite(each["_id"], each["jobs"], each["size"]) async for each in rows(self._jobs, stages)]

    @translated
    async def standing_still(self, seconds: float, *, limit: int = 100) -> list[Job]:
        """Return jobs that have not moved for so long though nothing is being waited for; without what is bulky.

        That is: in no dispatcher's hands and not held, not scored, with a result that is not exported and waits for no
        suite, or with a provider that has nothing left to do for them.
        """
        open_tasks = {
            "from": self._tasks.name,
            "localField": "_id",
            "foreignField": "job_id",
            "pipeline": [{"$match": {"state": {"$in": list(OPEN_TASKS)}}}, {"$limit": 1}, {"$project": {"_id": 1}}],
            "as": "open_tasks",
        }
        old = {"$lte": ["$updated_at", from_now(-seconds)]}
        not_in_hands = {"$not": {"$gt": ["$lease.expires_at", "$$NOW"]}}
        states = [JobState.DISPATCHING, JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED]
        stages: list[dict[str, Any]] = [
            {"$match": {"state": {"$in": states}, "held": None, "$expr": {"$and": [old, not_in_hands]}}},
            {"$match": {"$or": [{"state": {"$ne": JobState.SCORED}}, {"suite_id": None}]}},
            {"$unset": list(_BULKY)},
            {"$lookup": open_tasks},
            {"$match": {"$or": [{"state": {"$ne": JobState.DISPATCHED}}, {"open_tasks": []}]}},
            {"$limit": limit},
        ]
        jobs = await read_each(Job, rows(self._jobs, stages))
        return [job for job in jobs if not job.is_stuck]

    @translated
    async def state_counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state: told by an index alone, which counts without reading its keys."""
        counts = await asyncio.gather(*(self._jobs.count_documents({"state": state}) for state in JobState))
        return dict(zip(JobState, map(int, counts), strict=True))

    @translated
    async def undecided_counts(self) -> tuple[int, int]:
        """Return how many jobs are held for an operator, and how many have a result that could be exported nowhere."""
        return await self._jobs.count_documents(_HELD), await self._jobs.count_documents(_STUCK)

    @translated
    async def failed_exports(self, since: datetime, *, limit: int, dropped: str) -> list[FailedExports]:
        """Return the exports that failed of the jobs that moved last, of `limit` at most, by target.

        An export that ended with the error `dropped` stays so.
        """
        failed = {"$and": [{"$eq": ["$$this.v.state", ExportState.FAILED]}, {"$ne": ["$$this.v.error", dropped]}]}
        exported = [JobState.EXPORTED, JobState.FAILED, JobState.CANCELLED]
        stages: list[dict[str, Any]] = [
            {"$match": {"state": {"$in": exported}, "updated_at": {"$gte": since}}},
            {"$sort": {"updated_at": -1}},
            {"$limit": limit},
            {"$project": {"failed": {"$filter": {"input": entries("exports"), "cond": failed}}}},
            {"$unwind": "$failed"},
            {"$group": {"_id": "$failed.k", "count": {"$sum": 1}, "job": {"$first": "$_id"}}},
            {"$sort": {"_id": 1}},
        ]
        found = rows(self._jobs, stages)
        return [FailedExports(each["_id"], each["count"], each["job"]) async for each in found]

    @translated
    async def due(self) -> list[DueTasks]:
        """Return how many tasks are due at each provider, and for how long."""
        stages: list[dict[str, Any]] = [
            # Both bounds say nothing but which index serves.
            {"$match": {"provider": {"$gte": ""}, "next_poll_at": {"$gt": EPOCH}}},
            {"$match": {"$expr": {"$lte": ["$next_poll_at", "$$NOW"]}}},
            {"$group": {"_id": "$provider", "count": {"$sum": 1}, "first": {"$min": "$next_poll_at"}}},
            {"$set": {"lag": {"$subtract": ["$$NOW", "$first"]}}},
            {"$sort": {"_id": 1}},
        ]
        found = rows(self._tasks, stages)
        return [DueTasks(each["_id"], each["count"], each["lag"] / 1000) async for each in found]

    @translated
    async def furthest_ahead(self, provider: str) -> float:
        """Return in how many seconds the last of a provider's tasks is to be looked at; negative if all are due."""
        query = {"provider": provider, "next_poll_at": {"$gt": EPOCH}}
        found = self._tasks.find(query, {"ahead": {"$subtract": ["$next_poll_at", "$$NOW"]}})
        last = [each["ahead"] / 1000 async for each in found.sort([("next_poll_at", -1)]).limit(1)]
        return last[0] if last else 0.0

    @translated
    async def unreadable(self, *, newest: int | None = None, limit: int = 100) -> list[Unreadable]:
        """Return documents that this version cannot read; raises `Unavailable` when to look takes too long.

        Of the tasks, those that have ended are not looked at. With `newest`, only so many of each are that were stored
        last, and besides those of which services have something left to do.
        """
        ended = [state for state in TaskState if state not in OPEN_TASKS]
        odd_jobs = {"$nor": [READABLE_JOB]}
        odd_tasks = {"state": {"$nin": ended}, "$nor": [READABLE_TASK]}
        if newest is None:
            found = [
                *await self._unreadable(Job, self._jobs, [{"$match": odd_jobs}], limit, MOST_MS),
                *await self._unreadable(Task, self._tasks, [{"$match": odd_tasks}], limit, MOST_MS),
            ]
        else:
            last = [{"$limit": newest}]
            open_jobs = {"state": {"$nin": list(TERMINAL)}} | odd_jobs
            odd_of_job = {
                "from": self._tasks.name,
                "localField": "_id",
                "foreignField": "job_id",
                "pipeline": [{"$match": odd_tasks}],
                "as": "odd",
            }
            of_open_jobs: list[dict[str, Any]] = [
                {"$match": {"state": open_jobs["state"]}},
                {"$project": {"_id": 1}},
                {"$lookup": odd_of_job},
                {"$unwind": "$odd"},
                {"$replaceWith": "$odd"},
            ]
            found = [
                *await self._unreadable(Job, self._jobs, [{"$match": open_jobs}], limit),
                *await self._unreadable(Job, self._jobs, [*last, {"$match": odd_jobs}], limit, newest_first=True),
                *await self._unreadable(Task, self._jobs, of_open_jobs, limit),
                *await self._unreadable(Task, self._tasks, [*last, {"$match": odd_tasks}], limit, newest_first=True),
            ]
        return list(dict.fromkeys(found))

    async def _unreadable(
        self,
        kind: type[Job | Task],
        collection: Any,
        stages: list[dict[str, Any]],
        limit: int,
        most_ms: int = BRIEF_MS,
        *,
        newest_first: bool = False,
    ) -> list[Unreadable]:
        order = {"hint": {"$natural": -1}} if newest_first else {}
        odd = []
        async for document in rows(collection, [*stages, {"$limit": limit}], maxTimeMS=most_ms, **order):
            try:
                kind.model_validate(document)
            except ValidationError as error:
                odd.append(describe(kind, document, error))
            else:
                odd.append(Unreadable(collection_of(kind), str(document["_id"]), ODD))
        return odd

    @translated
    async def unfinished(self) -> int:
        """Return how many jobs have not ended."""
        return int(await self._jobs.count_documents({"state": {"$nin": list(TERMINAL)}, "imported": None}))


def _listed(
    which: Filter, after: tuple[datetime, str] | None, ascending: bool
) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    query = which.query()
    if after is not None:
        at, job_id = after
        beyond = "$gt" if ascending else "$lt"
        # The first bound is implied by the second; it lets the index begin in the right place.
        behind = [
            {"created_at": {f"{beyond}e": at}},
            {"$or": [{"created_at": {beyond: at}}, {"_id": {beyond: job_id}}]},
        ]
        query = {"$and": [query, *behind]}
    direction = 1 if ascending else -1
    return query, [("created_at", direction), ("_id", direction)]


def _with_before(history: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    before = None
    for each in history:
        yield each, before
        before = each["state"]


async def _in_words(cursor: Any) -> AsyncIterator[dict[str, Any]]:
    """Yield what a cursor finds; what the driver raises on the way is translated as that of any other call."""
    rows = cursor.__aiter__()

    @translated
    async def step() -> dict[str, Any] | None:
        return await anext(rows, None)

    while (row := await step()) is not None:
        yield row


def _run(suite_id: str, kinds: Sequence[tuple[Job, int]], deleted: int) -> SuiteRun:
    first = min((job for job, _ in kinds), key=lambda job: job.created_at)
    progress = summarise_alike(kinds, deleted)
    return SuiteRun(suite_id, first.suite_name, first.provider, first.device, first.tags, first.created_at, progress)


def _begins(field: str, prefix: str) -> dict[str, Any]:
    return {field: {"$type": "string", "$regex": f"^{re.escape(prefix)}"}}


def _state_count(state: JobState, row: Mapping[str, Any]) -> StateCount:
    bounds = [0, *(row[f"y{age}"] for age in AGES), row["count"]]
    ages = [upper - lower for lower, upper in pairwise(bounds)]
    return StateCount(state, row["count"], row["oldest"] / 1000, ages)
