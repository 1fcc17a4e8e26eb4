"""Publishing: persistent, with confirms, at most `WINDOW` unconfirmed at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from weakref import WeakValueDictionary

from aio_pika import Message
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import PublishError
from pamqp.commands import Queue

from metriq_gym.bus.rabbitmq import topology
from metriq_gym.bus.rabbitmq.connection import ConnectionSettings, broker_errors, end, stay_connected
from metriq_gym.errors import Refused, Unroutable

WINDOW = 100
"""Unconfirmed messages in flight: enough to hide the round trip, few enough to bound what a crash repeats."""


class Publisher:
    """A connection of its own for publishing."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._window = asyncio.Semaphore(WINDOW)
        self._one_by_one: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._channel: AbstractChannel | None = None
        self.user: str | None = None
        """Whom what is published names as its publisher, which the broker checks; None where it names none."""
        self._opened = asyncio.Event()
        self._refusal: Refused | None = None
        self._connection: asyncio.Task[None] | None = None
        self._declaration: asyncio.Task[None] | None = None

    @property
    def refused(self) -> bool:
        """Whether the broker did not let this user in when a connection was last tried."""
        return not self.connected and self._refusal is not None

    @property
    def connected(self) -> bool:
        return self._channel is not None and not self._channel.is_closed

    async def start(self) -> None:
        """Connect. Raises `Refused`, and `Transient` if that takes longer than `patience`."""
        self._connection = asyncio.create_task(stay_connected(self._settings, "publish", self._use, self._refused))
        with broker_errors():
            async with asyncio.timeout(self._settings.patience):
                await self._open_channel()

    async def stop(self) -> None:
        """Wait for the confirms of what is in flight and disconnect."""
        for _ in range(WINDOW):
            await self._window.acquire()
        for _ in range(WINDOW):
            self._window.release()
        if self._declaration is not None:
            self._declaration.cancel()
        if self._connection is not None:
            await end(self._connection)

    async def publish(self, exchange: str, routing_key: str, message: Message, *, mandatory: bool = True) -> None:
        """Publish and return when the broker has confirmed. Raises `Unroutable` and `Transient`."""
        # The client library tells returned messages by their id, so those with the same id go one by one.
        same_id = self._one_by_one.setdefault(message.message_id or "", asyncio.Lock())
        with broker_errors():
            try:
                async with asyncio.timeout(self._settings.patience), same_id, self._window:
                    channel = await self._open_channel()
                    target = await channel.get_exchange(exchange, ensure=False)
                    message.user_id = self.user
                    await target.publish(message, routing_key, mandatory=mandatory)
            except PublishError as error:
                # A queue was deleted: the next attempt will find it.
                await self._declared_again(channel)
                raise Unroutable(f"No queue is bound to receive {routing_key} from {exchange}.") from error

    async def _declared_again(self, channel: AbstractChannel) -> None:
        """Return when what is missing has been declared, once for all that miss it."""
        if self._declaration is None or self._declaration.done():
            self._declaration = asyncio.create_task(self._declare(channel))
        await asyncio.shield(self._declaration)

    async def _declare(self, channel: AbstractChannel) -> None:
        await asyncio.sleep(topology.MOURNING_SECONDS)
        async with asyncio.timeout(self._settings.patience):
            await topology.declare(channel, self._settings.queues, self._settings.retry_pauses)

    async def waiting(self) -> dict[str, int]:
        """Return how many messages wait in each queue; raises `Transient`."""
        names = topology.topology(self._settings.queues, self._settings.retry_pauses).queues
        return {name: queue.message_count or 0 for name, queue in (await self._declared(names)).items()}

    async def consumers(self) -> dict[str, int]:
        """Return how many consumers each service's queue has; raises `Transient`."""
        names = [queue.name for queue in self._settings.queues if queue.routing_keys]
        return {name: queue.consumer_count or 0 for name, queue in (await self._declared(names)).items()}

    async def _declared(self, names: Iterable[str]) -> dict[str, Queue.DeclareOk]:
        """Return what the broker says of queues."""
        with broker_errors():
            async with asyncio.timeout(self._settings.patience):
                publishing = await (await self._open_channel()).get_underlay_channel()
                # A channel of its own: the broker closes one that asks for a queue which is not there.
                channel = await publishing.connection.channel()
                try:
                    return {name: await channel.queue_declare(name, passive=True) for name in names}
                finally:
                    await channel.close()

    async def _open_channel(self) -> AbstractChannel:
        while self._channel is None or self._channel.is_closed:
            self._opened.clear()
            await self._opened.wait()
            if self._refusal is not None:
                raise self._refusal
        return self._channel

    def _refused(self, refusal: Refused) -> None:
        self._refusal = refusal
        self._opened.set()

    async def _use(self, channel: AbstractChannel) -> bool:
        if self._settings.named:
            url = (await channel.get_underlay_channel()).connection.url
            self.user = (url.user or "guest") if url.query.get("auth", "plain").lower() == "plain" else None
        self._channel, self._refusal = channel, None
        self._opened.set()
        await channel.closed()
        return False
