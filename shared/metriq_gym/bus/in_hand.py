"""The deliveries that a consumer has in hand, and since when: one that stays there is a stall nothing else shows."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class InHand:
    """Tasks, one for each delivery, from its arrival until it is settled or is the queue's again."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._since: dict[asyncio.Task[None], float] = {}

    def take(self, handling: Coroutine[Any, Any, None]) -> None:
        """Run what handles and settles a delivery."""
        task = asyncio.create_task(handling)
        self.tasks.add(task)
        self._since[task] = asyncio.get_running_loop().time()
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._since.pop(task, None)

    @property
    def longest_seconds(self) -> float:
        """For how long the one that came first has been in hand; 0 when none is."""
        if not self._since:
            return 0.0
        return asyncio.get_running_loop().time() - next(iter(self._since.values()))
