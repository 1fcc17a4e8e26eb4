"""How many tasks a poller claims before it has workers for them: short ones, so that many are claimed and end at once.

What ends at once is stored at once, and goes on to the scorer and the exporter at once; so are most calls of the store
saved where jobs are small and many. A task in hand that has to wait is one that another poller could run: so none is
claimed early where the last ones took long, and what waits all the same is handed back. Nor is any while some pass by
others that wait in lanes, since they would wait for all that is in hand.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from math import inf
from statistics import fmean

SECONDS = 0.1
"""As many are claimed as a worker does in this time."""
MOST = 7
"""But no more than these for each worker."""
EARLY_PATIENCE = 1.0
"""One that was claimed early and has waited so long for a worker is left to others, which may have one."""
MIXED_SECONDS = 1.0
"""For so long after a task of a lane, and one of none, what comes of the other passes by it or is passed by."""
_REMEMBERED = 16


class Prefetch:
    """Goes by how long the last tasks of this poller took, and by the lanes that they came from.

    Parameters
    ----------
    workers
        How many tasks are run at a time.
    now
        Returns seconds.
    """

    def __init__(self, workers: int, now: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._now = now
        self._took = deque([SECONDS], maxlen=_REMEMBERED)
        self._claimed_at = {True: -inf, False: -inf}
        """When a task was claimed last, by whether its job had waited in a lane."""

    def room(self, in_hand: int) -> int:
        """Return how many tasks are to be claimed now, with so many claimed that have not been run yet.

        Never a few, unless a worker has nothing to do: that would cost as much as many do.
        """
        most = self._workers * (1 + self._early())
        left = most - in_hand
        return left if in_hand < self._workers or 2 * left > most else 0

    def _early(self) -> int:
        if min(self._claimed_at.values()) > self._now() - MIXED_SECONDS:
            return 0
        return min(max(int(SECONDS / max(fmean(self._took), 1e-9)), 1) - 1, MOST)

    def claimed(self, lanes: Collection[int]) -> None:
        """Learn from which lanes tasks have been claimed, 0 for none."""
        for lane in lanes:
            self._claimed_at[lane > 0] = self._now()

    def took(self, seconds: float) -> None:
        """Learn how long a worker was busy with a task."""
        self._took.append(min(seconds, SECONDS))

    def stumbled(self) -> None:
        """Begin anew: what was claimed early waits in vain."""
        self._took.extend([SECONDS] * _REMEMBERED)
