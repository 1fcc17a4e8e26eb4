"""Several subscriptions of one service, treated as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from metriq_gym.bus.port import Subscription


class Subscriptions:
    """A `Subscription` of several queues: each is taken from at the same pace, so that none holds up another."""

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self._all = subscriptions

    @property
    def healthy(self) -> bool:
        return all(each.healthy for each in self._all)

    @property
    def gone(self) -> bool:
        return any(each.gone for each in self._all)

    @property
    def unsettled_seconds(self) -> float:
        return max(each.unsettled_seconds for each in self._all)

    def admit(self, prefetch: int) -> None:
        for each in self._all:
            each.admit(prefetch)

    async def stop(self) -> None:
        async with asyncio.TaskGroup() as stopping:
            for each in self._all:
                stopping.create_task(each.stop())
