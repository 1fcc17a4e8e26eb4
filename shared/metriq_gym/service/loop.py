"""A loop beside a service's handler: called again and again, woken early, stopped between two calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from metriq_gym.errors import Transient

log = structlog.get_logger()

PATIENCE = 60.0
"""Seconds: longer than a call that ends because store or broker are away."""


class Loop:
    """Calls `body` every `pause_seconds`, and at once when woken.

    A `Transient` error is logged and the loop goes on. Any other ends it, and `alive` says so: better restarted
    than half working. One that has not come round for `patience` seconds more than its pause is stuck.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[], Awaitable[object]],
        pause_seconds: float,
        patience: float = PATIENCE,
    ) -> None:
        self.name = name
        self._body = body
        self._pause = pause_seconds
        self._patience = patience
        self._wake = asyncio.Event()
        self._stopping = False
        self.task: asyncio.Task[None] | None = None
        """What runs the loop; it ends with the error that ended the loop."""
        self._came_round = 0.0

    def start(self) -> None:
        """Begin."""
        self.task = asyncio.create_task(self._run(), name=self.name)

    def wake(self) -> None:
        """Call the body again as soon as it is done."""
        self._wake.set()

    async def stop(self) -> None:
        """Return when a call in progress is done; cancelling this cancels that call."""
        self._stopping = True
        self.wake()
        if self.task is not None:
            try:
                await asyncio.wait({self.task})
            except asyncio.CancelledError:
                self.task.cancel()
                await asyncio.wait({self.task})
                raise

    async def alive(self) -> bool:
        """Whether the loop comes round as it should."""
        if self.task is None or self.task.done():
            return False
        return asyncio.get_running_loop().time() - self._came_round < self._pause + self._patience

    async def _run(self) -> None:
        while not self._stopping:
            self._came_round = asyncio.get_running_loop().time()
            self._wake.clear()
            try:
                await self._body()
            except Transient as error:
                log.warning("will try again", loop=self.name, error=str(error))
            except Exception:
                log.exception("loop ended", loop=self.name)
                raise
            try:
                async with asyncio.timeout(self._pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
