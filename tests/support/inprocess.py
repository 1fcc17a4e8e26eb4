"""Dispatcher and poller in the test's own process, on a bus and a store in memory: quick to start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.jobs import Job
from metriq_gym.messages import JobRequested
from metriq_gym.service.pool import Pool
from metriq_gym.service.service import Context, running
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from services.dispatcher import Dispatcher
from services.poller import Poller
from tests.sandbox.fixture import SandboxControl
from tests.support.jobs import watch
from tests.support.patience import PATIENCE


class InlinePool(Pool):
    """Runs everything here and now."""

    def __init__(self) -> None:
        super().__init__(1)

    async def __aenter__(self) -> InlinePool:
        return self

    def warm(self) -> None:
        """There is nothing to start."""

    async def run_within(self, seconds: float | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return function(*args, **kwargs)


@dataclass(frozen=True)
class Pair:
    """A running dispatcher and poller."""

    store: Store
    bus: MemoryBus

    async def request(self, job_id: str, config: dict[str, Any], **changes: Any) -> None:
        """Ask for a job on the sandbox's device."""
        fields = {"provider": "tyxonq", "device": "homebrew_s2?o=3", **changes}
        await self.bus.publish(JobRequested(job_id=job_id, config=config, **fields))

    async def until(self, job_id: str, reached: Callable[[Job], bool]) -> Job:
        """Return the job once it is as it should be."""
        async with asyncio.timeout(PATIENCE):
            async for job in watch(self.store, job_id):
                if reached(job):
                    return job
        raise AssertionError(f"job {job_id} ended as {job.state}: {job.failure}")

    async def counted(self, job_id: str) -> list[str | None]:
        """The provider's ids of the job's tasks."""
        return [task.provider_job_id for task in await self.store.tasks.of_job(job_id)]


@asynccontextmanager
async def dispatcher_and_poller(store: Store, sandbox: SandboxControl, **changes: Any) -> AsyncIterator[Pair]:
    """Run both, impatiently, while inside."""
    values: dict[str, Any] = {
        "tyxonq_token": sandbox.token,
        "tyxonq_base_url": sandbox.url,
        "poll_seconds": 0.05,
        "poll_max_seconds": 0.2,
        "lease_seconds": 3,
        "settle_seconds": 1,
        "reconcile_seconds": 1,
    }
    settings = Settings(**values | changes)
    pool = InlinePool()
    async with MemoryBus(retry_pauses=(0.05, 0.1, 0.3)) as bus:
        context = Context(settings, bus, store, pool)
        async with running([Dispatcher(context), Poller(context, pool)], 10):
            yield Pair(store, bus)
