"""Credentials that a provider does not accept for now, as services found out; only people read it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from metriq_gym.store.mongo import from_now, literal, translated


class ParkedCredential(NamedTuple):
    """The work of one provider that waits until its credential is accepted."""

    provider: str
    reason: str
    since: datetime


class Parked:
    """The ``parked`` collection: one document per provider, which counts no more once it has not been renewed."""

    def __init__(self, collection: Any) -> None:
        self._parked = collection

    @translated
    async def park(self, provider: str, reason: str, seconds: float) -> None:
        """Write down that a provider's work is parked; unless said again, that is forgotten after `seconds`."""
        lapsed = {"$not": {"$gt": ["$expires_at", "$$NOW"]}}
        since = {"$cond": [lapsed, "$$NOW", "$since"]}
        changes = literal({"reason": reason}) | {"since": since, "expires_at": from_now(seconds)}
        await self._parked.update_one({"_id": provider}, [{"$set": changes}], upsert=True)

    @translated
    async def release(self, provider: str) -> None:
        """Write down that a provider's work goes on."""
        await self._parked.delete_one({"_id": provider})

    @translated
    async def all(self) -> list[ParkedCredential]:
        """Return what is parked now."""
        found = self._parked.find({"$expr": {"$gt": ["$expires_at", "$$NOW"]}})
        return [ParkedCredential(each["_id"], each["reason"], each["since"]) async for each in found]
