"""Schedules: one document each, which is changed as a whole, and only as it was read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from metriq_gym.errors import UnreadableDocument
from metriq_gym.jobs.schedules import Schedule
from metriq_gym.store.indexes import wish
from metriq_gym.store.mongo import literal, set_back, translated
from metriq_gym.store.reading import Unreadable, read_those, sorted_out


class Schedules:
    """The ``schedules`` collection."""

    def __init__(self, collection: Any) -> None:
        self._schedules = collection

    async def create_indexes(self) -> None:
        """Create the indexes by which schedules are found that have something to do, and by their open ticks."""
        await wish(self._schedules, [IndexModel([("look_at", 1)]), IndexModel([("open.id", 1)])])

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
        """Return a schedule, if there is one of that name; raises `UnreadableDocument`."""
        found, odd = await sorted_out(Schedule, "schedules", self._schedules.find({"_id": name}))
        if odd:
            raise UnreadableDocument(f"schedule {name} cannot be read: {odd[0].reason}")
        return next(iter(found), None)

    @translated
    async def unreadable(self) -> list[Unreadable]:
        """Return the schedules that this version cannot read."""
        return (await sorted_out(Schedule, "schedules", self._schedules.find({})))[1]

    @translated
    async def of_tick(self, tick_id: str) -> Schedule | None:
        """Return the schedule that has an open tick of this id: the job or suite that it requests."""
        return next(iter(await _read(self._schedules.find({"open.id": tick_id}))), None)

    @translated
    async def all(self) -> list[Schedule]:
        """Return every schedule, by name."""
        return await _read(self._schedules.find({}).sort([("_id", 1)]))

    @translated
    async def due(self) -> list[Schedule]:
        """Return those that have something to do, by the server's clock; all that a clock since set back has seen."""
        passed = {"$and": [{"$ne": ["$look_at", None]}, {"$lte": ["$look_at", "$$NOW"]}]}
        return await _read(self._schedules.find({"$expr": {"$or": [passed, set_back("$looked_at")]}}))

    @translated
    async def write(self, schedule: Schedule, at: datetime | None = None) -> Schedule | None:
        """Store a schedule that was read and has been changed; return None if another process changed it meanwhile.

        `at` is the server's time by which it was changed.
        """
        after = schedule.model_copy(update={"revision": schedule.revision + 1})
        query = {"_id": schedule.name, "revision": schedule.revision}
        # Not replaced: a later version may have written more.
        written = await self._schedules.update_one(query, [{"$set": literal(_document(after, at))}])
        return after if written.matched_count else None

    @translated
    async def page(self, *, after: str = "", limit: int) -> list[Schedule]:
        """Return the first schedules, by name, after that of a name."""
        return await _read(self._schedules.find({"_id": {"$gt": after}}).sort([("_id", 1)]).limit(limit))

    @translated
    async def delete(self, name: str) -> None:
        """Delete a schedule. Jobs that it requested stay."""
        await self._schedules.delete_one({"_id": name})


def _document(schedule: Schedule, at: datetime | None = None) -> dict[str, Any]:
    document = schedule.model_dump(by_alias=True)
    return document | {"look_at": schedule.look_at, "looked_at": at or schedule.created_at}


async def _read(documents: AsyncIterator[Mapping[str, Any]]) -> list[Schedule]:
    return await read_those(Schedule, "schedules", documents)
