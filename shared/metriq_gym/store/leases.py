"""What one process does at a time: a lease by name, with a fencing token that grows with every new holder."""

from __future__ import annotations

from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from metriq_gym.errors import LeaseLost
from metriq_gym.store.mongo import Stage, from_now, literal, set_back, translated
from metriq_gym.store.reading import ODD, Unreadable, pass_over
from metriq_gym.store.shapes import READABLE_LEASE

RECONCILER = "reconciler"
"""The lease of the dispatcher that looks after all jobs."""


class Leases:
    """The ``leases`` collection. Whose lease has run out is for the server's clock to say."""

    def __init__(self, collection: Any) -> None:
        self._leases = collection

    @translated
    async def take(self, name: str, *, owner: str, lease_seconds: float) -> int | None:
        """Take or extend the lease for `owner` and return its token; None while another process has it.

        Taken for 0 seconds it is let go of. One that was taken at a time that is still to come, since the clock was set
        back, has run out. One that this version cannot read is another's, and stays as it is.
        """
        runs = {"$and": [{"$gt": ["$expires_at", "$$NOW"]}, {"$not": set_back("$taken_at")}]}
        is_ours = {"$and": [{"$eq": ["$owner", {"$literal": owner}]}, runs]}
        token = {"$add": [{"$ifNull": ["$token", 0]}, {"$cond": [is_ours, 0, 1]}]}
        ours: Stage = literal({"owner": owner}) | {
            "token": token,
            "taken_at": "$$NOW",
            "expires_at": from_now(lease_seconds),
        }
        taken = {"$cond": [{"$or": [is_ours, {"$not": runs}]}, ours, {}]}
        change = [{"$replaceWith": {"$mergeObjects": ["$$ROOT", taken]}}]
        after = ReturnDocument.AFTER
        query = {"_id": name} | READABLE_LEASE
        try:
            found = await self._leases.find_one_and_update(query, change, upsert=True, return_document=after)
        except DuplicateKeyError:
            # Another process inserted between our search and our insert, or it cannot be read.
            found = await self._leases.find_one_and_update(query, change, return_document=after)
        if found is None:
            pass_over(Unreadable("leases", name, ODD))
            return None
        return int(found["token"]) if found["owner"] == owner else None

    @translated
    async def renew(self, name: str, token: int, lease_seconds: float) -> None:
        """Extend the lease; raises `LeaseLost` when another process has taken it."""
        extended = [{"$set": {"taken_at": "$$NOW", "expires_at": from_now(lease_seconds)}}]
        query = {"_id": name, "token": token} | READABLE_LEASE
        if not (await self._leases.update_one(query, extended)).matched_count:
            raise LeaseLost(f"{name} is in other hands")
