"""How the work stands, as metrics: jobs, due tasks and queues, counted in the store and at the broker when asked for.

The dispatcher shows them, since of all services at least one dispatcher always runs; where there are several, all show
the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import inf

import structlog

from metriq_gym.bus.port import Bus
from metriq_gym.errors import Transient
from metriq_gym.providers import installed
from metriq_gym.store import Store
from metriq_gym.telemetry import metrics

log = structlog.get_logger()

SERVES_SECONDS = 5.0
SHARE = 20
"""What was counted serves for this many times as long as it took, so that a large store is not asked all the time."""
PATIENCE = 8.0
"""Seconds; Prometheus waits for ten."""
_COUNTED = (metrics.JOBS, metrics.UNDECIDED_JOBS, metrics.DUE_TASKS, metrics.DUE_LAG, metrics.QUEUE_MESSAGES)


class Standing:
    """Counts for one process, taken no more often than they are worth."""

    def __init__(
        self, store: Store, bus: Bus, now: Callable[[], float] = time.monotonic, *, longest_seconds: float = inf
    ) -> None:
        """A task that is put off for longer than `longest_seconds` counts as late by the difference."""
        self._store = store
        self._longest = longest_seconds
        self._bus = bus
        self._now = now
        self._serves_until = float("-inf")
        self._one_by_one = asyncio.Lock()

    async def measure(self) -> None:
        """Count, unless that was just done. What cannot be counted is not shown: better nothing than what was."""
        async with self._one_by_one:
            if (began := self._now()) < self._serves_until:
                return
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._count()
            except (Transient, TimeoutError) as error:
                log.warning("cannot be counted", error=str(error) or "too slow")
                for gauge in _COUNTED:
                    gauge.clear()
            took = self._now() - began
            self._serves_until = self._now() + max(SERVES_SECONDS, SHARE * took)

    async def _count(self) -> None:
        catalogue = self._store.catalogue
        for state, count in (await catalogue.state_counts()).items():
            metrics.JOBS.labels(state).set(count)
        for why, count in zip(("held", "stuck"), await catalogue.undecided_counts(), strict=True):
            metrics.UNDECIDED_JOBS.labels(why).set(count)
        due = {each.provider: each for each in await catalogue.due()}
        # A task's provider was one of those that are installed when it was accepted.
        for provider in installed().plugins.keys() | due.keys():
            metrics.DUE_TASKS.labels(provider).set(due[provider].count if provider in due else 0)
            lag = due[provider].lag_seconds if provider in due else 0
            ahead = await catalogue.furthest_ahead(provider) - self._longest
            metrics.DUE_LAG.labels(provider).set(max(lag, ahead, 0))
        for queue, count in (await self._bus.waiting()).items():
            metrics.QUEUE_MESSAGES.labels(queue).set(count)
