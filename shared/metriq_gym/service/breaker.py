"""Stops a service that makes dead letters of too large a share of what it gets.

Most likely it is the service then that is broken, not one message after the other: what waits in its queue is to stay
there until it is mended. It goes on by itself once it can.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from enum import Enum, auto

import structlog

from metriq_gym.bus.port import Subscription
from metriq_gym.telemetry import metrics

log = structlog.get_logger()

WINDOW = 50
"""So many of the last messages that were done with are looked at, whether handled or dead letters,"""
LEAST_LETTERS = 5
"""and more than half of them, but at least so many, have to be dead letters."""
AT_EASE = 20
"""So many messages that are handled one after the other, and none that waits in vain, say that there is room again."""
WANTS_SECONDS = 120.0
"""For so long a service says what was wanting, if no message is handled meanwhile."""
PAUSES = (30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds until the first, second, … and any further try whether the service can go on."""


class _State(Enum):
    CLOSED = auto()
    """All is well."""
    OPEN = auto()
    """Nothing is taken from the queue, and what is here already is put off."""
    HALF_OPEN = auto()
    """One message at a time is tried, until one is handled or fails."""


class Breaker:
    """What a service asks before it buries a message, and tells how messages went; unless it is closed none is buried.

    Parameters
    ----------
    queue:
        The name of the service's queue.
    prefetch:
        How many deliveries the service takes at once while all is well.
    least_letters:
        How many dead letters it takes to open.
    crowded_prefetch:
        How many it takes at once while deliveries wait in vain for worker processes.
    """

    def __init__(
        self, queue: str, prefetch: int, least_letters: float = LEAST_LETTERS, crowded_prefetch: int | None = None
    ) -> None:
        self._queue = queue
        self._full = self._prefetch = prefetch
        self._crowded = min(prefetch, crowded_prefetch or prefetch)
        self._in_a_row = 0
        self._least_letters = least_letters
        self._tries = 0
        self._recent = deque[bool](maxlen=WINDOW)
        self._state = _State.CLOSED
        self._subscription: Subscription | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wants: tuple[str, float] | None = None
        self._show()

    def steer(self, subscription: Subscription) -> None:
        """Decide from now on how much a subscription takes."""
        self._subscription = subscription
        self._show()

    def stop(self) -> None:
        """Try nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def is_closed(self) -> bool:
        """Whether messages may be buried."""
        return self._state is _State.CLOSED

    @property
    def lets_through(self) -> bool:
        """Whether a delivery that is here may be handled."""
        return self._state is not _State.OPEN

    @property
    def wants(self) -> str | None:
        """What was wanting for the last message, if that was lately: by now another process may have handled it."""
        if self._wants is None or time.monotonic() - self._wants[1] > WANTS_SECONDS:
            return None
        return self._wants[0]

    @property
    def reason(self) -> str:
        """Why the service has stopped, for its operator."""
        return (
            f"stopped: {sum(self._recent)} of the last {len(self._recent)} messages became dead letters "
            "(mgym dead list); it tries one from time to time, and goes on when that is handled"
        )

    def handled(self) -> None:
        """Hear that a message was done with as it should be."""
        self._wants = None
        if self._state is _State.HALF_OPEN:
            self._close()
        if self._state is _State.CLOSED:
            self._recent.append(False)
        if self._prefetch < self._full:
            self._in_a_row += 1
            if self._in_a_row >= AT_EASE:
                self._prefetch = self._full
                self._show()

    def crowded(self) -> None:
        """Hear that a delivery waited for a worker process in vain: as many as there are workers for are enough."""
        self._in_a_row = 0
        if self._prefetch != self._crowded:
            self._prefetch = self._crowded
            log.warning("more deliveries than worker processes for them", queue=self._queue, prefetch=self._prefetch)
            self._show()

    def missed(self, wants: str) -> None:
        """Hear that a message waits for what this machine has too little of."""
        self._wants = wants, time.monotonic()

    def buried(self) -> None:
        """Hear that a message becomes a dead letter."""
        self._recent.append(True)
        letters = sum(self._recent)
        if letters >= self._least_letters and 2 * letters > len(self._recent):
            self._open()

    def failed(self) -> None:
        """Hear that a message failed which would count if the breaker were closed."""
        if self._state is _State.HALF_OPEN:
            self._open()

    def _open(self) -> None:
        self._state = _State.OPEN
        pause = PAUSES[min(self._tries, len(PAUSES) - 1)]
        self._tries += 1
        log.error("service stopped", queue=self._queue, reason=self.reason, next_try_seconds=pause)
        self._timer = asyncio.get_running_loop().call_later(pause, self._half_open)
        self._show()

    def _half_open(self) -> None:
        self._state = _State.HALF_OPEN
        self._show()

    def _close(self) -> None:
        self._state = _State.CLOSED
        self._recent.clear()
        self._tries = 0
        log.info("service goes on", queue=self._queue)
        self._show()

    def _show(self) -> None:
        metrics.STOPPED.labels(self._queue).set(0 if self.is_closed else 1)
        if self._subscription is not None:
            self._subscription.admit({_State.CLOSED: self._prefetch, _State.OPEN: 0, _State.HALF_OPEN: 1}[self._state])
