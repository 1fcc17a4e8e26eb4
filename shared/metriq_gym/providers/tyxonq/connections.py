"""Connections to one service, each lent to one request at a time, and closed unless that was seen through.

A request that is broken off, by a limit of time or because it was cancelled, may cost httpcore's pool a place for good
(encode/httpcore#1093). In one pool for all, nothing could be asked or submitted any more once the last place is gone.
So every connection has a pool to itself, which goes with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx


class Connections:
    """As many connections as requests may be under way at once.

    Parameters
    ----------
    make:
        Gives a client of one connection; it connects when it is first used.
    most:
        How many may be lent at once.
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient], most: int) -> None:
        self._make = make
        self._all = {make() for _ in range(most)}
        self._idle = list(self._all)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[httpx.AsyncClient]:
        """Lend the one that was used last, so that few are kept open; whatever is raised inside closes it."""
        lent = self._idle.pop()
        try:
            yield lent
        except BaseException:
            if not lent.is_closed:  # as all are in the end
                broken, lent = lent, self._make()
                self._all ^= {broken, lent}
                await broken.aclose()
            raise
        finally:
            self._idle.append(lent)

    async def aclose(self) -> None:
        """Close all, those that are lent too."""
        for each in tuple(self._all):
            await each.aclose()
