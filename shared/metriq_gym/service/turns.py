"""Who gets the next thing that is free: those of one lane in the order they came, the lanes by turns."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import defaultdict
from contextvars import ContextVar
from typing import Generic, TypeVar

T = TypeVar("T")

LANE: ContextVar[int] = ContextVar("lane", default=0)
"""The lane of whatever asks."""


class Turns(Generic[T]):
    """Things that are lent one by one; the one that was given back last is lent first.

    Each lane's requests are numbered from the turn that it is when they come. The lowest number is next, so one of a
    lane where few wait passes by those of a lane where many do, and each lane gets the same share while all have some.
    """

    def __init__(self) -> None:
        self._free: list[T] = []
        self._waiting: list[tuple[int, int, asyncio.Future[T]]] = []
        self._order = itertools.count()
        self._turn = 0
        self._next = defaultdict[int, int](int)

    async def get(self) -> T:
        """Return a thing once one is free and it is the caller's turn."""
        if self._free:
            return self._free.pop()
        lane = LANE.get()
        turn = max(self._turn, self._next[lane])
        self._next[lane] = turn + 1
        mine: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (turn, next(self._order), mine))
        try:
            return await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it was lent at the very moment
                self.put(mine.result())
            else:
                self._next[lane] -= 1  # who comes next has not to wait for a turn that is not taken
            raise

    def put(self, thing: T) -> None:
        """Give a thing back, or add one."""
        while self._waiting:
            self._turn, _, waiting = heapq.heappop(self._waiting)
            if not waiting.done():
                waiting.set_result(thing)
                return
        self._free.append(thing)
