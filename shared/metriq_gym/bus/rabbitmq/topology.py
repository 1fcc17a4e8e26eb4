"""What exists on the broker. Every process declares all of it, so that a message has a queue from the start; one whose
user may not declare anything sees that it is there.

``metriq.events`` (topic) → one quorum queue per service → ``metriq.dead`` once a delivery failed too often.
``metriq.later.<pause>``: a queue where a message waits until its time is over and it goes back to the queue that
is its routing key. The exchange before it is a topic exchange, since there a user's routing keys can be restricted: a
service that may retry reaches no queue but its own. Quorum queues count every return against the delivery limit,
``basic.nack`` and ``basic.reject`` alike (tried on 3.10.8 and 4.0.5), so a retry that must not count takes this way
round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel

from metriq_gym.bus.port import DEAD_LETTERS, DELIVERY_LIMIT, EVENTS, Queue

_QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
_AT_LEAST_ONCE = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
_SERVICE = {
    **_QUORUM,
    **_AT_LEAST_ONCE,
    # The broker's limit is on returns, of which there is one less than tries.
    "x-delivery-limit": DELIVERY_LIMIT - 1,
    "x-dead-letter-exchange": DEAD_LETTERS,
}
# From 4.0 on, quorum queues drop a message after 20 returns unless told otherwise; 3.10 knows no "unlimited".
_DEAD = {**_QUORUM, "x-delivery-limit": 2**31 - 1}


def retry_exchange(pause: float) -> str:
    """Name of the exchange and of the queue where messages wait for at most `pause` seconds."""
    return f"metriq.later.{round(1000 * pause)}ms"


async def declare(channel: AbstractChannel, queues: Sequence[Queue], pauses: Sequence[float]) -> None:
    """Declare what is missing; what is there already stays as it is."""
    events = await channel.declare_exchange(EVENTS, ExchangeType.TOPIC, durable=True)
    dead = await channel.declare_exchange(DEAD_LETTERS, ExchangeType.FANOUT, durable=True)
    dead_letters = await channel.declare_queue(DEAD_LETTERS, durable=True, arguments=_DEAD)
    await dead_letters.bind(dead)
    for queue in queues:
        declared = await channel.declare_queue(queue.name, durable=True, arguments=_SERVICE)
        for routing_key in queue.routing_keys:
            await declared.bind(events, routing_key)
    for pause in pauses:
        name = retry_exchange(pause)
        retry = await channel.declare_exchange(name, ExchangeType.TOPIC, durable=True)
        # The default exchange routes to the queue that is named by the routing key.
        back: dict[str, Any] = {"x-message-ttl": round(1000 * pause), "x-dead-letter-exchange": ""}
        waiting = await channel.declare_queue(name, durable=True, arguments={**_QUORUM, **_AT_LEAST_ONCE, **back})
        await waiting.bind(retry, "#")


async def check(channel: AbstractChannel, queues: Sequence[Queue], pauses: Sequence[float]) -> None:
    """Raise `ChannelClosed` when something is missing. Bindings cannot be seen."""
    retries = [retry_exchange(pause) for pause in pauses]
    for exchange in (EVENTS, DEAD_LETTERS, *retries):
        await channel.get_exchange(exchange)
    for queue in (DEAD_LETTERS, *(queue.name for queue in queues), *retries):
        await channel.get_queue(queue)
