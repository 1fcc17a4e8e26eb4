"""Every query on job documents. A job changes by compare-and-set only, and never by an illegal move."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from pymongo import IndexModel, ReturnDocument

from metriq_gym.errors import IllegalTransition, LeaseLost, NotFound, Unavailable
from metriq_gym.jobs.changes import Accepted, Move, Planned, Rejected
from metriq_gym.jobs.documents import Job
from metriq_gym.jobs.states import MOVES, RESUMABLE, JobState, sources
from metriq_gym.store.indexes import ensure
from metriq_gym.store.mongo import Stage, from_now, literal, translated
from metriq_gym.store.reading import read, read_each
from metriq_gym.store.shapes import READABLE_JOB
from metriq_gym.store.together import Change, Writer, by_id
from metriq_gym.store.transitions import (
    entry,
    has_moved,
    held_anew,
    moving,
    new_move,
    not_checked_after,
    noted,
    resumed_so_often,
)

_ON_THEIR_WAY = [state for state in MOVES if JobState.FAILED in MOVES[state]]
"""States in which a job has no result yet, and has not ended without one."""
_RECORDED_ENDS = (JobState.FAILED, JobState.CANCELLED)
"""Ends that only a record tells of: until it is wherever it is wanted, the reconciler sees to it."""
_ANNOUNCED_ENDS = (JobState.CHECKED,)
"""Ends that only a message tells of: until it is published, the reconciler sees to it."""

_RECORDED = [JobState.SCORED, JobState.EXPORTED, JobState.FAILED, JobState.CANCELLED]


class Jobs:
    """The ``jobs`` collection."""

    def __init__(self, collection: Any, deleted: Any) -> None:
        self._jobs = collection
        self._deleted = deleted
        self._by_id = by_id(collection)
        self._writer = Writer(collection)

    async def create_indexes(self) -> None:
        """Create the indexes the queries below use, or see that they exist."""
        in_suite = {"suite_id": {"$type": "string"}}
        await ensure(
            self._jobs,
            [
                IndexModel([("state", 1), ("updated_at", 1)]),
                IndexModel([("created_at", -1), ("_id", -1)]),
                IndexModel([("suite_id", 1), ("state", 1)], partialFilterExpression=in_suite),
                # Named, since earlier versions made one of the same keys: by its filter no index alone tells the names.
                IndexModel(
                    [("suite_name", 1), ("created_at", -1), ("_id", -1)],
                    name="by_suite_name",
                    partialFilterExpression={"suite_name": {"$gt": ""}},
                ),
                # The newest job of each suite, in a step a suite; and a suite's list.
                IndexModel(
                    [("suite_id", 1), ("created_at", -1), ("_id", -1)],
                    partialFilterExpression={"suite_id": {"$gt": ""}},
                ),
                # Lists, the newest first, of those with one state, benchmark or device.
                IndexModel([("state", 1), ("created_at", -1), ("_id", -1)]),
                IndexModel([("benchmark_name", 1), ("created_at", -1), ("_id", -1)]),
                IndexModel([("provider", 1), ("device", 1), ("created_at", -1), ("_id", -1)]),
                IndexModel(
                    [("benchmark_name", 1), ("provider", 1), ("device", 1), ("created_at", -1)],
                    partialFilterExpression={"result": {"$exists": True}},
                ),
                IndexModel(
                    [("tags", 1), ("created_at", -1), ("_id", -1)], partialFilterExpression={"tags": {"$gt": ""}}
                ),
                IndexModel(
                    [("result.score.value", 1), ("created_at", -1), ("_id", -1)],
                    partialFilterExpression={"result.score.value": {"$exists": True}},
                ),
                # Remarks are searched without a look at any job.
                IndexModel([("remarks", 1), ("_id", 1)], partialFilterExpression={"remarks": {"$gt": ""}}),
                _where_set("deadline_at"),
                _where_set("record_due"),
                _where_set("held"),
                IndexModel([("to_notify.number", 1)], partialFilterExpression={"to_notify.number": {"$gt": 0}}),
            ],
        )
        await ensure(self._deleted, [IndexModel([("suite_id", 1)], partialFilterExpression=in_suite)])

    @translated
    async def accept(
        self,
        job_id: str,
        accepted: Accepted,
        *,
        owner: str,
        lease_seconds: float,
        deadline_seconds: float | None = None,
    ) -> Job:
        """Create the job as `dispatching` with its lease held by `owner`, or take over an expired lease.

        A job that is created has `deadline_seconds` to come to a result.
        Whatever else exists under that id stays as it is: the caller holds the job if and only if the returned
        document's ``lease.owner`` is `owner`.
        """
        lease = {"owner": owner, "expires_at": from_now(lease_seconds)}
        created = literal(accepted.fields()) | {
            "state": JobState.DISPATCHING,
            "created_at": "$$NOW",
            "updated_at": "$$NOW",
            "lease": lease | {"token": 1},
            "history": [entry(JobState.DISPATCHING, "dispatcher", "requested")],
        }
        if deadline_seconds is not None:
            created["deadline_at"] = from_now(deadline_seconds)
        taken_over = {
            "updated_at": "$$NOW",
            "lease": lease | {"token": {"$add": ["$lease.token", 1]}},
        }
        is_new = {"$eq": [{"$type": "$state"}, "missing"]}
        is_abandoned = {
            "$and": [
                {"$eq": ["$state", JobState.DISPATCHING]},
                {"$lte": ["$lease.expires_at", "$$NOW"]},
                {"$not": "$held"},
            ]
        }
        change = {"$cond": [is_new, created, {"$cond": [is_abandoned, taken_over, {}]}]}
        return await self._upsert(job_id, [{"$replaceWith": {"$mergeObjects": ["$$ROOT", change]}}])

    @translated
    async def reject(self, job_id: str, rejected: Rejected) -> Job:
        """Record a request that cannot be accepted; a job that exists under that id stays as it is."""
        created = literal(rejected.fields()) | {
            "state": JobState.REJECTED,
            "created_at": "$$NOW",
            "updated_at": "$$NOW",
            "history": [entry(JobState.REJECTED, "dispatcher", rejected.failure.reason)],
        }
        change = {"$cond": [{"$eq": [{"$type": "$state"}, "missing"]}, created, {}]}
        return await self._upsert(job_id, [{"$replaceWith": {"$mergeObjects": ["$$ROOT", change]}}])

    async def _upsert(self, job_id: str, pipeline: list[Stage]) -> Job:
        found = await self._writer.find_one_and_update(Change(job_id, {}, pipeline, created=True))
        if found is None:
            raise Unavailable(f"job {job_id} was deleted meanwhile")
        return read(Job, found)

    @translated
    async def renew(self, job_id: str, token: int, lease_seconds: float) -> None:
        """Extend a dispatcher's lease; raises `LeaseLost` when another has it."""
        await self._by_holder(job_id, token, {"lease.expires_at": from_now(lease_seconds)})

    @translated
    async def expire_lease(self, job_id: str, token: int) -> None:
        """Let go of a dispatcher's lease so that the next delivery can take it at once."""
        held = {"_id": job_id, "state": JobState.DISPATCHING, "lease.token": token}
        await self._jobs.update_one(held, [{"$set": {"lease.expires_at": "$$NOW"}}])

    @translated
    async def note_death(self, job_id: str, token: int) -> None:
        """Count a worker process that building the job has killed; raises `LeaseLost`."""
        await self._by_holder(job_id, token, {"deaths": {"$add": [{"$ifNull": ["$deaths", 0]}, 1]}})

    @translated
    async def plan(self, job_id: str, token: int, planned: Planned) -> Job:
        """Write down that the tasks are stored, with what is known from then on; raises `LeaseLost`."""
        return await self._by_holder(job_id, token, literal(planned.fields()) | {"planned": True})

    @translated
    async def hold(self, job_id: str, token: int, reason: str) -> Job:
        """Leave a job to an operator: no dispatcher takes it up until `unhold`; raises `LeaseLost`."""
        changes = held_anew(reason) | {
            "held": {"$literal": reason},
            "lease.expires_at": "$$NOW",
            "history": noted(JobState.DISPATCHING, "dispatcher", f"held: {reason}"),
        }
        return await self._by_holder(job_id, token, changes)

    async def _by_holder(self, job_id: str, token: int, changes: Mapping[str, Any]) -> Job:
        query = {"_id": job_id, "state": JobState.DISPATCHING, "lease.token": token}
        after = ReturnDocument.AFTER
        found = await self._jobs.find_one_and_update(query, [{"$set": changes}], return_document=after)
        if found is None:
            raise LeaseLost(f"job {job_id} is dispatched by another dispatcher")
        return read(Job, found)

    @translated
    async def unhold(self, job_id: str) -> None:
        """Let dispatchers take the job up again."""
        let_go = {"history": noted(JobState.DISPATCHING, "operator", "no longer held")}
        await self._jobs.update_one(
            {"_id": job_id, "held": {"$type": "string"}}, [{"$set": let_go}, {"$unset": "held"}]
        )

    @translated
    async def move(
        self,
        job_id: str,
        change: Move,
        *,
        service: str,
        cause: str = "",
        token: int | None = None,
        reconciler_token: int | None = None,
        resumed: int | None = None,
        seen: Job | None = None,
    ) -> Job:
        """Move a job to the state of `change`, with what it gains by that.

        With `seen`, the job as the caller has read it just now, the database need not be asked whether this version
        can read it, which costs more than the rest of the move. The job that is returned may have moved on since.

        Raises `IllegalTransition` when the job is in a state that does not lead there, or has been resumed more often
        than `resumed` times, `LeaseLost` when `token` is no
        longer the dispatcher's lease's or another reconciler has come after the one with `reconciler_token`, `NotFound`
        when there is no such job.
        """
        target = change.state
        query: dict[str, Any] = {"state": {"$in": sources(target)}}
        if token is not None:
            query["lease.token"] = token
        if resumed is not None:
            query |= resumed_so_often(resumed)
        by = new_move()
        changes = moving(target, service, cause, by) | literal(change.fields())
        if target is JobState.DISPATCHED:
            changes["dispatch_time"] = "$$NOW"
        if reconciler_token is not None:
            query |= not_checked_after(reconciler_token)
            changes["checked_by"] = reconciler_token
        if target in _RECORDED_ENDS:
            changes["record_due"] = {"$cond": ["$dry", "$$REMOVE", "$$NOW"]}
        if target in _ANNOUNCED_ENDS:
            changes["record_due"] = "$$NOW"
        over = ["lease", "check_at", "held", "attempts", "given_up"]
        if JobState.FAILED not in MOVES[target]:
            over.append("deadline_at")
        if target is not JobState.EXPORTED:
            over.append("exports")  # of an earlier end, of a job that was resumed while its failure was exported
        pipeline: list[Stage] = [{"$set": changes}, {"$unset": over}]
        as_seen = [{"updated_at": seen.updated_at}] if seen is not None else []
        for guard in (*as_seen, READABLE_JOB):
            moved = Change(job_id, query | guard, pipeline, made=partial(has_moved, by=by))
            if (found := await self._writer.find_one_and_update(moved)) is not None:
                return read(Job, found)
        job = await self.get(job_id)
        if resumed is not None and job.resumed != resumed:
            raise IllegalTransition(f"job {job_id} was resumed meanwhile")
        if job.state in sources(target):
            raise LeaseLost(f"job {job_id} is in other hands")
        raise IllegalTransition(f"job {job_id} cannot move from {job.state} to {target}")

    @translated
    async def resume(
        self, job_id: str, cause: str, *, token: int, deadline_seconds: float, resumed: int | None = None
    ) -> Job:
        """Let a job that failed go on: it is `dispatching` again, in no dispatcher's hands, with a fresh deadline.

        The next dispatcher's fencing token is higher than `token`. With `resumed`, the job must have been resumed so
        often before. Raises `IllegalTransition` when it has not failed or not so often, and `NotFound`.
        """
        query: dict[str, Any] = {"_id": job_id, "state": RESUMABLE}
        before = {"$ifNull": ["$resumed", 0]}
        if resumed is not None:
            query |= resumed_so_often(resumed)
        changes = moving(JobState.DISPATCHING, "dispatcher", cause) | {
            "resumed": {"$add": [before, 1]},
            "deadline_at": from_now(deadline_seconds),
            "lease": {"owner": "nobody", "token": token, "expires_at": "$$NOW"},
        }
        ended = ["failure", "record_due", "exports", "held", "attempts", "given_up", "check_at", "deaths"]
        pipeline = [{"$set": changes}, {"$unset": ended}]
        found = await self._jobs.find_one_and_update(query, pipeline, return_document=ReturnDocument.AFTER)
        if found is None:
            job = await self.get(job_id)
            raise IllegalTransition(f"job {job_id} cannot be resumed: it is {job.state}")
        return read(Job, found)

    @translated
    async def get(self, job_id: str) -> Job:
        """Return a job; raises `NotFound`."""
        found = await self._by_id(job_id)
        if found is None:
            raise NotFound(f"there is no job {job_id}")
        return read(Job, found)

    @translated
    async def suite(self, suite_id: str) -> list[Job]:
        """Return the jobs of a suite that dispatchers have seen, in the order of the suite; raises `NotFound`.

        Those that were deleted do not count in their `suite_size`: they are not waited for.
        """
        # Without the type the partial index does not serve.
        query = {"suite_id": {"$type": "string", "$eq": suite_id}}
        jobs = await read_each(Job, self._jobs.find(query))
        if not jobs:
            raise NotFound(f"there is no suite {suite_id}")
        if deleted := await self._deleted.count_documents(query | {"_id": {"$ne": suite_id}}):
            jobs = [
                each.model_copy(update={"suite_size": each.suite_size and each.suite_size - deleted}) for each in jobs
            ]
        return sorted(jobs, key=lambda job: job.id)

    @translated
    async def suite_may_have_ended(self, suite_id: str, size: int | None) -> bool:
        """Whether none of a suite's `size` jobs is on its way to an end, as an index tells without any job.

        If so, and if one of them has a record, it is time to look at the jobs themselves.
        """
        # Without the type the partial index does not serve.
        query = {"suite_id": {"$type": "string", "$eq": suite_id}}
        if await self._jobs.find_one(query | {"state": {"$in": _ON_THEIR_WAY}}, {"_id": 0, "state": 1}) is not None:
            return False
        if await self._jobs.find_one(query | {"state": {"$in": _RECORDED}}, {"_id": 0, "state": 1}) is None:
            return False
        seen = int(await self._jobs.count_documents(query)) if size else 0
        return not size or seen >= size or seen + int(await self._deleted.count_documents(query)) >= size

    @translated
    async def taken(self, suite_id: str, job_ids: Collection[str]) -> list[str]:
        """Return jobs that have one of these ids, or say that they belong to the suite, though it has no plan yet."""
        query = {"$or": [{"_id": {"$in": list(job_ids)}}, {"suite_id": {"$type": "string", "$eq": suite_id}}]}
        found = self._jobs.find(query, {"_id": 1}).limit(10)
        return [each["_id"] async for each in found if each["_id"] != suite_id]

    @translated
    async def close_suite(self, suite_id: str) -> list[Job]:
        """Let a suite consist of those of its jobs that have a record by now, and return them; raises `NotFound`."""
        query: dict[str, Any] = {"suite_id": {"$type": "string", "$eq": suite_id}, "state": {"$in": _RECORDED}}
        query |= READABLE_JOB
        ids = [each["_id"] async for each in self._jobs.find(query, {"_id": 1})]
        if not ids:
            raise NotFound(f"no job of {suite_id} has a record")
        await self._jobs.update_many({"_id": {"$in": ids}}, {"$set": {"suite_closed": True}})
        return await read_each(Job, self._jobs.find({"_id": {"$in": ids}}))

    @translated
    async def unseen(self, job_ids: Collection[str]) -> list[str]:
        """Return those ids under which there is no job and never was one."""
        query = {"_id": {"$in": list(job_ids)}}
        seen = {found["_id"] for each in (self._jobs, self._deleted) async for found in each.find(query, {"_id": 1})}
        return [job_id for job_id in job_ids if job_id not in seen]


def _where_set(field: str) -> IndexModel:
    """Return an index over those few documents that have a field."""
    return IndexModel([(field, 1)], partialFilterExpression={field: {"$exists": True}})
