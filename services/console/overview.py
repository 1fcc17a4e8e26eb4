"""How the work stands: what the overview shows. Everything is asked of the store at once, and by an index."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from metriq_gym.bus.port import Bus
from metriq_gym.errors import Transient
from metriq_gym.jobs import TERMINAL, JobState
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.catalogue import Filter

from .attention import needs

RUNNING = 20
_ON_THE_WAY = tuple(state for state in JobState if state not in TERMINAL)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_NEWEST = 1000
"""Jobs by which stage times are told."""


async def overview(store: Store, bus: Bus, settings: Settings) -> dict[str, Any]:
    """Return what the overview shows; without a broker that answers, why there is nothing about queues."""
    catalogue = store.catalogue
    now = datetime.now(UTC)
    queues, consumers, error = await _queues(bus)
    pressing, states, created, exported, stages, due, running = await asyncio.gather(
        needs(store, settings, queues, consumers),
        catalogue.state_counts(),
        asyncio.gather(*(catalogue.created_since(now - span) for span in (_HOUR, _DAY))),
        asyncio.gather(*(catalogue.exported_since(now - span) for span in (_HOUR, _DAY))),
        asyncio.gather(*(catalogue.stage_times(span.total_seconds(), limit=_NEWEST) for span in (_HOUR, _DAY))),
        catalogue.due(),
        catalogue.page(Filter(states=_ON_THE_WAY), limit=RUNNING),
    )
    return {
        "needs": pressing,
        "states": states,
        "created": created,
        "exported": exported,
        "stages": list(zip(("The last hour", "The last day"), stages, strict=True)),
        "queues": queues,
        "consumers": consumers,
        "queue_error": error,
        "due": due,
        "running": running,
    }


async def _queues(bus: Bus) -> tuple[Mapping[str, int], Mapping[str, int], str]:
    try:
        return await bus.waiting(), await bus.consumers(), ""
    except Transient as away:
        return {}, {}, str(away)
