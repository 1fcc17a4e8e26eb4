"""All four services in this process, on a queue and a store in memory: a job from its request to its record."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.jobs import Job
from metriq_gym.messages import JobRequested
from metriq_gym.service.pool import Pool
from metriq_gym.service.service import Context, running
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.testing.memory import MemoryClient
from metriq_gym.testing.provider import ToldProvider, offered


class InlinePool(Pool):
    """Does the work of worker processes here and now."""

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
class MemorySystem:
    """What the services work with."""

    bus: MemoryBus
    store: Store

    async def run(self, config: Mapping[str, Any], provider: str, device: str, **request: Any) -> Job:
        """Request a job and return it once it has ended, or only an operator can move it on.

        Parameters
        ----------
        config
            The benchmark's configuration, ``benchmark_name`` among its keys.
        provider
            Name of the provider.
        device
            Name of the device.
        **request
            Further fields of `metriq_gym.messages.JobRequested`.
        """
        job_id = request.pop("job_id", None) or f"test-{secrets.token_hex(6)}"
        await self.bus.publish(
            JobRequested(job_id=job_id, provider=provider, device=device, config=dict(config), **request)
        )
        async for job, _ in self.store.changes.job(job_id):
            last = job
        return last


@asynccontextmanager
async def memory_system(
    folder: Path, provider: ToldProvider | None = None, **settings: Any
) -> AsyncIterator[MemorySystem]:
    """Run the services while inside; records are written below `folder`, and `provider` can be named in requests.

    Parameters
    ----------
    folder
        Where records are written.
    provider
        What requests can name beside the installed providers.
    **settings
        Settings that differ from the defaults.
    """
    quick: dict[str, Any] = {"poll_seconds": 0.01, "poll_max_seconds": 0.05, "export_dir": folder, "data_dir": folder}
    quick["console_port"] = 0  # any that is free: several systems may run at once
    pool = InlinePool()
    with ExitStack() as stack:
        if provider is not None:
            stack.enter_context(offered(provider))
        async with MemoryBus(retry_pauses=(0.01, 0.05)) as bus, Store(MemoryClient()) as store:
            context = Context(Settings(**quick | settings), bus, store, pool, letters_to_stop=math.inf)
            kinds: list[Any] = [each.load() for each in entry_points(group="metriq_gym.services")]
            # The poller decodes counts in a process of its own, if it is given no other place.
            services = [kind(context, pool) if kind.name == "poller" else kind(context) for kind in kinds]
            async with running(services, 10):
                yield MemorySystem(bus, store)
