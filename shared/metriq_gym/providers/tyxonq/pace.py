"""How fast a credential asks: as fast as it likes until it is asked to slow down, then by additive increase and
multiplicative decrease.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable

LEAST = 0.5
"""Requests per second that are sent however often they are refused."""
MOST = 1000.0
"""Requests per second from which on there is no limit any more."""
DECREASE = 0.5
RECOVERY_SECONDS = 20.0
"""The rate grows by what it was when it was last refused, within so many seconds; or by `LEAST_GROWTH`."""
LEAST_GROWTH = 5.0
"""Requests per second, each second."""
MOST_AT_ONCE = 0.25
"""By which share the rate grows with one answer at most, so that a slow rate need not be found out again and again."""
SURE_AFTER = 5
"""After so many answers in a row it may double with one."""
_WINDOW_SECONDS = 1.0


class Pace:
    """The rate of one credential's requests within a process, `per_second`; infinite until it is asked to slow down.

    Parameters
    ----------
    now, sleep:
        A clock in seconds, and how a request waits for its turn.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._one_by_one = asyncio.Lock()
        self._sent: deque[float] = deque(maxlen=int(MOST))
        self._next_at = float("-inf")
        self._slowed_at = float("-inf")
        self._growth = 0.0
        self._in_a_row = 0
        self.per_second = math.inf

    async def turn(self) -> float:
        """Return when the next request may be sent, with the time; give that to `slow_down` if it is refused."""
        async with self._one_by_one:
            while (left := self._next_at - self._now()) > 0:
                await self._sleep(left)
            now = self._now()
            self._sent.append(now)
            self._next_at = now + 1 / self.per_second
            return now

    def answered(self) -> None:
        """Go a little faster."""
        if self.per_second == math.inf:
            return
        self._in_a_row += 1
        share = MOST_AT_ONCE if self._in_a_row <= SURE_AFTER else 1.0
        self.per_second += min(self._growth / self.per_second, share * self.per_second)
        if self.per_second >= MOST:
            self.per_second = math.inf

    def slow_down(self, sent_at: float) -> None:
        """Go half as fast, once for all requests that were under way when it was last done."""
        if sent_at <= self._slowed_at:
            return
        now = self._now()
        recent = sum(now - each <= _WINDOW_SECONDS for each in self._sent) / _WINDOW_SECONDS
        peak = min(self.per_second, max(recent, LEAST))
        self._growth = max(peak / RECOVERY_SECONDS, LEAST_GROWTH)
        self.per_second = max(LEAST, DECREASE * peak)
        self._slowed_at = now
        self._in_a_row = 0
        self._next_at = now + 1 / self.per_second
