"""Stands between the exchanges and the services' queues: passes on every message twice, each time a little later."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from metriq_gym.bus.port import EVENTS, LANE_EXCHANGE, LANES, QUEUES

QUIET_SECONDS = 2.0
"""After this long without a message none is expected."""


class Shuffler:
    """Passes messages on to one of `targets`, by the exchange they came by.

    That is out of order, since each copy waits for up to `longest` seconds.
    """

    def __init__(self, targets: Mapping[str, AbstractExchange], random: Random, longest: float) -> None:
        self._targets = targets
        self._random = random
        self._longest = longest
        self._under_way = set[asyncio.Task[None]]()
        self._last = 0.0
        self.doubled = Counter[str]()
        """How many messages, by the exchange they came by."""

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
        self.doubled[message.exchange or ""] += 1
        self._last = asyncio.get_running_loop().time()

    async def _later(self, message: AbstractIncomingMessage) -> None:
        await asyncio.sleep(self._random.uniform(0, self._longest))
        assert message.exchange is not None
        assert message.routing_key is not None
        await self._targets[message.exchange].publish(message, message.routing_key, mandatory=False)


@asynccontextmanager
async def shuffled(amqp_url: str, random: Random, longest: float) -> AsyncIterator[Shuffler]:
    """Double and shuffle, while inside, all that is published to services which are connected already."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        everything = await channel.declare_queue(exclusive=True)
        targets = {
            EVENTS: await channel.declare_exchange("shuffled", aio_pika.ExchangeType.TOPIC),
            LANE_EXCHANGE: await channel.declare_exchange("shuffled lanes", aio_pika.ExchangeType.DIRECT),
        }
        shuffler = Shuffler(targets, random, longest)
        await everything.bind(EVENTS, "#")
        for wanted in (*QUEUES, *LANES):
            queue = await channel.get_queue(wanted.name)
            source = LANE_EXCHANGE if wanted.lane else EVENTS
            for key in wanted.routing_keys or [wanted.name]:
                await queue.bind(targets[source], key)
                await everything.bind(source, key)
                await queue.unbind(source, key)
        await everything.consume(shuffler.receive)
        yield shuffler
