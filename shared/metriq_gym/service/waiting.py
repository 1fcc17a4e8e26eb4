"""Waiting for a worker process is not handling: it does not count against the time that a handler has, but is bounded.

A delivery that has waited long enough goes back to the queue, uncounted, before the broker takes it for lost; a task
that was claimed early goes back to where it was due, so that others may run it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from metriq_gym.errors import Crowded
from metriq_gym.wording import duration

T = TypeVar("T")

WAITING_SECONDS = 3 * 60.0
"""How long one delivery may wait for worker processes, all its waits together."""


@dataclass
class _Patience:
    limit: asyncio.Timeout | None
    seconds: float
    left: float


_patience: ContextVar[_Patience | None] = ContextVar("patience", default=None)


@contextmanager
def bounded(seconds: float, limit: asyncio.Timeout | None = None) -> Iterator[None]:
    """While inside, `wait` waits for so long at most, all waits together, by which it extends `limit`."""
    token = _patience.set(_Patience(limit, seconds, seconds))
    try:
        yield
    finally:
        _patience.reset(token)


async def wait(awaitable: Awaitable[T]) -> T:
    """Await a turn; inside `bounded` raises `Crowded` when that takes too long."""
    patience = _patience.get()
    if patience is None:
        return await awaitable
    now = asyncio.get_running_loop().time
    limit = patience.limit
    began, end = now(), None if limit is None else limit.when()
    if limit is not None and end is not None:
        limit.reschedule(end + patience.left)
    try:
        async with asyncio.timeout(patience.left) as turn:
            return await awaitable
    except TimeoutError:
        if turn.expired():
            raise Crowded(f"no worker process was free within {duration(patience.seconds)}") from None
        raise
    finally:
        waited = now() - began
        patience.left = max(0.0, patience.left - waited)
        if limit is not None and end is not None and not limit.expired():
            limit.reschedule(end + waited)
