"""What keeps the store's times right where its server's clock, which they all come from, is set forward or back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pymongo import ReturnDocument

from metriq_gym.errors import LeaseLost
from metriq_gym.jobs.states import TERMINAL, JobState
from metriq_gym.store.mongo import EPOCH, Stage, from_now, translated
from metriq_gym.store.shapes import READABLE_JOB, READABLE_LEASE, READABLE_SUITE, READABLE_TASK

_LEADING_ON = [state for state in JobState if state not in TERMINAL]


class Look(NamedTuple):
    """What a look at the server's clock tells."""

    now: datetime
    elapsed: float
    """Seconds, by that clock, since the last look of whoever had the lease.

    0 for the first, and negative when the clock was set back.
    """
    steady_seconds: float
    """For how long looks have come in time, and the clock was not set, as far as they tell."""


class Noted(NamedTuple):
    """What the one who looks has noted for others."""

    what: Mapping[str, Any]
    steady_seconds: float


class Clocks:
    """Reads the server's clock, and brings back times that lie further ahead than anything is ever put off."""

    def __init__(self, jobs: Any, tasks: Any, suites: Any, leases: Any) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._suites = suites
        self._leases = leases

    @translated
    async def look(self, name: str, token: int, *, longest_gap: float, noted: Mapping[str, Any] | None = None) -> Look:
        """Look at the server's clock for whoever has the lease; raises `LeaseLost`.

        Where it has gone back, or further than `longest_gap` seconds since the last look, it is steady from now on.
        What is `noted` with the look, `noted` tells.
        """
        since = {"$subtract": ["$$NOW", "$looked_at"]}
        in_time = {"$and": [{"$gte": [since, -1000]}, {"$lte": [since, int(1000 * longest_gap)]}]}
        change = {
            "looked_before": "$looked_at",
            "looked_at": "$$NOW",
            "steady_since": {"$cond": [in_time, {"$ifNull": ["$steady_since", "$$NOW"]}, "$$NOW"]},
            "noted": {"$literal": dict(noted or {})},
        }
        after = ReturnDocument.AFTER
        query = {"_id": name, "token": token} | READABLE_LEASE
        found = await self._leases.find_one_and_update(query, [{"$set": change}], return_document=after)
        if found is None:
            raise LeaseLost(f"{name} is in other hands")
        now: datetime = found["looked_at"]
        before = found.get("looked_before")
        elapsed = 0.0 if before is None else (now - before).total_seconds()
        return Look(now, elapsed, (now - found["steady_since"]).total_seconds())

    @translated
    async def noted(self, name: str) -> Noted | None:
        """Return what was noted with the last look; None before the first."""
        wanted = {"noted": 1, "looked_at": 1, "steady_since": 1}
        found = await self._leases.find_one({"_id": name} | READABLE_LEASE, wanted)
        if found is None or not wanted.keys() <= found.keys():
            return None
        return Noted(found["noted"], (found["looked_at"] - found["steady_since"]).total_seconds())

    @translated
    async def put_off_deadlines(self, seconds: float, most_seconds: float) -> int:
        """Let deadlines come `seconds` later, and none more than `most_seconds` from now; return of how many jobs."""
        later = {"$add": ["$deadline_at", int(1000 * seconds)]}
        change = [{"$set": {"deadline_at": {"$min": [later, from_now(most_seconds)]}}}]
        await self._suites.update_many({"finished": None, "deadline_at": {"$gt": EPOCH}, **READABLE_SUITE}, change)
        found = await self._jobs.update_many({"deadline_at": {"$gt": EPOCH}, **READABLE_JOB}, change)
        return int(found.modified_count)

    @translated
    async def bring_back(
        self, now: datetime, *, lease_seconds: float, longest_seconds: float, deadline_seconds: float, set_back: bool
    ) -> int:
        """Bring back what lies further ahead of the server's time `now` than it can; return of how many documents.

        A lease is taken for `lease_seconds`, a task put off for at most `longest_seconds`, and a job has
        `deadline_seconds`. With `set_back` it is certain that the clock was, and jobs that were to be left alone for a
        while are looked at. A worker that holds a lease still extends it before the time that it is given here.
        """

        def ahead(seconds: float) -> Stage:
            return {"$gt": now + timedelta(seconds=seconds + lease_seconds)}

        on_their_way = {"state": {"$in": _LEADING_ON}, **READABLE_JOB}
        lease_ends = from_now(lease_seconds)
        # Both bounds on the tasks say which index serves.
        tasks = {"provider": {"$gte": ""}, "next_poll_at": ahead(longest_seconds), **READABLE_TASK}
        brought = [
            await self._tasks.update_many(tasks, [{"$set": {"next_poll_at": lease_ends}}]),
            await self._jobs.update_many(
                {**on_their_way, "state": JobState.DISPATCHING, "lease.expires_at": ahead(lease_seconds)},
                [{"$set": {"lease.expires_at": lease_ends}}],
            ),
            await self._jobs.update_many(on_their_way | {"updated_at": ahead(0)}, [{"$set": {"updated_at": "$$NOW"}}]),
            await self._jobs.update_many(
                {"record_due": ahead(0), **READABLE_JOB}, [{"$set": {"record_due": "$$NOW", "check_at": "$$NOW"}}]
            ),
            await self._jobs.update_many(
                {"deadline_at": ahead(deadline_seconds), **READABLE_JOB},
                [{"$set": {"deadline_at": from_now(deadline_seconds)}}],
            ),
            await self._suites.update_many(
                {"finished": None, "updated_at": ahead(0), **READABLE_SUITE},
                [{"$set": {"updated_at": "$$NOW", "check_at": "$$NOW"}}],
            ),
            await self._suites.update_many(
                {"finished": None, "deadline_at": ahead(deadline_seconds), **READABLE_SUITE},
                [{"$set": {"deadline_at": from_now(deadline_seconds)}}],
            ),
        ]
        if set_back:  # no index serves this; without, a job is left alone for an hour at most
            unchecked = on_their_way | {"check_at": {"$gt": now}}
            brought.append(await self._jobs.update_many(unchecked, [{"$set": {"check_at": "$$NOW"}}]))
        return sum(each.modified_count for each in brought)
