"""What the exporter does about drift: it looks at each result's series, and says of a shift that it was found.

A shift is stored with the value that showed it, then published and noted for those who are told of it, then taken off
the lists of what is to be published and noted. After a crash in between, the delivery that comes again finds it there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf

import structlog

from metriq_gym.bus.port import Bus
from metriq_gym.jobs import Job
from metriq_gym.jobs.notices import device_drifted
from metriq_gym.jobs.watched import Seen, Watched, looked_at, seen_in, without
from metriq_gym.store import Store

log = structlog.get_logger()

PAUSE_SECONDS = 0.1
"""From one look to the next: many results of one series cost no more than one where they are looked at together.
Deliveries wait for that, but never so many that no others could be handled."""
_LOST = timedelta(minutes=10)
"""A shift that is unpublished for so long was found by a process that is gone, and its delivery with it."""


class DriftWatch:
    """Looks at results: at one at once, and at those that come soon after it together."""

    def __init__(self, store: Store, bus: Bus, most: int = 1) -> None:
        """Let no more than `most` results wait until they are looked at together."""
        self._store = store
        self._bus = bus
        self._most = most
        self._enough = asyncio.Event()
        self._rests_until = -inf
        self._one_at_a_time = asyncio.Lock()
        self._waiting: dict[str, Job] = {}

    async def look(self, job: Job) -> None:
        """Return when the job's result is counted, and each shift that it shows is published. Raises `Transient`."""
        self._waiting[job.id] = job
        if len(self._waiting) >= self._most:
            self._enough.set()
        async with self._one_at_a_time:
            if job.id not in self._waiting:
                return  # the one before has seen to it
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rests_until - time.monotonic()):
                    await self._enough.wait()
            self._rests_until = time.monotonic() + PAUSE_SECONDS
            jobs, self._waiting = self._waiting, {}
            self._enough.clear()
            try:
                await self._look(jobs)
            except BaseException:
                self._waiting = jobs | self._waiting  # those that wait for their turn try again
                self._waiting.pop(job.id, None)
                raise

    async def _look(self, jobs: dict[str, Job]) -> None:
        by_series: dict[str, list[Seen]] = {}
        for job in jobs.values():
            for each in seen_in(job):
                by_series.setdefault(each.series_id, []).append(each)
        change = self._store.drifts.change
        changed = await asyncio.gather(
            *(change(series_id, partial(looked_at, seen=seen)) for series_id, seen in by_series.items()),
            return_exceptions=True,
        )
        for watched in changed:
            if isinstance(watched, Watched) and watched.untold:
                await self._publish(watched, jobs.keys())
        if errors := [each for each in changed if isinstance(each, BaseException)]:
            for error in errors[1:]:
                log.warning("a series could not be looked at", error=str(error))
            raise errors[0]

    async def _publish(self, watched: Watched, job_ids: Collection[str]) -> None:
        long_ago = datetime.now(UTC) - _LOST
        own = [each for each in watched.untold if each.found_by in job_ids or each.found_at < long_ago]
        for each in own:
            log.warning("device drifted", device=f"{each.provider}/{each.device}", metric=each.metric, since=each.since)
            await self._bus.publish(each)
        if own:
            # Of all there are: what was found before the others is to be told before them.
            await self._store.notices.add([device_drifted(each) for each in watched.to_notify])
            published = {each.drift_id for each in own}
            noted = {each.drift_id for each in watched.to_notify}
            await self._store.drifts.change(watched.id, partial(without, published=published, noted=noted))
