"""A browser's connection, which is cut off when it takes too long to say what it wants, or to take what it gets.

The server by itself waits for a request's head, and for a client that does not read, for as long as that likes: each
would hold a connection, and as much memory as its answer takes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 20.0
"""How long a client may take to send a request's head, or to take `LEAST_BYTES` of what waits for it."""
LEAST_BYTES = 16 * 1024


class Connection(H11Protocol):
    """HTTP/1.1 with clients that keep up."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head: asyncio.TimerHandle | None = None
        """While a request's head is awaited that has begun, or the first."""
        self._reading: asyncio.TimerHandle | None = None
        """While more waits for the client than it should."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        for timer in (self._head, self._reading):
            if timer is not None:
                timer.cancel()
        self._head = self._reading = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle what came; what is not yet a request's whole head is waited for no longer than it should be."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()
        elif self._head is not None:
            self._head.cancel()
            self._head = None

    def pause_writing(self) -> None:
        """Write no more; the client has until then to take some of what waits."""
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _await_head(self) -> None:
        if self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(SECONDS, self.transport.abort)

    def _watch(self, waiting: int) -> None:
        def look() -> None:
            now = self.transport.get_write_buffer_size()
            if now > waiting - LEAST_BYTES:
                self.transport.abort()
            else:
                self._watch(now)

        self._reading = self.loop.call_later(SECONDS, look)
