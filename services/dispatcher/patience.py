"""How long to wait before a submission that was certainly not accepted is sent again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

FIRST_PAUSE = 0.5
"""Seconds that the first pause takes where the provider asks for none."""
LONGEST_PAUSE = 60.0
"""Seconds up to which a pause is waited out under the job's lease; for a longer one the job is put back."""


class Patience:
    """The pauses between submissions to one provider, shared by all jobs of a process.

    A pause is as long as the provider asks for. Only while nothing goes through does it grow, twofold each time; the
    next submission that is accepted, of whichever job, ends that.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._refused = 0
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
        growing = FIRST_PAUSE * 2.0 ** min(self._refused, 30)
        self._refused += 1
        asked = FIRST_PAUSE if retry_after is None else retry_after
        pause = asked if self._refused == 1 else max(asked, min(growing, LONGEST_PAUSE))
        self._quiet_until = max(self._quiet_until, self._now() + pause)
        return pause

    def accepted(self) -> None:
        """Note that a submission went through."""
        self._refused = 0
