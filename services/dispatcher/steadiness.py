"""Whether the store's clock, by which it is told how old a submission is, can be trusted just now."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from math import inf

import structlog

log = structlog.get_logger()

TOLERATED_SECONDS = 5.0
"""By so much the clocks may drift apart between two comparisons, besides a thousandth of the time between them."""


class Steadiness:
    """Compares the store's clock with this process's own, which nobody sets."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last: tuple[datetime, float] | None = None
        self._jumped_at = -inf

    def compare(self, server: datetime) -> None:
        """Note what the store's clock shows now."""
        own = self._now()
        if self._last is not None:
            passed = own - self._last[1]
            apart = (server - self._last[0]).total_seconds() - passed
            if abs(apart) > TOLERATED_SECONDS + passed / 1000:
                log.warning("the store's clock was set", seconds=apart)
                self._jumped_at = own
        self._last = server, own

    @property
    def seconds(self) -> float:
        """For how long it has gone as ours did, as far as this process can tell."""
        return self._now() - self._jumped_at
