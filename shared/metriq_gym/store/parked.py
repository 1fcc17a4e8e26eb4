"""Providers whose work waits for now, and why, as services found out; only people read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from metriq_gym.store.mongo import from_now, literal, translated
from metriq_gym.store.reading import Unreadable, pass_over

_AWAY = ": breaker open"


@dataclass(frozen=True, slots=True)
class ParkedCredential:
    """The work of one provider that waits until its credential is accepted, or until it can be asked again."""

    provider: str
    reason: str
    since: datetime


class Parked:
    """The ``parked`` collection: one document per provider, which counts no more once it has not been renewed.

    One more per provider that is in trouble, whose breaker is open: its id has the provider's name before `_AWAY`.
    """

    def __init__(self, collection: Any) -> None:
        self._parked = collection

    @translated
    async def park(self, provider: str, reason: str, seconds: float) -> None:
        """Write down that a provider's work is parked; unless said again, that is forgotten after `seconds`."""
        await self._note(provider, reason, seconds)

    @translated
    async def release(self, provider: str) -> None:
        """Write down that a provider's work goes on."""
        await self._parked.delete_one({"_id": provider})

    @translated
    async def all(self) -> list[ParkedCredential]:
        """Return what is parked now."""
        return [each for each in await self._all() if not each.provider.endswith(_AWAY)]

    @translated
    async def keep_away(self, provider: str, reason: str, seconds: float) -> None:
        """Write down that a provider cannot be asked; unless said again, that is forgotten after `seconds`."""
        await self._note(provider + _AWAY, reason, seconds)

    @translated
    async def come_back(self, provider: str) -> None:
        """Write down that a provider can be asked again."""
        await self._parked.delete_one({"_id": provider + _AWAY})

    @translated
    async def away(self) -> list[ParkedCredential]:
        """Return the providers that pollers keep away from now."""
        found = [each for each in await self._all() if each.provider.endswith(_AWAY)]
        return [replace(each, provider=each.provider.removesuffix(_AWAY)) for each in found]

    async def _note(self, name: str, reason: str, seconds: float) -> None:
        lapsed = {"$not": {"$gt": ["$expires_at", "$$NOW"]}}
        since = {"$cond": [lapsed, "$$NOW", "$since"]}
        changes = literal({"reason": reason}) | {"since": since, "expires_at": from_now(seconds)}
        await self._parked.update_one({"_id": name}, [{"$set": changes}], upsert=True)

    async def _all(self) -> list[ParkedCredential]:
        found = self._parked.find({"$expr": {"$gt": ["$expires_at", "$$NOW"]}})
        parked = []
        async for each in found:
            match each:
                case {"_id": str(provider), "reason": str(reason), "since": datetime() as since}:
                    parked.append(ParkedCredential(provider, reason, since))
                case _:
                    pass_over(Unreadable("parked", str(each["_id"]), "it lacks a reason or a time"))
        return parked
