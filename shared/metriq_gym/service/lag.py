"""How late the event loop is: what a handler that computes, or a machine that is too busy, costs everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from metriq_gym.telemetry.metrics import LOOP_LAG


@asynccontextmanager
async def lag_measured(every_seconds: float = 0.5) -> AsyncIterator[None]:
    """Measure while inside."""
    probing = asyncio.create_task(_probe(every_seconds))
    try:
        yield
    finally:
        probing.cancel()
        await asyncio.wait([probing])


async def _probe(every_seconds: float) -> None:
    now = asyncio.get_running_loop().time
    while True:
        due = now() + every_seconds
        await asyncio.sleep(every_seconds)
        LOOP_LAG.observe(max(0.0, now() - due))
