"""Every query on notices: what has happened and is to be told, one document each, and how telling it is getting on.

A notice is written once, whatever is repeated after a crash, and stays for a while after it was told, so that a write
that comes late does not begin it anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from metriq_gym.jobs.documents import Hold, Job
from metriq_gym.jobs.notices import Notice
from metriq_gym.jobs.states import SENDERS, ExportState
from metriq_gym.store.indexes import wish
from metriq_gym.store.mongo import Stage, from_now, literal, set_back, translated
from metriq_gym.store.reading import read_each, read_those

_KEPT_SECONDS = 7 * 86400
"""How long a notice stays after it was told, or given up."""
_ENDED = [ExportState.DONE, ExportState.FAILED]
_ABOUT = ("state", "created_at", "updated_at", "suite_id", "benchmark_name", "provider", "device", "tags", "to_notify")
_IN_ORDER = [("queued_at", 1), ("number", 1), ("_id", 1)]


class Notices:
    """The ``notices`` collection, and the field ``to_notify`` of the ``jobs`` collection, whence some come."""

    def __init__(self, collection: Any, jobs: Any) -> None:
        self._notices = collection
        self._jobs = jobs

    async def create_indexes(self) -> None:
        """Create the indexes by which what is to be told is found, and old notices are deleted, if this user may."""
        is_open = IndexModel([("open", 1), ("queued_at", 1)], partialFilterExpression={"open": True})
        await wish(self._notices, [is_open, IndexModel("closed_at", expireAfterSeconds=_KEPT_SECONDS)])

    @translated
    async def add(self, notices: Sequence[Notice]) -> None:
        """Store notices, to be told in this order; one that is there already stays as it is."""
        for number, notice in enumerate(notices):
            fields = literal(notice.model_dump(exclude={"id", "to"}))
            created = fields | {"open": True, "queued_at": "$$NOW", "number": number}
            change = [{"$replaceWith": {"$mergeObjects": [created, "$$ROOT"]}}]
            try:
                await self._notices.update_one({"_id": notice.id}, change, upsert=True)
            except DuplicateKeyError:
                continue  # written by another just then

    @translated
    async def held(self, *, limit: int = 1000) -> list[Job]:
        """Return jobs with holds of which there may be no notice yet, without what is not told of them."""
        found = self._jobs.find({"to_notify.number": {"$gt": 0}}, dict.fromkeys(_ABOUT, 1)).limit(limit)
        return await read_each(Job, found)

    @translated
    async def noted(self, job_id: str, holds: Collection[Hold]) -> None:
        """Write down that there is a notice of each of these holds of a job."""
        numbers = [each.number for each in holds]
        others = {"$filter": {"input": "$to_notify", "cond": {"$not": {"$in": ["$$this.number", numbers]}}}}
        left = {"$cond": [{"$eq": ["$to_notify", []]}, "$$REMOVE", "$to_notify"]}
        query = {"_id": job_id, "to_notify.number": {"$in": numbers}}
        await self._jobs.update_one(query, [{"$set": {"to_notify": others}}, {"$set": {"to_notify": left}}])

    @translated
    async def close(self, known: Collection[str], wanted: Collection[str], senders: Collection[str]) -> None:
        """Close notices of the `known` kinds that are not `wanted`, or of which all `senders` have told as they could.

        What a later version has to tell stays open.
        """
        over: list[Stage] = [
            {"kind": {"$nin": list(wanted)}},
            {"$and": [{f"to.{each}.state": {"$in": _ENDED}} for each in senders]} if senders else {},
        ]
        query = {"open": True, "kind": {"$in": list(known)}, "$or": over}
        await self._notices.update_many(query, [{"$set": {"open": False, "closed_at": "$$NOW"}}])

    @translated
    async def waiting(self, sender: str, kinds: Collection[str], *, limit: int = 1000) -> list[Notice]:
        """Return the notices of these kinds that a sender has not told yet, in their order."""
        found = self._notices.find(_untold(sender, kinds)).sort(_IN_ORDER).limit(limit)
        return await read_those(Notice, "notices", found)

    @translated
    async def waits(self, subject: str, sender: str, kinds: Collection[str]) -> bool:
        """Whether a sender has not told all there is of a subject."""
        return await self._notices.find_one({"subject": subject} | _untold(sender, kinds), {"_id": 1}) is not None

    @translated
    async def claim(self, notice_id: str, sender: str, lease_seconds: float) -> bool:
        """Begin an attempt, if one is due; no other is begun for so many seconds, unless this one ends before.

        It is due too when it was put off at a time that is still to come: the clock was set back.
        """
        entry = f"$to.{sender}"
        not_before: Stage = {"$ifNull": [f"{entry}.not_before", "$$NOW"]}
        is_due = {"$expr": {"$or": [{"$lte": [not_before, "$$NOW"]}, set_back(f"{entry}.at")]}}
        begun = {"state": ExportState.PENDING, "at": "$$NOW", "not_before": from_now(lease_seconds)}
        change = [{"$set": {f"to.{sender}": {"$mergeObjects": [entry, begun]}}}]
        query = {"_id": notice_id, "open": True, f"to.{sender}.state": {"$nin": _ENDED}} | is_due
        return bool((await self._notices.update_one(query, change)).matched_count)

    @translated
    async def renew(self, notice_id: str, sender: str, lease_seconds: float) -> None:
        """Put off the next attempt for as long again, while one is being made."""
        query = {"_id": notice_id, f"to.{sender}.state": ExportState.PENDING}
        await self._notices.update_one(query, [{"$set": {f"to.{sender}.not_before": from_now(lease_seconds)}}])

    @translated
    async def settle(
        self,
        notice_id: str,
        sender: str,
        state: ExportState,
        *,
        error: str | None = None,
        retry_after: float = 0,
        counts: bool = True,
    ) -> None:
        """Write down how an attempt ended; if another is to follow, it does after `retry_after` seconds.

        What has ended stays as it is: a late loser among two exporters changes nothing.
        """
        attempts = {"$add": [{"$ifNull": [f"$to.{sender}.attempts", 0]}, int(counts)]}
        not_before = from_now(retry_after) if state is ExportState.PENDING else None
        ended: Stage = {
            "state": state,
            "attempts": attempts,
            "error": {"$literal": error},
            "at": "$$NOW",
            "not_before": not_before,
        }
        query = {"_id": notice_id, f"to.{sender}.state": {"$nin": _ENDED}}
        await self._notices.update_one(query, [{"$set": {f"to.{sender}": ended}}])

    @translated
    async def standing(self, *, limit: int = 1000) -> list[Notice]:
        """Return the notices that wait to be told, and those that could not be, in their order."""
        failed = [{f"to.{each}.state": ExportState.FAILED} for each in SENDERS]
        found = self._notices.find({"$or": [{"open": True}, *failed]}).sort(_IN_ORDER).limit(limit)
        return await read_those(Notice, "notices", found)


def _untold(sender: str, kinds: Collection[str]) -> dict[str, Any]:
    return {"open": True, "kind": {"$in": list(kinds)}, f"to.{sender}.state": {"$nin": _ENDED}}
