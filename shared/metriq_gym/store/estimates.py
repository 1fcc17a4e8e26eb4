"""Answers to requests for an estimate, kept for an hour."""

from __future__ import annotations

from typing import Any

from pymongo import IndexModel

from metriq_gym.jobs.documents import EstimateAnswer
from metriq_gym.store.indexes import ensure
from metriq_gym.store.mongo import literal, translated

_KEPT_SECONDS = 3600


class Estimates:
    """The ``estimates`` collection."""

    def __init__(self, collection: Any) -> None:
        self._estimates = collection

    async def create_indexes(self) -> None:
        """Create the index by which old answers are deleted, or see that it exists."""
        await ensure(self._estimates, [IndexModel("answered_at", expireAfterSeconds=_KEPT_SECONDS)])

    @translated
    async def answer(self, answer: EstimateAnswer) -> None:
        """Store an answer; the one that is there already stays."""
        fields = answer.model_dump(by_alias=True, exclude={"id"}, exclude_defaults=True)
        given = literal(fields) | {"answered_at": "$$NOW"}
        change = [{"$replaceWith": {"$mergeObjects": [given, "$$ROOT"]}}]
        await self._estimates.update_one({"_id": answer.id}, change, upsert=True)

    @translated
    async def get(self, estimate_id: str) -> EstimateAnswer | None:
        """Return an answer, None while there is none."""
        found = await self._estimates.find_one({"_id": estimate_id})
        return None if found is None else EstimateAnswer.model_validate(found)
