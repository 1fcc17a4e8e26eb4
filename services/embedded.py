"""The embedded runtime: all four services in this process, a memory bus, and a private `mongod`. No servers needed.

Data is kept between runs, and jobs that an earlier run left unfinished are continued.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.service.pool import Pool
from metriq_gym.service.service import Context, running
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.private_mongod import private_mongod

from .dispatcher import Dispatcher
from .exporter import Exporter
from .poller import Poller
from .scorer import Scorer


@asynccontextmanager
async def embedded(settings: Settings) -> AsyncIterator[Context]:
    """Run the whole system while inside."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(Pool(settings.workers))
        pool.warm()  # it imports while mongod starts
        mongod = private_mongod(settings.data_dir / "mongod", settings.mongod_stay_seconds or 0)
        url = await stack.enter_async_context(mongod)
        store = await stack.enter_async_context(Store.at(url, settings.mongo_database))
        bus = await stack.enter_async_context(MemoryBus())
        # There is no queue here that would outlive a service which has stopped, and no operator to mend it.
        context = Context(settings, bus, store, pool, letters_to_stop=math.inf)
        dispatcher, poller = Dispatcher(context), Poller(context)
        services = [dispatcher, poller, Scorer(context), Exporter(context)]
        await stack.enter_async_context(running(services, settings.grace_seconds))
        await dispatcher.reconciler.take_up()
        yield context
        # What is in hand, perhaps of another process's job, is seen through to its record, since messages in memory end
        # with us. An interruption does not wait for that.
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.grace_seconds):
                await poller.finish()
                await bus.idle()
