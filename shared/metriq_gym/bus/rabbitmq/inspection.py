"""Looking at the broker without changing it: its version, and who consumes which queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aio_pika
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelClosed

from metriq_gym.bus.port import DEAD_LETTERS, EVENTS, QUEUES
from metriq_gym.errors import Transient

_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue as it is now."""

    name: str
    exists: bool
    messages: int = 0
    consumers: int = 0


@dataclass(frozen=True, slots=True)
class BrokerState:
    """What the broker says of itself."""

    version: str
    exchange_exists: bool
    queues: Sequence[QueueState]


async def inspect(url: str) -> BrokerState:
    """Return how the broker and its queues are; raises `Transient` when it does not answer or refuses us."""
    try:
        connection = await aio_pika.connect(url, timeout=_SECONDS)
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise Transient(f"RabbitMQ: {error or type(error).__name__}") from error
    async with connection:
        underlay: Any = connection.transport
        version = str(underlay.connection.server_properties.get("version", "unknown"))
        exchange_exists = await _exchange_exists(connection)
        names = [*(queue.name for queue in QUEUES), DEAD_LETTERS]
        return BrokerState(version, exchange_exists, [await _queue(connection, name) for name in names])


async def _exchange_exists(connection: aio_pika.abc.AbstractConnection) -> bool:
    # Asking for what is not there closes the channel, so each question has one of its own.
    channel = await connection.channel()
    try:
        await channel.get_exchange(EVENTS, ensure=True)
    except ChannelClosed:
        return False
    await channel.close()
    return True


async def _queue(connection: aio_pika.abc.AbstractConnection, name: str) -> QueueState:
    channel = await connection.channel()
    try:
        queue = await channel.declare_queue(name, passive=True)
    except ChannelClosed:
        return QueueState(name, exists=False)
    found = queue.declaration_result
    await channel.close()
    return QueueState(name, True, found.message_count or 0, found.consumer_count or 0)
