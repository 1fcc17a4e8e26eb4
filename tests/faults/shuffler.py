"""Stands between the exchange and the services' queues: passes on every message twice, each time a little later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from metriq_gym.bus.port import EVENTS, QUEUES

QUIET_SECONDS = 2.0
"""After this long without a message none is expected."""


class Shuffler:
    """Passes messages on to `target`, out of order since each copy waits for up to `longest` seconds."""

    def __init__(self, target: AbstractExchange, random: Random, longest: float) -> None:
        self._target = target
        self._random = random
        self._longest = longest
        self._under_way = set[asyncio.Task[None]]()
        self._last = 0.0
        self.doubled = 0

    async def receive(self, message: AbstractIncomingMessage) -> None:
        task = asyncio.create_task(self._pass_on(message))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def quiet(self) -> bool:
        """Whether nothing is under way, and nothing has been for a while."""
        return not self._under_way and asyncio.get_running_loop().time() - self._last > QUIET_SECONDS

    async def _pass_on(self, message: AbstractIncomingMessage) -> None:
        await asyncio.gather(self._later(message), self._later(message))
        await message.ack()
        self.doubled += 1
        self._last = asyncio.get_running_loop().time()

    async def _later(self, message: AbstractIncomingMessage) -> None:
        await asyncio.sleep(self._random.uniform(0, self._longest))
        assert message.routing_key is not None
        await self._target.publish(message, message.routing_key, mandatory=False)


@asynccontextmanager
async def shuffled(amqp_url: str, random: Random, longest: float) -> AsyncIterator[Shuffler]:
    """Double and shuffle, while inside, all that is published to services which are connected already."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        target = await channel.declare_exchange("shuffled", aio_pika.ExchangeType.TOPIC)
        everything = await channel.declare_queue(exclusive=True)
        shuffler = Shuffler(target, random, longest)
        await everything.bind(EVENTS, "#")
        for wanted in QUEUES:
            queue = await channel.get_queue(wanted.name)
            for key in wanted.routing_keys:
                await queue.bind(target, key)
                await queue.unbind(EVENTS, key)
        await everything.consume(shuffler.receive)
        yield shuffler
