"""The message queue on RabbitMQ, 3.10 or later, by aio-pika."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Self

from aio_pika import DeliveryMode
from aio_pika import Message as AMQPMessage

from metriq_gym.bus.port import EVENTS, LANE_EXCHANGE, LANES, QUEUES, Delivery, Handler, Queue
from metriq_gym.bus.rabbitmq import decoding, envelope
from metriq_gym.bus.rabbitmq.connection import ConnectionSettings
from metriq_gym.bus.rabbitmq.dead_letters import LockedLetter, locked_letters
from metriq_gym.bus.rabbitmq.publisher import Publisher
from metriq_gym.bus.rabbitmq.subscription import RabbitMQSubscription
from metriq_gym.bus.retry import TRANSIENT
from metriq_gym.bus.spans import sending
from metriq_gym.messages import Message

decoding.tolerate()


class RabbitMQBus:
    """A `Bus` on RabbitMQ: one connection for publishing and one for each consumer."""

    def __init__(
        self,
        url: str | Callable[[], str],
        *,
        app_id: str,
        queues: Sequence[Queue] = (*QUEUES, *LANES),
        retry_pauses: Sequence[float] = TRANSIENT.pauses,
        patience: float = 30.0,
        named: bool = False,
    ) -> None:
        """`app_id` names the sender in what it publishes; `url` may be what returns it as it is now.

        `patience` is the longest wait, in seconds, for a lost connection to come back or a confirmation to arrive.
        Where `named`, what is published names the user, and so do copies of what others published.
        """
        self._app_id = app_id
        self._settings = ConnectionSettings(url, app_id, tuple(queues), tuple(retry_pauses), patience, named)
        self._publisher = Publisher(self._settings)
        self._subscriptions: list[RabbitMQSubscription] = []

    async def __aenter__(self) -> Self:
        try:
            await self._publisher.start()
        except BaseException:
            await self._publisher.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for subscription in self._subscriptions:
            await subscription.stop()
        await self._publisher.stop()

    @property
    def connected(self) -> bool:
        return self._publisher.connected

    @property
    def refused(self) -> bool:
        return self._publisher.refused

    async def publish(self, message: Message) -> None:
        with sending(message) as traceparent:
            await self._publish(message, traceparent)

    async def _publish(self, message: Message, traceparent: str) -> None:
        amqp = AMQPMessage(
            message.encoded(),
            content_type="application/json",
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=message.message_id,
            correlation_id=message.correlation_id,
            type=message.routing_key,
            app_id=self._app_id,
            timestamp=datetime.now(UTC),
            headers={"traceparent": traceparent},
        )
        await self._publisher.publish(EVENTS, message.routing_key, amqp, mandatory=message.has_consumer)

    async def set_aside(self, delivery: Delivery, lane: Queue) -> None:
        await self._publisher.publish(LANE_EXCHANGE, lane.name, envelope.to_set_aside(delivery, self._app_id))

    async def waiting(self) -> dict[str, int]:
        return await self._publisher.waiting()

    async def consumers(self) -> dict[str, int]:
        return await self._publisher.consumers()

    @asynccontextmanager
    async def old_letters(self, before: datetime, *, most: int) -> AsyncIterator[list[LockedLetter]]:
        url = self._settings.url if isinstance(self._settings.url, str) else self._settings.url()
        async with locked_letters(url, most=most) as held:
            yield [each for each in held if each.letter.was_given_up(before)]

    async def consume(self, queue: Queue, handler: Handler, *, prefetch: int) -> RabbitMQSubscription:
        subscription = RabbitMQSubscription(self._settings, self._publisher, queue, handler, prefetch)
        try:
            await subscription.start()
        except BaseException:
            await subscription.stop()
            raise
        self._subscriptions.append(subscription)
        return subscription
