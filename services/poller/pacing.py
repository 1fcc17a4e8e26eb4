"""How fast to ask a provider: when to keep away from it, and how many tasks to take on at once."""

from __future__ import annotations

from collections.abc import Callable


class ProviderBreaker:
    """Keeps away from a provider in trouble: each failure in a row doubles the pause, a success ends it."""

    def __init__(self, now: Callable[[], float], *, first_seconds: float = 1, max_seconds: float = 60) -> None:
        self._now = now
        self._first = first_seconds
        self._max = max_seconds
        self._failures = 0
        self._open_until = 0.0

    @property
    def seconds_left(self) -> float:
        """For how long to keep away."""
        return max(0.0, self._open_until - self._now())

    @property
    def is_open(self) -> bool:
        """Whether the last contact was a failure."""
        return self._failures > 0

    def asked_for_patience(self, retry_after: float) -> None:
        """Keep away for as long as the provider asked for: it answers, only not that often."""
        self._failures = 0
        self._open_until = max(self._open_until, self._now() + retry_after)

    def failed(self, retry_after: float | None) -> None:
        """Keep away for as long as the provider asked for, or for longer than the last time."""
        pause = min(self._max, self._first * 2**self._failures)
        self._failures = min(self._failures + 1, 30)
        self._open_until = self._now() + max(pause, retry_after or 0)

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0


class PollingPace:
    """How many tasks to claim at once: what the last ones say can be done in `seconds`.

    Small enough that the leases outlive the work and that other pollers find some too; large enough that claiming
    costs little.
    """

    LEAST = 8
    MOST = 1000

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.size = self.LEAST

    def took(self, tasks: int, seconds: float) -> None:
        """Learn from a batch; the size at most doubles, so that one quick batch proves little."""
        possible = int(self._seconds * tasks / max(seconds, 1e-6))
        self.size = max(self.LEAST, min(possible, 2 * self.size, self.MOST))

    def stumbled(self) -> None:
        """Begin anew with few tasks: the provider is in trouble."""
        self.size = self.LEAST
