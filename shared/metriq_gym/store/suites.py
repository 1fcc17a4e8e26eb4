"""The plans of suites: which jobs were accepted with each, kept until a dispatcher has seen all of them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metriq_gym.messages import JobRequested
from metriq_gym.store.mongo import Stage, from_now, translated
from metriq_gym.store.transitions import not_checked_after
from metriq_gym.store.upkeep import TO_BE_CHECKED, later_by_age


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """A suite that was accepted, and the requests of its jobs."""

    id: str
    requests: Sequence[JobRequested]
    overdue: bool
    """Whether jobs that no dispatcher has taken up by now never will be."""


class Suites:
    """The ``suites`` collection: one document for each suite that is being fanned out."""

    def __init__(self, collection: Any) -> None:
        self._suites = collection

    @translated
    async def keep(self, suite_id: str, requests: Sequence[JobRequested], deadline_seconds: float) -> None:
        """Store a plan before any of it is published; one that is there under that id stays."""
        packed = zlib.compress(json.dumps([each.model_dump(mode="json") for each in requests]).encode())
        plan: Stage = {
            "requests": {"$literal": packed},
            "updated_at": "$$NOW",
            "deadline_at": from_now(deadline_seconds),
        }
        change = [{"$replaceWith": {"$mergeObjects": [plan, "$$ROOT"]}}]
        await self._suites.update_one({"_id": suite_id}, change, upsert=True)

    async def unfinished(self) -> list[SuitePlan]:
        """Return every plan."""
        return await self._found([])

    async def unmoved(self, seconds: float) -> list[SuitePlan]:
        """Return plans that were kept `seconds` ago or earlier; again as `Upkeep.unmoved` does jobs."""
        return await self._found([{"$lte": ["$updated_at", from_now(-seconds)]}, TO_BE_CHECKED])

    @translated
    async def checked(self, suite_id: str, token: int) -> None:
        """Leave a plan alone for as long again as it is old, or for an hour."""
        change = {"check_at": later_by_age(), "checked_by": token}
        await self._suites.update_one({"_id": suite_id} | not_checked_after(token), [{"$set": change}])

    @translated
    async def finish(self, suite_id: str, token: int) -> None:
        """Drop a plan all of whose jobs have been seen."""
        await self._suites.delete_one({"_id": suite_id} | not_checked_after(token))

    @translated
    async def _found(self, conditions: Sequence[Stage]) -> list[SuitePlan]:
        fields = {"requests": 1, "overdue": {"$lte": ["$deadline_at", "$$NOW"]}}
        found = self._suites.find({"$expr": {"$and": list(conditions)}}, fields)
        return [_plan(each) async for each in found]


def _plan(found: dict[str, Any]) -> SuitePlan:
    requests = json.loads(zlib.decompress(found["requests"]))
    return SuitePlan(found["_id"], [JobRequested.model_validate(each) for each in requests], found["overdue"])
