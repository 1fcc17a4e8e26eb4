"""The plans of suites: which jobs were accepted with each. They are what says which jobs a suite has, and stay."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo import IndexModel, ReturnDocument

from metriq_gym.errors import UnreadableDocument
from metriq_gym.messages import JobRequested
from metriq_gym.store.indexes import wish
from metriq_gym.store.mongo import EPOCH, Stage, from_now, translated
from metriq_gym.store.reading import Unreadable, pass_over
from metriq_gym.store.transitions import not_checked_after
from metriq_gym.store.upkeep import TO_BE_CHECKED, later_by_age
from metriq_gym.wording import shorten


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """A suite that was accepted, and the requests of its jobs."""

    id: str
    requests: Sequence[JobRequested]
    overdue: bool
    """Whether jobs that no dispatcher has taken up by now never will be."""
    _by_job: Mapping[str | None, JobRequested] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_job", {each.job_id: each for each in reversed(self.requests)})

    def request(self, job_id: str) -> JobRequested | None:
        """Return what the suite asked for under a job's id; None if that is none of its jobs."""
        return self._by_job.get(job_id)


class Suites:
    """The ``suites`` collection: one document for each suite that was accepted."""

    def __init__(self, collection: Any) -> None:
        self._suites = collection

    async def create_indexes(self) -> None:
        """Create the index by which unfinished plans are found without a look at all others."""
        await wish(self._suites, [IndexModel([("finished", 1)])])

    @translated
    async def keep(self, suite_id: str, requests: Sequence[JobRequested], deadline_seconds: float) -> SuitePlan:
        """Store a plan before any of it is published, and return it; one that is there under that id stays."""
        packed = zlib.compress(json.dumps([each.model_dump(mode="json") for each in requests]).encode())
        plan: Stage = {
            "requests": {"$literal": packed},
            "updated_at": "$$NOW",
            "deadline_at": from_now(deadline_seconds),
        }
        change = [{"$replaceWith": {"$mergeObjects": [plan, "$$ROOT"]}}]
        after = ReturnDocument.AFTER
        kept = await self._suites.find_one_and_update({"_id": suite_id}, change, upsert=True, return_document=after)
        return _plan(kept | {"overdue": False})

    @translated
    async def plan(self, suite_id: str) -> SuitePlan | None:
        """Return a suite's plan, if there is one; raises `UnreadableDocument`."""
        found = await self._suites.find_one({"_id": suite_id}, {"requests": 1})
        return None if found is None else _plan(found | {"overdue": False})

    async def unfinished(self) -> list[SuitePlan]:
        """Return every plan of which a job may not have been seen."""
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
        """Let a plan rest all of whose jobs have been seen."""
        resting = {"finished": True, "checked_by": token}
        await self._suites.update_one({"_id": suite_id} | not_checked_after(token), {"$set": resting})

    @translated
    async def _found(self, conditions: Sequence[Stage]) -> list[SuitePlan]:
        overdue = {"$lte": ["$deadline_at", "$$NOW"]}
        fields = {"requests": 1, "updated_at": 1, "deadline_at": 1, "check_at": 1, "overdue": overdue}
        found = self._suites.find({"finished": None, "$expr": {"$and": list(conditions)}}, fields)
        plans = []
        async for each in found:
            try:
                plans.append(_dated(each))
            except UnreadableDocument as error:
                pass_over(Unreadable("suites", str(each["_id"]), str(error)))
        return plans


def _plan(found: dict[str, Any]) -> SuitePlan:
    try:
        requests = json.loads(zlib.decompress(found["requests"]))
        return SuitePlan(found["_id"], [JobRequested.model_validate(each) for each in requests], found["overdue"])
    except (KeyError, ValueError, TypeError, zlib.error) as error:
        said = shorten(f"{type(error).__name__}: {error}", 300)
        raise UnreadableDocument(f"the plan of suite {found['_id']} cannot be read: {said}") from error


def _dated(found: dict[str, Any]) -> SuitePlan:
    """Return a plan whose times can be reckoned with."""
    times = (found.get("updated_at"), found.get("deadline_at"), found.get("check_at", EPOCH))
    if not all(isinstance(each, datetime) for each in times):
        raise UnreadableDocument(f"the plan of suite {found['_id']} cannot be read: one of its times is none")
    return _plan(found)
