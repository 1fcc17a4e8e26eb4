"""Looking at the broker without changing it: its version, who consumes which queue, and what is bound to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aio_pika
from aio_pika.exceptions import ChannelClosed

from metriq_gym import web
from metriq_gym.bus.port import DEAD_LETTERS, EVENTS, QUEUES, QueueState
from metriq_gym.bus.rabbitmq.connection import Connection, broker_errors
from metriq_gym.errors import Unavailable

_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class BrokerState:
    """What the broker says of itself."""

    version: str
    exchange_exists: bool
    queues: Sequence[QueueState]


async def inspect(url: str) -> BrokerState:
    """Return how the broker and its queues are; raises `Unavailable` when it does not answer, and `Refused`."""
    with broker_errors():
        connection = await aio_pika.connect(url, timeout=_SECONDS, connection_class=Connection)
    async with connection:
        underlay: Any = connection.transport
        version = str(underlay.connection.server_properties.get("version", "unknown"))
        exchange_exists = await _exchange_exists(connection)
        names = [*(queue.name for queue in QUEUES), DEAD_LETTERS]
        return BrokerState(version, exchange_exists, [await _queue(connection, name) for name in names])


async def unbound(url: str, management_url: str | None = None) -> list[str]:
    """Return the bindings that should be there and are not, in words.

    AMQP cannot be asked, so this asks the management API: at its usual port beside the broker unless `management_url`
    says where, as the same user unless it names one. Raises `Unavailable` when that does not answer or refuses us.
    """
    broker = urlsplit(url)
    usual = f"https://{broker.hostname}:15671" if broker.scheme == "amqps" else f"http://{broker.hostname}:15672"
    api = urlsplit(management_url or usual)
    user = api if api.username else broker
    name, password = quote(unquote(user.username or "guest"), ""), quote(unquote(user.password or "guest"), "")
    virtual_host = quote(unquote(broker.path.removeprefix("/")) or "/", safe="")
    address = api.netloc.rpartition("@")[2]
    bindings = f"{api.scheme}://{name}:{password}@{address}/api/bindings/{virtual_host}"
    try:
        found = json.loads(await asyncio.to_thread(web.request, bindings))
    except (web.RequestRefused, Unavailable, ValueError) as error:
        raise Unavailable(f"RabbitMQ's management API: {error}") from error
    there = {(each["source"], each["destination"], each["routing_key"]) for each in found}
    missing = [
        f"{EVENTS} to {queue.name} for {key}"
        for queue in QUEUES
        for key in queue.routing_keys
        if (EVENTS, queue.name, key) not in there
    ]
    dead = any((source, queue) == (DEAD_LETTERS, DEAD_LETTERS) for source, queue, _ in there)
    return missing if dead else [*missing, f"{DEAD_LETTERS} to its queue"]


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
