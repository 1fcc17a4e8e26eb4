"""What of the retention policy is done at a look of the reconciler: one step of each kind, and a rest after the last.

Nothing goes before looks have come in time for a day without the store's clock having been set: a clock that is wrong
by years is noticed by then, and does not make everything old at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from metriq_gym.bus.port import Bus
from metriq_gym.errors import Permanent, Refused
from metriq_gym.service.purging import (
    STEADY_SECONDS,
    Policy,
    before,
    purge_counts,
    purge_jobs,
    purge_letters,
    purge_ticks,
)
from metriq_gym.store import Store
from metriq_gym.store.clocks import Look
from metriq_gym.store.retention import Place
from metriq_gym.telemetry import metrics

log = structlog.get_logger()

REST_SECONDS = 3600.0
"""How long after its last step a kind is looked at again, from the oldest on."""


@dataclass(frozen=True, slots=True)
class Purger:
    """What the reconciler calls at each look.

    Parameters
    ----------
    steady_seconds:
        For how long the store's clock must not have been set.
    now:
        A clock that nobody sets, in seconds.
    today:
        This machine's time.
    """

    store: Store
    bus: Bus
    policy: Policy
    steady_seconds: float = STEADY_SECONDS
    rest_seconds: float = REST_SECONDS
    now: Callable[[], float] = time.monotonic
    today: Callable[[], datetime] = lambda: datetime.now(UTC)
    _places: dict[str, Place] = field(default_factory=dict)
    """Kind → where its next step begins, if there is one before the rest."""
    _schedules: dict[str, str] = field(default_factory=dict)
    """The same of ticks: the name of a schedule."""
    _rests_until: dict[str, float] = field(default_factory=dict)

    async def __call__(self, look: Look) -> None:
        """Do one step of each kind that is not resting. Raises `Transient`."""
        if look.steady_seconds < self.steady_seconds:
            return
        for what, days in self.policy.days.items():
            if self.now() < self._rests_until.get(what, 0):
                continue
            gone, rests = 0, True
            try:
                gone, rests = await self._step(what, before(days, look.now, self.today()))
            except (Refused, Permanent) as error:
                log.error("the retention policy cannot be carried out", what=what, reason=str(error))
            if rests:
                self._rests_until[what] = self.now() + self.rest_seconds
            if gone:
                log.info("purged", what=what, count=gone, after_days=days)
                metrics.PURGED.labels(what).inc(gone)

    async def _step(self, what: str, limit: datetime) -> tuple[int, bool]:
        """Do the next step of a kind, and return what it came to and whether it was the last before the rest."""
        match what:
            case "letters":
                return await purge_letters(self.store, self.bus, limit), True
            case "ticks":
                gone, name = await purge_ticks(self.store, limit, self._schedules.pop(what, ""))
                self._schedules.update({} if name is None else {what: name})
                return gone, name is None
        purge = purge_jobs if what == "jobs" else purge_counts
        gone, place = await purge(self.store, limit, self._places.pop(what, None))
        self._places.update({} if place is None else {what: place})
        return gone, place is None
