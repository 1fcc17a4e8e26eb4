"""How far ahead of the pollers jobs from lanes are dispatched: as far as keeps these busy, and no further.

Dispatched earlier they would be done no sooner, and dispatching them would take the processors, the store and the
broker from the jobs that wait in no lane.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from metriq_gym.service.turns import Turns
from metriq_gym.store import Store

MOST = 256
"""So many tasks of a provider may wait for a poller before no more jobs from lanes are dispatched to it: more than
pollers take between two looks, and enough for these to be scaled by (`queryValue` of the Kubernetes component `keda`
times the most replicas)."""
LOOK_SECONDS = 0.25
PATIENCE = 60.0
"""A job that has waited so long is dispatched all the same, so that nothing stands still where no poller runs."""


@dataclass
class _Provider:
    turns: Turns[None] = field(default_factory=Turns)
    """Whose turn it is to go ahead; one at a time looks whether there is room."""
    under_way: int = 0
    room: int = 0
    """How many more may go ahead before the next look."""

    def __post_init__(self) -> None:
        self.turns.put(None)


class Ahead:
    """Lets jobs from lanes be dispatched while few tasks of their provider are due."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._providers = defaultdict[str, _Provider](_Provider)
        self._let_all = asyncio.Event()

    @asynccontextmanager
    async def room(self, provider: str) -> AsyncIterator[None]:
        """Enter once there is room for one more job, the lanes by turns, or after `PATIENCE`; dispatch it inside."""
        here = self._providers[provider]
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._wait(provider, here)
        here.under_way += 1
        try:
            yield
        finally:
            here.under_way -= 1

    def let_all(self) -> None:
        """Let all go on that wait, and whatever comes."""
        self._let_all.set()

    async def _wait(self, provider: str, here: _Provider) -> None:
        await here.turns.get()
        try:
            while here.room <= 0 and not self._let_all.is_set():
                due = await self._store.tasks.due_in_lanes(provider, limit=MOST)
                here.room = MOST - due - here.under_way
                if here.room <= 0:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await self._let_all.wait()
            here.room -= 1
        finally:
            here.turns.put(None)
