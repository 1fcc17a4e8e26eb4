"""One question about all tasks of a provider instead of one about each, asked no more often than it is worth."""

from __future__ import annotations

from collections.abc import Callable

from metriq_gym.providers.provider import RemoteProvider

WORTH_FROM = 10
"""From this many waiting tasks on one long answer costs less than many short ones."""
SHARE = 20
"""An overview serves for this many times as long as it took to get: a hundred thousand tasks are 35 MB."""


class Survey:
    """The latest overview of a provider's tasks.

    Parameters
    ----------
    now:
        A clock, in seconds.
    least_seconds, most_seconds:
        How long an overview serves, at least and at most. After a failed attempt the next one waits for the former,
        after each further one twice as long, up to the latter.
    """

    def __init__(
        self, provider: RemoteProvider, now: Callable[[], float], least_seconds: float, most_seconds: float
    ) -> None:
        self._provider = provider
        self._now = now
        self._least = min(least_seconds, most_seconds)
        self._most = most_seconds
        self._serves_until = 0.0
        self.serves_seconds = self._least
        """How long the latest overview serves."""
        self._failures = 0
        self._waiting: frozenset[str] = frozenset()
        self._ended: frozenset[str] = frozenset()

    @property
    def due(self) -> bool:
        """Whether the latest overview has served its time."""
        return self._now() >= self._serves_until

    async def take(self) -> frozenset[str]:
        """Ask for an overview and return the ids of the tasks that have ended since the last one.

        Raises the provider's error; then nothing is known of any task for a while.
        """
        started = self._now()
        try:
            overview = await self._provider.overview()
        except Exception:
            self.forget()
            self._serves_until = self._now() + min(self._least * 2**self._failures, self._most)
            self._failures = min(self._failures + 1, 30)
            raise
        arrived, self._failures = self._now(), 0
        self.serves_seconds = min(max(SHARE * (arrived - started), self._least), self._most)
        self._serves_until = arrived + self.serves_seconds
        new = overview.ended - self._ended
        self._waiting, self._ended = overview.waiting, overview.ended
        return new

    def forget(self) -> None:
        """Let nothing be known of any task, until the next overview."""
        self._waiting = frozenset()

    @property
    def shows_any(self) -> bool:
        """Whether the overview shows any task waiting."""
        return bool(self._waiting)

    def shows_waiting(self, provider_job_id: str | None) -> bool:
        """Whether the overview shows a task waiting, so that it need not be asked about."""
        return provider_job_id in self._waiting
