"""A console in a process of its own, as in its container: without the other services, which have no part in it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.patience import PATIENCE

REPOSITORY = Path(__file__).parents[2]
CONSOLE = """
import asyncio, json, sys
import structlog
from pathlib import Path
from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import QUEUES
from metriq_gym.jobs.documents import EstimateAnswer
from metriq_gym.service.pool import Pool
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from services.console import Console

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main(url, database, folder):
    settings = Settings(data_dir=Path(folder), console_port=0, console_requests_per_second=100_000)
    async with Store.at(url, database) as store, MemoryBus() as bus:
        async def take(delivery):
            if delivery.routing_key == "estimate.requested":
                name = json.loads(delivery.body)["estimate_id"]
                problem = {"path": "$.device", "message": "is none"}
                await store.estimates.answer(EstimateAnswer(_id=name, problems=[problem]))
        for queue in QUEUES:
            await bus.consume(queue, take, prefetch=10)
        console = Console(Context(settings, bus, store, Pool(1)))
        await console.start()
        print(console.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""
"""Requests are taken and forgotten; estimates are refused."""


@asynccontextmanager
async def script(text: str, *arguments: object) -> AsyncIterator[Process]:
    """Run a script in a process of its own while inside."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", text, *map(str, arguments), stdout=PIPE, stderr=DEVNULL, cwd=REPOSITORY
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def console_process(mongo_url: str, database: str, folder: Path) -> AsyncIterator[tuple[int, Process]]:
    """Run a console while inside; yield its port and its process."""
    async with script(CONSOLE, mongo_url, database, folder) as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            port = int(await process.stdout.readline())
        yield port, process
