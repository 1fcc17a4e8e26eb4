"""Consuming: each delivery is handled in a task of its own and settled by its outcome."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from metriq_gym.bus.dead_letters import given_up, in_a_line
from metriq_gym.bus.handling import Again, Dead, Done, Outcome, ended, handle
from metriq_gym.bus.in_hand import InHand
from metriq_gym.bus.port import DEAD_LETTERS, Delivery, Handler, Queue
from metriq_gym.bus.rabbitmq import envelope, topology
from metriq_gym.bus.rabbitmq.connection import CONNECT_TIMEOUT, ConnectionSettings, broker_errors, end, stay_connected
from metriq_gym.bus.rabbitmq.publisher import Publisher
from metriq_gym.errors import Transient
from metriq_gym.telemetry import metrics
from metriq_gym.telemetry.harmless import harmless

logger = structlog.get_logger()

IDLE_SECONDS = 30.0
"""Once nothing has come for so long, a consumer is begun anew, on another connection. It may be one that gets nothing
any more without being told so: where a queue was deleted and declared again within milliseconds, RabbitMQ (3.10.8)
counts the consumers of before as the new queue's, takes messages for delivered to them, and delivers none.

Another channel would do, but each leaves a little on its connection, in aio-pika 10.2.1, for as long as that lives."""


class RabbitMQSubscription:
    """A connection of its own for consuming one queue."""

    def __init__(
        self, settings: ConnectionSettings, publisher: Publisher, queue: Queue, handler: Handler, prefetch: int
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._queue = queue
        self._handler = handler
        self._prefetch = prefetch
        # The broker keeps to the prefetch; after a lost connection, handlers of before may still be running.
        self._slots = asyncio.Semaphore(prefetch)
        self._in_hand = InHand()
        self._came = 0
        self._renewing_until = 0.0
        self._consuming = asyncio.Event()
        self._told = asyncio.Event()
        self._over = asyncio.Event()
        """Set unless there is a consumer."""
        self._over.set()
        self._stopping = False
        self._connection: asyncio.Task[None] | None = None

    @property
    def healthy(self) -> bool:
        return self._consuming.is_set() or asyncio.get_running_loop().time() < self._renewing_until

    @property
    def gone(self) -> bool:
        return self._connection is None or self._connection.done()

    @property
    def unsettled_seconds(self) -> float:
        return self._in_hand.longest_seconds

    def admit(self, prefetch: int) -> None:
        if prefetch != self._prefetch:
            self._prefetch = prefetch
            self._told.set()

    async def start(self) -> None:
        """Begin to consume. Raises `Transient` if that takes longer than `patience`."""
        metrics.RENEWED_CONSUMERS.labels(self._queue.name)  # told from the start, as 0
        self._connection = asyncio.create_task(stay_connected(self._settings, f"consume {self._queue.name}", self._use))
        with broker_errors():
            async with asyncio.timeout(self._settings.patience):
                await self._consuming.wait()

    async def stop(self) -> None:
        self._stopping = True
        self._told.set()
        await self._over.wait()
        await ended(self._in_hand.tasks)
        if self._connection is not None:
            await end(self._connection)

    async def _use(self, channel: AbstractChannel) -> bool:
        """Consume by a channel; return true once nothing has come for long, and false when it is of no more use."""
        cancelled = asyncio.Event()
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: cancelled.set())
        while not (channel.is_closed or cancelled.is_set()):
            self._told.clear()
            if self._prefetch and not self._stopping:
                if await self._consume(channel, cancelled):
                    # With the connection the broker gets back what it counts as delivered, and what comes just now.
                    metrics.RENEWED_CONSUMERS.labels(self._queue.name).inc()
                    logger.debug("consumer.renewed", queue=self._queue.name)
                    self._renewing_until = asyncio.get_running_loop().time() + CONNECT_TIMEOUT
                    return True
            else:
                # What is in hand while stopping may have come by a channel that is lost; by this one nothing comes.
                await _first(channel.closed(), self._told.wait())
        if cancelled.is_set():
            await asyncio.sleep(topology.MOURNING_SECONDS)
        return False

    async def _consume(self, channel: AbstractChannel, cancelled: asyncio.Event) -> bool:
        """Take deliveries until the channel or the consumer is lost, or until told to take more or fewer at once.

        Return true, with the consumer ended and nothing in hand, once nothing has come for long.
        """
        queue = await channel.get_queue(self._queue.name, ensure=False)
        self._over.clear()
        idle = asyncio.create_task(self._idle())
        try:
            async with asyncio.timeout(self._settings.patience):
                await channel.set_qos(prefetch_count=self._prefetch)  # of consumers that begin after this
                consumer = await queue.consume(self._received)
            self._consuming.set()
            self._renewing_until = 0.0
            await _first(channel.closed(), cancelled.wait(), self._told.wait(), idle)
            silent = idle.done()  # now: in a moment it is done whatever came, since `_first` has cancelled it
            if self._told.is_set() or (silent and not self._stopping):
                with broker_errors():  # and the channel with it, if it does not work: there must never be two consumers
                    await queue.cancel(consumer, timeout=self._settings.patience)
            return silent and not (self._in_hand.tasks or self._stopping or cancelled.is_set())
        finally:
            idle.cancel()
            self._consuming.clear()
            self._over.set()

    async def _idle(self) -> None:
        """Return once nothing has come for `IDLE_SECONDS`, and nothing is in hand."""
        came = -1
        while self._in_hand.tasks or came != self._came:
            came = self._came
            await asyncio.sleep(IDLE_SECONDS)

    async def _received(self, message: AbstractIncomingMessage) -> None:
        self._came += 1
        # This task ends with its channel; what it starts does not, so that no handler is cut off half-way.
        self._in_hand.take(self._handle(message))

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        started_at_once = not self._slots.locked()
        async with self._slots:
            try:
                delivery = envelope.read(message, self._queue.lane, self._publisher.user)
                with broker_errors():
                    # Handing back counts as a try, so what is here already is handled even while stopping, if it can
                    # be now.
                    if self._stopping and not started_at_once:
                        await message.reject(requeue=True)
                    else:
                        outcome = await handle(self._handler, delivery, self._queue.home, self._settings.retry_pauses)
                        if self._told.is_set():
                            # To settle it lets another one come. One that is still on its way when its consumer ends is
                            # given back by the queue, which costs it a try.
                            await self._over.wait()
                        await self._settle(message, delivery, outcome)
            except Exception as error:
                with harmless():
                    logger.warning("delivery.unsettled", delivery=message.message_id, reason=in_a_line(error))
                await self._give_back(message)

    async def _give_back(self, message: AbstractIncomingMessage) -> None:
        """Let the broker have a message that could not be settled, at the price of the channel if need be.

        It would neither come again nor let others in its place while the channel that it came by is open.
        """
        try:
            async with asyncio.timeout(self._settings.patience):
                await message.reject(requeue=True)
        except Exception:
            with suppress(Exception):  # then it is closed, and the message is the broker's already
                await message.channel.close()

    async def _settle(self, message: AbstractIncomingMessage, delivery: Delivery, outcome: Outcome) -> None:
        try:
            await self._send_on(message, delivery, outcome)
        except Transient as error:
            # The broker counts this as well, and makes a dead letter in its own words where it is one too many.
            with harmless():
                logger.warning("delivery.not_sent_on", delivery=delivery.message_id, reason=str(error))
            await message.reject(requeue=True)
        else:
            await message.ack()

    async def _send_on(self, message: AbstractIncomingMessage, delivery: Delivery, outcome: Outcome) -> None:
        """Publish the copy of a message that an outcome calls for; after that the message itself has served."""
        match outcome:
            case Again():
                copy = envelope.to_retry(message, outcome.delivery)
                copy.expiration = outcome.seconds
                await self._publisher.publish(topology.retry_exchange(outcome.pause), self._queue.name, copy)
            case Dead(error, at):
                letter = given_up(self._queue.home, delivery, error, at, message.type)
                with harmless():
                    logger.error("delivery.given_up", delivery=letter.id, job_id=letter.job_id, reason=letter.reason)
                copy = envelope.to_bury(message, letter)
                await self._publisher.publish(DEAD_LETTERS, envelope.fitting(letter.routing_key), copy)
            case Done():
                pass


async def _first(*awaitables: Any) -> None:
    """Return when the first of `awaitables` is done; forget the others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
