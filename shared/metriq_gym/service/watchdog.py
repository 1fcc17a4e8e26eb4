"""Watching the event loop from a thread of its own: a loop that is blocked cannot say so itself."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

log = structlog.get_logger()

LIMIT_SECONDS = 10.0
"""A loop that does not turn for so long is blocked: nothing in a service takes it for more than milliseconds."""
_LOOKS = 20
"""How often the thread looks within the limit."""


class Watchdog:
    """Notices that the running event loop does not turn, and logs what it is at instead.

    It counts its own looks rather than seconds, so that a process that was stopped as a whole is not taken for blocked.
    """

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._pause = limit_seconds / _LOOKS
        self._turned = threading.Event()
        self._blocked = threading.Event()
        self._stopped = threading.Event()
        self._loop_thread = threading.get_ident()

    async def alive(self) -> bool:
        """Whether the loop turns, and was not blocked within the limit.

        While it is blocked no probe is answered at all, which it must take for no.
        """
        return not self._blocked.is_set()

    async def turn(self) -> None:
        """Show the thread that the loop turns, until cancelled."""
        while True:
            self._turned.set()
            await asyncio.sleep(self._pause / 2)

    def watch(self) -> None:
        """Look until stopped: the thread's work."""
        missed = seen = 0
        while not self._stopped.wait(self._pause):
            if self._turned.is_set():
                self._turned.clear()
                missed, seen = 0, seen + 1
                if seen == _LOOKS and self._blocked.is_set():
                    self._blocked.clear()
                    log.warning("event loop turns again")
            else:
                missed, seen = missed + 1, 0
                if missed == _LOOKS:
                    self._blocked.set()
                    log.error("event loop is blocked", stack=self._stack())

    def stop(self) -> None:
        """End the thread's work."""
        self._stopped.set()

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)
        return "".join(traceback.format_stack(frame)) if frame is not None else ""


@asynccontextmanager
async def watched(limit_seconds: float = LIMIT_SECONDS) -> AsyncIterator[Watchdog]:
    """Watch the running event loop while inside."""
    watchdog = Watchdog(limit_seconds)
    turning = asyncio.create_task(watchdog.turn())
    thread = threading.Thread(target=watchdog.watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield watchdog
    finally:
        watchdog.stop()
        turning.cancel()
        await asyncio.wait({turning})
