"""How many jobs each publisher has open: one document for each, with the ids of these jobs.

A place is claimed before its job is accepted, in one write that fails when there is none left, so that no two
dispatchers give the same one. Nothing gives it back: when none is left, those are taken back whose job has come to its
end, as the jobs themselves say. So whatever crashes, no place is lost, and none is counted twice.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pymongo import ReturnDocument

from metriq_gym.jobs.states import JobState
from metriq_gym.store.mongo import Stage, from_now, translated

_OPEN = (JobState.DISPATCHING, JobState.DISPATCHED, JobState.COMPLETED)
_OPEN_PLACES: Stage = {"$cond": [{"$isArray": "$open"}, "$open", []]}
_ENDED = tuple(state for state in JobState if state not in _OPEN)


class Quotas:
    """The ``quotas`` collection."""

    def __init__(self, quotas: Any, jobs: Any, deleted: Any) -> None:
        self._quotas = quotas
        self._jobs = jobs
        self._deleted = deleted

    @translated
    async def claim(self, publisher: str, job_ids: Collection[str], most: int, kept_seconds: float) -> bool:
        """Claim a place for each of these jobs, or for none of them; return whether all have one now.

        A publisher has `most`. A place whose job never came, since its request was lost, is kept for `kept_seconds`.
        """
        if await self._claimed(publisher, job_ids, most):
            return True
        await self._take_back(publisher, kept_seconds)
        return await self._claimed(publisher, job_ids, most)

    async def _claimed(self, publisher: str, job_ids: Collection[str], most: int) -> bool:
        there: Stage = {"$cond": [{"$isArray": "$open.id"}, "$open.id", []]}
        places = [{"id": {"$literal": each}, "at": "$$NOW"} for each in job_ids]
        new: Stage = {"$concatArrays": [{"$cond": [{"$in": [each["id"], there]}, [], [each]]} for each in places]}
        fits: Stage = {"$lte": [{"$add": [{"$size": _OPEN_PLACES}, {"$size": "$new"}]}, most]}
        # What is asked again, after a crash or an answer that was lost, is found to have its places.
        given: Stage = {"$or": [{"$eq": [{"$size": "$new"}, 0]}, fits]}
        pipeline: list[Stage] = [
            {"$set": {"new": new}},
            {
                "$set": {
                    "given": given,
                    "open": {"$cond": [fits, {"$concatArrays": [_OPEN_PLACES, "$new"]}, _OPEN_PLACES]},
                }
            },
            {"$unset": ["new"]},
        ]
        found = await self._quotas.find_one_and_update(
            {"_id": publisher}, pipeline, upsert=True, return_document=ReturnDocument.AFTER
        )
        return bool(found["given"])

    async def _take_back(self, publisher: str, kept_seconds: float) -> None:
        """Drop the places of jobs that have ended, were deleted, or never came."""
        found = await self._quotas.find_one({"_id": publisher})
        places = found.get("open") if found is not None else None
        if not isinstance(places, list):
            return
        claimed = {"_id": {"$in": [each["id"] for each in places if isinstance(each, dict) and "id" in each]}}
        over = [each["_id"] async for each in self._jobs.find(claimed | {"state": {"$in": _ENDED}}, {"_id": 1})]
        over += [each["_id"] async for each in self._deleted.find(claimed, {"_id": 1})]
        came = [each["_id"] async for each in self._jobs.find(claimed, {"_id": 1})]
        stays: Stage = {
            "$and": [
                {"$not": {"$in": ["$$this.id", {"$literal": over}]}},
                {
                    "$or": [
                        {"$in": ["$$this.id", {"$literal": came}]},
                        {"$gt": ["$$this.at", from_now(-kept_seconds)]},
                    ]
                },
            ]
        }
        kept = {"$filter": {"input": _OPEN_PLACES, "as": "this", "cond": stays}}
        await self._quotas.update_one({"_id": publisher}, [{"$set": {"open": kept}}])
