"""Schedules: one document each, which is changed as a whole, and only as it was read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from metriq_gym.jobs.schedules import Schedule
from metriq_gym.store.indexes import wish
from metriq_gym.store.mongo import translated
from metriq_gym.store.reading import Unreadable, pass_over
from metriq_gym.wording import shorten


class Schedules:
    """The ``schedules`` collection."""

    def __init__(self, collection: Any) -> None:
        self._schedules = collection

    async def create_indexes(self) -> None:
        """Create the index by which schedules are found that have something to do."""
        await wish(self._schedules, [IndexModel([("look_at", 1)])])

    @translated
    async def add(self, schedule: Schedule) -> bool:
        """Store a new schedule; return whether there was none of its name."""
        try:
            await self._schedules.insert_one(_document(schedule))
        except DuplicateKeyError:
            return False
        return True

    @translated
    async def get(self, name: str) -> Schedule | None:
        """Return a schedule, if there is one of that name that can be read."""
        return next(iter(await _read(self._schedules.find({"_id": name}))), None)

    @translated
    async def all(self) -> list[Schedule]:
        """Return every schedule, by name."""
        return await _read(self._schedules.find({}).sort([("_id", 1)]))

    @translated
    async def due(self) -> list[Schedule]:
        """Return those that have something to do, by the server's clock; all that a clock since set back has seen."""
        passed = {"$and": [{"$ne": ["$look_at", None]}, {"$lte": ["$look_at", "$$NOW"]}]}
        ahead = {"$gt": ["$looked_at", "$$NOW"]}
        return await _read(self._schedules.find({"$expr": {"$or": [passed, ahead]}}))

    @translated
    async def write(self, schedule: Schedule, at: datetime | None = None) -> Schedule | None:
        """Store a schedule that was read and has been changed; return None if another process changed it meanwhile.

        `at` is the server's time by which it was changed.
        """
        after = schedule.model_copy(update={"revision": schedule.revision + 1})
        query = {"_id": schedule.name, "revision": schedule.revision}
        written = await self._schedules.replace_one(query, _document(after, at))
        return after if written.matched_count else None

    @translated
    async def delete(self, name: str) -> None:
        """Delete a schedule. Jobs that it requested stay."""
        await self._schedules.delete_one({"_id": name})


def _document(schedule: Schedule, at: datetime | None = None) -> dict[str, Any]:
    document = schedule.model_dump(by_alias=True)
    return document | {"look_at": schedule.look_at, "looked_at": at or schedule.created_at}


async def _read(documents: AsyncIterator[Mapping[str, Any]]) -> list[Schedule]:
    found = []
    async for each in documents:
        try:
            found.append(Schedule.model_validate(each))
        except ValidationError as error:
            pass_over(Unreadable("schedules", str(each["_id"]), shorten(str(error), 300)))
    return found
