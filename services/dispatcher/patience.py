"""How long to wait before a submission that was certainly not accepted is sent again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

SHORTEST_PAUSE = 0.05
FIRST_PAUSE = 0.5
"""Seconds that the first pause takes, at least and at most, where the provider asks for none: as long as a submission
takes, so that a quick service is not waited for many times longer than it works."""
LONGEST_PAUSE = 60.0
"""Seconds up to which a pause is waited out under the job's lease; for a longer one the job is put back."""


class Patience:
    """The pauses between submissions to one provider, shared by all jobs of a process.

    A pause is as long as the provider asks for; where it asks for none, as long as a submission took that was accepted,
    but half of the pause that last helped at least. Only while nothing goes through does it grow, twofold each time;
    the next submission that is accepted, of whichever job, ends that.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._refused = 0
        self._pause = 0.0
        self._helped = 0.0
        self._took = FIRST_PAUSE
        self._quiet_until = float("-inf")

    @property
    def seconds_left(self) -> float:
        """For how long no submission is to be sent."""
        return max(0.0, self._quiet_until - self._now())

    async def wait(self) -> None:
        """Return when the next submission may be sent."""
        while self.seconds_left:
            await self._sleep(self.seconds_left)

    def refused(self, retry_after: float | None) -> float:
        """Note a submission that was not accepted for now, and return for how many seconds none is to be sent."""
        if self._refused:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        else:
            self._pause = min(max(self._took, self._helped / 2, SHORTEST_PAUSE), FIRST_PAUSE)
        self._refused += 1
        pause = self._pause if retry_after is None or self._refused > 1 else retry_after
        pause = max(pause, retry_after or 0.0)
        self._quiet_until = max(self._quiet_until, self._now() + pause)
        return pause

    def accepted(self, seconds: float) -> None:
        """Note that a submission went through, and how long that took."""
        self._took = seconds
        self._helped = self._pause if self._refused else 0.0
        self._refused = 0
