"""Every query on the exports of a job, which are kept in its document: one entry per target."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pymongo import ReturnDocument

from metriq_gym.errors import NotFound
from metriq_gym.jobs.documents import Export, Job
from metriq_gym.jobs.states import NOTICES, TERMINAL, ExportState, JobState, sources
from metriq_gym.store.mongo import Stage, entries, from_now, set_back, translated
from metriq_gym.store.reading import read
from metriq_gym.store.together import Change, Writer
from metriq_gym.store.transitions import moving, resumed_so_often

_NEW: Stage = {"state": ExportState.PENDING, "attempts": 0, "location": None, "error": None, "at": "$$NOW"}

STATES_OF_EXPORTS: Stage = {"$map": {"input": entries("exports"), "in": "$$this.v.state"}}
_IS_NOTICE: Stage = {"$in": ["$$this.k", list(NOTICES)]}
EXPORTS_OF_RECORDS: Stage = {
    "$map": {"input": entries("exports"), "in": {"$cond": [_IS_NOTICE, "of a notice", "$$this.v.state"]}}
}
_IS_EXPORTED: Stage = {
    "$and": [
        {"$in": ["$state", sources(JobState.EXPORTED)]},
        {"$in": [ExportState.DONE, EXPORTS_OF_RECORDS]},
        {"$not": {"$in": [ExportState.PENDING, EXPORTS_OF_RECORDS]}},
    ]
}
_MOVE_IF_EXPORTED: Stage = {
    "$replaceWith": {
        "$mergeObjects": [
            "$$ROOT",
            {"$cond": [_IS_EXPORTED, moving(JobState.EXPORTED, "exporter", "every export has ended"), {}]},
        ]
    }
}
"""`Job.is_exported`, as the store sees it."""
_IS_OVER: Stage = {"$in": ["$state", list(TERMINAL)]}
_DUE: Stage = {"$ifNull": ["$record_due", {"$cond": [_IS_OVER, "$$NOW", "$$REMOVE"]}]}
"""A job that is exported before all have been told of it is work for the reconciler from then on."""
_FORGET_IF_RECORDED: Stage = {
    "$set": {
        "record_due": {"$cond": [{"$in": [ExportState.PENDING, STATES_OF_EXPORTS]}, _DUE, "$$REMOVE"]},
        "held": {"$cond": [_IS_OVER, "$$REMOVE", "$held"]},
        "given_up": {"$cond": [_IS_OVER, "$$REMOVE", "$given_up"]},
    }
}
"""A job that has ended and is recorded, or is to be nowhere any more, is no work for the reconciler or an operator."""


class Exports:
    """The field ``exports`` of the ``jobs`` collection. The name of a target has no dot or dollar sign."""

    def __init__(self, jobs: Any) -> None:
        self._jobs = jobs
        self._writer = Writer(jobs)

    @translated
    async def take_up(
        self, job_id: str, targets: Collection[str], begin: Collection[str]
    ) -> tuple[Job, frozenset[str]]:
        """Add the targets that the job does not have yet, and return it; raises `NotFound`.

        Of these, begin those that are in `begin` as `begin` does, and return their names.
        """
        begun: Stage = {**_NEW, "attempts": 1}
        wanted = {name: begun if name in begin else _NEW for name in targets}
        merged = [{"$set": {"exports": {"$mergeObjects": [wanted, "$exports"]}}}]
        before = await self._jobs.find_one_and_update({"_id": job_id}, merged)
        if before is None:
            raise NotFound(f"there is no job {job_id}")
        job = read(Job, before)
        new = frozenset(targets) - job.exports.keys()
        pending = Export(state=ExportState.PENDING, at=job.updated_at)
        return job.model_copy(update={"exports": dict.fromkeys(new, pending) | job.exports}), new & frozenset(begin)

    @translated
    async def again(self, job_id: str, target: str, *, if_done: bool = False) -> Job:
        """Let the job's export to `target` begin anew at once, and return it; raises `NotFound`.

        One that is done stays so, but `if_done`.
        """
        is_done = {"$eq": [f"$exports.{target}.state", ExportState.DONE]}
        is_work: Stage = {"$and": [{"$in": ["$state", list(TERMINAL)]}, if_done or {"$not": is_done}]}
        due = {"$cond": [is_work, "$$NOW", "$record_due"]}
        begun = _NEW if if_done else _unless_done(target, _NEW)
        return await self._change(job_id, {"$set": {f"exports.{target}": begun, "record_due": due}})

    @translated
    async def begin(self, job_id: str, target: str) -> float | None:
        """Count an attempt and return 0, if the export is pending and due.

        Otherwise return the seconds until it is, or None if it is not pending any more. It is due too when it was put
        off at a time that is still to come: the clock was set back.
        """
        not_before: Stage = {"$ifNull": [f"$exports.{target}.not_before", "$$NOW"]}
        pending = {"_id": job_id, f"exports.{target}.state": ExportState.PENDING}
        is_due = pending | {"$expr": {"$or": [{"$lte": [not_before, "$$NOW"]}, set_back(f"$exports.{target}.at")]}}
        begun = await self._jobs.update_one(is_due, {"$inc": {f"exports.{target}.attempts": 1}})
        if begun.matched_count:
            return 0.0
        found = await self._jobs.find_one(pending, {"ms": {"$subtract": [not_before, "$$NOW"]}})
        return None if found is None else max(1, found["ms"]) / 1000

    @translated
    async def settle(
        self,
        job_ids: Collection[str],
        target: str,
        state: ExportState,
        *,
        location: str | None = None,
        error: str | None = None,
        retry_after: float = 0,
        wanted: Collection[str] = (),
        resumed: int | None = None,
    ) -> Job | None:
        """Write down how an attempt ended; for a pending export, `retry_after` seconds pass before the next.

        With `resumed`, jobs that have been resumed more often stay as they are: what was exported is their past.
        Targets that are `wanted` too and that a job does not have yet are pending from then on. Return the job if it
        is one, exists and was not resumed.

        What is done stays done: a late loser among two exporters changes nothing. A scored job whose exports have
        all ended, at least one of them well, is `exported` with the same write.
        """
        entry = f"$exports.{target}"
        ended: Stage = {
            "state": state,
            "attempts": {"$max": [1, f"{entry}.attempts"]},
            "location": {"$literal": location},
            "error": {"$literal": error},
            "at": "$$NOW",
            "not_before": from_now(retry_after) if state is ExportState.PENDING else None,
        }
        changes: list[Stage] = [
            {"$set": {"exports": {"$mergeObjects": [dict.fromkeys(wanted, _NEW), "$exports"]}}},
            {"$set": {f"exports.{target}": _unless_done(target, ended)}},
            _MOVE_IF_EXPORTED,
            _FORGET_IF_RECORDED,
        ]
        same = {} if resumed is None else resumed_so_often(resumed)

        def as_before(found: Mapping[str, Any]) -> bool:
            return resumed is None or (found.get("resumed") or 0) == resumed

        if len(job_ids) == 1:
            (job_id,) = job_ids
            found = await self._writer.find_one_and_update(Change(job_id, same, changes, made=as_before))
            return None if found is None else Job.model_validate(found)
        if job_ids:
            await self._jobs.update_many({"_id": {"$in": list(job_ids)}} | same, changes)
        return None

    async def _change(self, job_id: str, stage: Stage) -> Job:
        after = ReturnDocument.AFTER
        found = await self._jobs.find_one_and_update({"_id": job_id}, [stage], return_document=after)
        if found is None:
            raise NotFound(f"there is no job {job_id}")
        return read(Job, found)


def _unless_done(target: str, change: Stage) -> Stage:
    return {"$cond": [{"$eq": [f"$exports.{target}.state", ExportState.DONE]}, f"$exports.{target}", change]}
