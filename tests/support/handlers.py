"""Handlers for tests of a bus: one that remembers what it was given, one that holds on to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from metriq_gym.bus.port import Delivery
from tests.support.patience import PATIENCE


class Recorder:
    """Remembers every delivery in `deliveries`, then lets `respond` (if given) return or raise."""

    def __init__(self, respond: Callable[[Delivery], Any] | None = None) -> None:
        self.deliveries: list[Delivery] = []
        self._respond = respond
        self._changed = asyncio.Condition()

    async def __call__(self, delivery: Delivery) -> None:
        async with self._changed:
            self.deliveries.append(delivery)
            self._changed.notify_all()
        if self._respond is not None:
            self._respond(delivery)

    @property
    def jobs(self) -> list[str | None]:
        return [delivery.correlation_id for delivery in self.deliveries]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(condition)

    async def received(self, count: int) -> list[Delivery]:
        """Wait until there were `count` deliveries, and return them."""
        await self.until(lambda: len(self.deliveries) >= count)
        return self.deliveries


class Holder(Recorder):
    """Keeps every delivery in hand until `release` is set; `busiest` is the most it had in hand at once."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.finished: list[str | None] = []
        self.in_hand = self.busiest = 0

    async def __call__(self, delivery: Delivery) -> None:
        self.in_hand += 1
        self.busiest = max(self.busiest, self.in_hand)
        await super().__call__(delivery)
        try:
            await self.release.wait()
        finally:
            self.in_hand -= 1
        self.finished.append(delivery.correlation_id)
