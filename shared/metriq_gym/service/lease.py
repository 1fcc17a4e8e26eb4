"""Keeping a lease while the work it covers goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

from metriq_gym.errors import Transient

log = structlog.get_logger()
T = TypeVar("T")

_RENEWALS_PER_LEASE = 3


async def held(work: Coroutine[Any, Any, T], renew: Callable[[], Awaitable[None]], lease_seconds: float) -> T:
    """Await `work`, renewing its lease meanwhile; when `renew` says that it is lost, `work` is cancelled.

    A store that is away does not end the work: if another worker takes it over in the meantime, the fencing
    token has this one's result refused.
    """
    working = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({working}, timeout=lease_seconds / _RENEWALS_PER_LEASE))[0]:
            try:
                await renew()
            except Transient as error:
                log.warning("lease not renewed", error=str(error))
        return working.result()
    finally:
        working.cancel()
        # A caller that lets go of the lease after this must find that nothing goes on under it.
        await asyncio.wait({working})
