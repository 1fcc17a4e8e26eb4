"""What keeps a job from moving on, written into it: attempts that failed for now, and messages that were given up."""

from __future__ import annotations

from typing import Any

from pymongo import ReturnDocument

from metriq_gym.jobs.documents import Attempts, Job
from metriq_gym.jobs.states import RESUMABLE, TERMINAL, JobState
from metriq_gym.store.mongo import Stage, from_now, translated
from metriq_gym.store.reading import read
from metriq_gym.store.transitions import held_anew, noted, resumed_so_often

_UNFINISHED = [state for state in JobState if state not in TERMINAL]
_MOST_LINES = 1000
"""Lines of a job's history: its moves are a handful, and a document has a bound."""
_MARGIN_SECONDS = 60.0


class Troubles:
    """Fields of the ``jobs`` collection that the job's next move removes."""

    def __init__(self, jobs: Any) -> None:
        self._jobs = jobs

    @translated
    async def failed_attempt(
        self, job_id: str, service: str, cause: str, *, progress: int, next_seconds: float
    ) -> Attempts | None:
        """Write down that an attempt failed and the next is in about `next_seconds`; return all in a row.

        They are counted anew when `progress` has grown. The reconciler leaves the job alone until the next one has had
        its time. None if there is no such job, or it has ended.
        """
        first: Stage = {"$or": [{"$not": "$attempts"}, {"$gt": [progress, "$attempts.progress"]}]}
        most = 1000 * (next_seconds + _MARGIN_SECONDS)
        break_seconds = {"$divide": [{"$max": [0, {"$min": [{"$subtract": ["$$NOW", "$attempts.at"]}, most]}]}, 1000]}
        attempts = {
            "count": {"$cond": [first, 1, {"$add": ["$attempts.count", 1]}]},
            "seconds": {"$cond": [first, 0, {"$add": ["$attempts.seconds", break_seconds]}]},
            "at": "$$NOW",
            "progress": progress,
        }
        changes = {
            "attempts": attempts,
            "check_at": from_now(2 * next_seconds + _MARGIN_SECONDS),
            "history": _told(service, cause),
        }
        query = {"_id": job_id, "state": {"$in": _UNFINISHED}}
        after = ReturnDocument.AFTER
        found = await self._jobs.find_one_and_update(query, [{"$set": changes}], return_document=after)
        return None if found is None else read(Job, found).attempts

    @translated
    async def give_up(self, job_id: str, service: str, reason: str, *, hold_after: int) -> None:
        """Write down that a message of a job became a dead letter; when `hold_after` have, the job is held.

        One that is held already is so for its first reason: messages beside one that ends its process are blamed too.
        A job that has ended stays as it is, but the reconciler asks no more for its record.
        """
        count = {"$add": [{"$ifNull": ["$given_up", 0]}, 1]}
        ended = {"$in": ["$state", list(TERMINAL)]}
        enough = {"$gte": [count, hold_after]}
        changes = held_anew(reason, {"$and": [enough, {"$not": ended}]}) | {
            "given_up": count,
            "history": {"$cond": [ended, "$history", _told(service, reason)]},
            "held": {
                "$cond": [{"$and": [enough, {"$not": ended}]}, {"$ifNull": ["$held", {"$literal": reason}]}, "$held"]
            },
            "record_due": {"$cond": [{"$and": [enough, ended]}, "$$REMOVE", "$record_due"]},
        }
        await self._jobs.update_one({"_id": job_id}, [{"$set": changes}])

    @translated
    async def refuse(self, job_id: str, service: str, reason: str, *, resumed: int | None) -> None:
        """Write down why a failed job does not go on, unless it was resumed by now, more often than `resumed`."""
        query: dict[str, Any] = {"_id": job_id, "state": RESUMABLE}
        if resumed is not None:
            query |= resumed_so_often(resumed)
        await self._jobs.update_one(query, [{"$set": {"history": _told(service, reason)}}])

    @translated
    async def forgive(self, job_id: str) -> None:
        """Let a job that is held because its message was given up go on: that message is to be tried once more."""
        await self._jobs.update_one({"_id": job_id, "given_up": {"$gt": 0}}, [{"$unset": ["held", "given_up"]}])


def _told(service: str, cause: str) -> Stage:
    has_room = {"$lt": [{"$size": "$history"}, _MOST_LINES]}
    return {"$cond": [has_room, noted("$state", service, cause), "$history"]}
