"""Somebody outside the system who binds a queue of their own to its events and notes when each arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

PATIENCE = 1800
"""Seconds until a job that does not end is given up."""


@dataclass
class Observer:
    """Knows the end of each job, by the job's id."""

    _ends: dict[str, asyncio.Future[float]] = field(default_factory=dict)

    async def exported(self, job_id: str) -> float:
        """Return the time, by `time.perf_counter`, at which ``job.exported`` arrived, waiting for it."""
        async with asyncio.timeout(PATIENCE):
            return await self._end(job_id)

    async def note(self, message: AbstractIncomingMessage) -> None:
        """Take one message."""
        now = time.perf_counter()
        end = self._end(message.correlation_id or "")
        if end.done():
            return
        if message.routing_key == "job.exported":
            end.set_result(now)
        elif message.routing_key == "job.failed":
            end.set_exception(RuntimeError(message.body.decode()))

    def _end(self, job_id: str) -> asyncio.Future[float]:
        return self._ends.setdefault(job_id, asyncio.get_running_loop().create_future())


@asynccontextmanager
async def observer(amqp_url: str) -> AsyncIterator[Observer]:
    """Observe while inside."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("metriq.events", "job.*")
        observing = Observer()
        await queue.consume(observing.note, no_ack=True)
        yield observing
