"""Consuming: each delivery is handled in a task of its own and settled by its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from metriq_gym.bus.handling import Outcome, ended, handle, jittered, retry_pause
from metriq_gym.bus.port import Delivery, Handler, Queue
from metriq_gym.bus.rabbitmq import topology
from metriq_gym.bus.rabbitmq.connection import Settings, broker_errors, stay_connected
from metriq_gym.bus.rabbitmq.publisher import Publisher
from metriq_gym.errors import Transient

logger = structlog.get_logger()

RETRY = "metriq-retry"
"""Header of a message that went the way round through a retry queue: what it was and how often it was tried."""


class RabbitMQSubscription:
    """A connection of its own for consuming one queue."""

    def __init__(self, settings: Settings, publisher: Publisher, queue: Queue, handler: Handler, prefetch: int) -> None:
        self._settings = settings
        self._publisher = publisher
        self._queue = queue
        self._handler = handler
        self._prefetch = prefetch
        # The broker keeps to the prefetch; after a lost connection, handlers of before may still be running.
        self._slots = asyncio.Semaphore(prefetch)
        self._in_hand: set[asyncio.Task[None]] = set()
        self._consuming = asyncio.Event()
        self._consumer: tuple[AbstractQueue, str] | None = None
        self._stopping = False
        self._connection: asyncio.Task[None] | None = None

    @property
    def healthy(self) -> bool:
        return self._consuming.is_set()

    @property
    def gone(self) -> bool:
        return self._connection is None or self._connection.done()

    async def start(self) -> None:
        """Begin to consume. Raises `Transient` if that takes longer than `patience`."""
        self._connection = asyncio.create_task(stay_connected(self._settings, f"consume {self._queue.name}", self._use))
        with broker_errors():
            async with asyncio.timeout(self._settings.patience):
                await self._consuming.wait()

    async def stop(self) -> None:
        self._stopping = True
        if self._consumer is not None:
            queue, tag = self._consumer
            with suppress(Transient), broker_errors():
                await queue.cancel(tag, timeout=self._settings.patience)
        await ended(self._in_hand)
        if self._connection is not None:
            self._connection.cancel()
            await asyncio.wait([self._connection])

    async def _use(self, channel: AbstractChannel) -> None:
        await channel.set_qos(prefetch_count=self._prefetch)
        cancelled = asyncio.Event()
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: cancelled.set())
        queue = await channel.get_queue(self._queue.name, ensure=False)
        self._consumer = queue, await queue.consume(self._received)
        self._consuming.set()
        try:
            await _first(channel.closed(), cancelled.wait())
        finally:
            self._consuming.clear()
            self._consumer = None

    async def _received(self, message: AbstractIncomingMessage) -> None:
        # This task ends with its channel; what it starts does not, so that no handler is cut off half-way.
        task = asyncio.create_task(self._handle(message))
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        started_at_once = not self._slots.locked()
        async with self._slots:
            delivery = _delivery(message)
            # Handing back counts as a try, so what is here already is handled even while stopping, if it can be now.
            hand_back = self._stopping and not started_at_once
            outcome = Outcome.AGAIN if hand_back else await handle(self._handler, delivery, self._queue.name)
            try:
                with broker_errors():
                    await self._settle(message, delivery, outcome)
            except Transient as error:
                # Not settled, so the broker will deliver it again.
                logger.warning("delivery.unsettled", delivery=delivery.message_id, reason=str(error))

    async def _settle(self, message: AbstractIncomingMessage, delivery: Delivery, outcome: Outcome) -> None:
        match outcome:
            case Outcome.DONE:
                await message.ack()
            case Outcome.AGAIN:
                await message.reject(requeue=True)
            case Outcome.LATER:
                try:
                    await self._postpone(message, delivery)
                except Transient as error:
                    logger.warning("delivery.not_postponed", delivery=delivery.message_id, reason=str(error))
                    await message.reject(requeue=True)
                else:
                    await message.ack()

    async def _postpone(self, message: AbstractIncomingMessage, delivery: Delivery) -> None:
        pause = retry_pause(self._settings.retry_pauses, delivery.attempt)
        retry: dict[str, Any] = {
            "attempts": delivery.attempt,
            "routing_key": delivery.routing_key,
            "message_id": delivery.message_id,  # the client library makes one up where there is none
        }
        copy = Message(
            message.body,
            headers=_plain(delivery.headers) | {RETRY: retry},
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            correlation_id=message.correlation_id,
            message_id=message.message_id,
            timestamp=message.timestamp,
            type=message.type,
            app_id=message.app_id,
            delivery_mode=DeliveryMode.PERSISTENT,
            expiration=jittered(pause),
        )
        await self._publisher.publish(topology.retry_exchange(pause), self._queue.name, copy)


def _delivery(message: AbstractIncomingMessage) -> Delivery:
    headers: dict[str, Any] = dict(message.headers)
    returned = _count(headers.get("x-delivery-count"))
    match headers.pop(RETRY, None):
        case {
            "attempts": int(attempts),
            "routing_key": str(routing_key),
            "message_id": str() | None as message_id,
        }:
            pass
        case _:
            attempts, routing_key, message_id = 0, message.routing_key or "", message.message_id
    return Delivery(
        routing_key=routing_key,
        body=message.body,
        message_id=message_id,
        correlation_id=message.correlation_id,
        attempt=1 + _count(attempts) + returned,
        headers=headers,
    )


def _plain(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Those headers that are sure to survive being sent again; the broker sets the ones with ``x-`` itself."""
    return {
        name: value
        for name, value in headers.items()
        if isinstance(value, str | int | float) and not name.startswith("x-")
    }


def _count(header: object) -> int:
    """A number from a header that anyone may have set to anything."""
    return header if isinstance(header, int) and 0 <= header < 2**31 - 1 else 0


async def _first(*awaitables: Any) -> None:
    """Return when the first of `awaitables` is done; forget the others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
