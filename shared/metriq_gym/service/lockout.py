"""Whether servers let this process in: one that runs on with a user or a password that is refused does no work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from metriq_gym.bus.port import Bus
from metriq_gym.store import Store
from metriq_gym.wording import duration

log = structlog.get_logger()

LOCKED_OUT_SECONDS = 300.0
"""For so long a rotation of passwords may take to reach every server and file. After that a restart may help, if only
since somebody looks at what restarts again and again."""
LOOK_SECONDS = 15.0


class Lockout:
    """Since when which server has refused this process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since: dict[str, float] = {}

    def note(self, server: str, refused: bool) -> None:
        """Note what a server said."""
        if not refused:
            self._since.pop(server, None)
        elif server not in self._since:
            log.error("locked out", server=server)
            self._since[server] = self._now()

    async def over(self) -> bool | str:
        """Whether no server has refused us for long: a check of liveness."""
        for server, since in self._since.items():
            if (seconds := self._now() - since) > LOCKED_OUT_SECONDS:
                return f"{server} has refused the user for {duration(seconds)}"
        return True

    async def watch(self, store: Store, bus: Bus) -> None:
        """Look again and again, for ever. A server that is away says nothing."""
        while True:
            if (refuses := await store.refuses()) is not None:
                self.note("MongoDB", refuses)
            if bus.refused or bus.connected:
                self.note("RabbitMQ", bus.refused)
            await asyncio.sleep(LOOK_SECONDS)
