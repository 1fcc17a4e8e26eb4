"""Retry policies: how often, after which pauses and for how long something that failed is tried again."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again, and when to stop trying.

    Parameters
    ----------
    pauses:
        Seconds from the first, second, … and any further attempt that failed to the next, before jitter.
    attempts:
        How many attempts in a row may fail.
    seconds:
        For how long, from the first of them to the last.
    """

    pauses: Sequence[float]
    attempts: int = sys.maxsize
    seconds: float = inf

    def pause(self, failed: int) -> float:
        """Return the seconds from the attempt that failed as the `failed`-th in a row (1 is the first) to the next."""
        return self.pauses[min(failed, len(self.pauses)) - 1]

    def is_exhausted(self, failed: int, seconds: float = 0.0) -> bool:
        """Whether so many failed attempts in a row, over so many seconds, are enough."""
        return failed >= self.attempts or seconds >= self.seconds


TRANSIENT = RetryPolicy((1.0, 5.0, 30.0, 120.0, 600.0), attempts=200, seconds=24 * 3600.0)
"""A message whose handler failed for a passing reason of its own. With the pauses both bounds are about a day: most
outages of providers are shorter, and a job's deadline is longer."""
WAITING = RetryPolicy(TRANSIENT.pauses[:3])
"""A message that waits for the store, the queue or another process, and is to go on soon after."""
DELIVERY_LIMIT = 10
POISON = RetryPolicy(TRANSIENT.pauses[:1], attempts=DELIVERY_LIMIT)
"""A message whose handler failed in a way that is not expected; then it is a dead letter."""
CANCELLATION = RetryPolicy(TRANSIENT.pauses, attempts=100)
"""Looking for a job that is to be cancelled, for about half a day: the message may have overtaken the job's request,
which waits perhaps until its provider can be asked for the device."""
EXPORT = RetryPolicy((*(2.0**n for n in range(10)), 900.0), attempts=100)
"""Exporting a record to one target: given up after about a day, until an operator starts over."""
LETHAL_WORK = RetryPolicy((0.0,), attempts=3)
"""Work, building circuits or scoring counts, that ends its worker process."""


LONGEST_WAIT = 3600.0
"""Seconds that a message waits at most when it is told to, whatever a stranger's service asks for."""


def jittered(seconds: float) -> float:
    """Return a random time between half of `seconds` and all, so that what failed together comes back apart."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311
