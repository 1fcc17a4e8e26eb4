"""Connections to a small server, few and with a time limit, so that strangers who say nothing keep no probe from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MOST_CONNECTIONS = 64
"""So many at once. One more takes the place of the one that has been silent, or half-way, for longest."""
HEADERS_SECONDS = 5.0
"""How long the first request of a connection may take to arrive."""
_END = b"\r\n\r\n"


def bounded(make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
    """Return a factory of protocols like those that `make` makes, within the bounds above."""
    unasked: dict[_Bounded, None] = {}
    return lambda: _Bounded(make(), unasked)


class _Bounded(asyncio.Protocol):
    """Passes everything on, and ends a connection that does not ask for anything in time."""

    def __init__(self, inner: asyncio.Protocol, all_of_them: dict[_Bounded, None]) -> None:
        self._inner = inner
        self._all = all_of_them
        self._transport: asyncio.BaseTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asked = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(HEADERS_SECONDS, self.end)
        while len(self._all) >= MOST_CONNECTIONS:
            next((each for each in self._all if not each._asked), next(iter(self._all))).end()
        self._all[self] = None
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._asked:
            self._asked = _END in self._tail + data
            self._tail = (self._tail + data)[1 - len(_END) :]
            if self._asked and self._timer is not None:
                self._timer.cancel()
        self._inner.data_received(data)

    def end(self) -> None:
        """Close the connection at once."""
        self._forget()
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()

    def _forget(self) -> None:
        self._all.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
