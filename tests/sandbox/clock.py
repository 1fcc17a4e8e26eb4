"""The sandbox's time: real or frozen, and either can be moved forward instead of waited for."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds since the epoch."""

    def __init__(self, *, frozen: bool = False, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0
        self._frozen_at: float | None = None
        self.frozen = frozen

    def now(self) -> float:
        return (self._source() if self._frozen_at is None else self._frozen_at) + self._offset

    def advance(self, seconds: float) -> None:
        """Move `seconds` into the future; ValueError for a negative number, since time never runs back."""
        if not seconds >= 0:
            raise ValueError(f"advance: {seconds} is negative; the clock only moves forward")
        self._offset += seconds

    @property
    def frozen(self) -> bool:
        return self._frozen_at is not None

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        if frozen == self.frozen:
            return
        now = self.now()
        self._frozen_at = self._source() if frozen else None
        # Thawed time goes on from where it stood.
        self._offset = now - self._source() if self._frozen_at is None else now - self._frozen_at
