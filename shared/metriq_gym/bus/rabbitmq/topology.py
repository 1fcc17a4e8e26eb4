"""What exists on the broker. Every process declares all of it, so that a message has a queue from the start; one whose
user may not declare anything sees that it is there.

``metriq.events`` (topic) → one quorum queue per service → ``metriq.dead`` once a delivery failed too often.
``metriq.lanes`` (direct) → one more quorum queue for each lane, by its name.
``metriq.later.<pause>``: a queue where a message waits until its time is over and it goes back to the queue that
is its routing key. The exchange before it is a topic exchange, since there a user's routing keys can be restricted: a
service that may retry reaches no queue but its own. Quorum queues count every return against the delivery limit,
``basic.nack`` and ``basic.reject`` alike (tried on 3.10.8 and 4.0.5), so a retry that must not count takes this way
round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel

from metriq_gym.bus.port import DEAD_LETTERS, EVENTS, LANE_EXCHANGE, Queue
from metriq_gym.bus.retry import DELIVERY_LIMIT

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


MOURNING_SECONDS = 1.0
"""How long a queue that was deleted stays away. Of one that is back within milliseconds RabbitMQ (3.10.8) may not tell
the consumers that they have lost it, and they wait on it in vain until they have been idle for long."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What an exchange sends to a queue."""

    exchange: str
    queue: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """Durable exchanges and queues, as data, for a broker or for Kubernetes."""

    exchanges: Mapping[str, ExchangeType]
    queues: Mapping[str, Mapping[str, Any]]
    """Name → arguments."""
    bindings: Sequence[Binding]


def retry_exchange(pause: float) -> str:
    """Name of the exchange and of the queue where messages wait for at most `pause` seconds."""
    return f"metriq.later.{round(1000 * pause)}ms"


def topology(queues: Sequence[Queue], pauses: Sequence[float]) -> Topology:
    """Return all that these queues need, dead letters and retries after these pauses (seconds) included."""
    retries = {retry_exchange(pause): round(1000 * pause) for pause in pauses}
    return Topology(
        exchanges={
            EVENTS: ExchangeType.TOPIC,
            DEAD_LETTERS: ExchangeType.FANOUT,
            LANE_EXCHANGE: ExchangeType.DIRECT,
            **dict.fromkeys(retries, ExchangeType.TOPIC),
        },
        queues={
            DEAD_LETTERS: _DEAD,
            **{queue.name: _SERVICE for queue in queues},
            **{
                # The default exchange routes to the queue that is named by the routing key.
                name: {**_QUORUM, **_AT_LEAST_ONCE, "x-message-ttl": milliseconds, "x-dead-letter-exchange": ""}
                for name, milliseconds in retries.items()
            },
        },
        bindings=[
            Binding(DEAD_LETTERS, DEAD_LETTERS, DEAD_LETTERS),
            *(Binding(EVENTS, queue.name, key) for queue in queues for key in queue.routing_keys),
            *(Binding(LANE_EXCHANGE, queue.name, queue.name) for queue in queues if queue.lane),
            *(Binding(name, name, "#") for name in retries),
        ],
    )


async def declare(channel: AbstractChannel, queues: Sequence[Queue], pauses: Sequence[float]) -> None:
    """Declare what is missing; what is there already stays as it is."""
    wanted = topology(queues, pauses)
    for name, kind in wanted.exchanges.items():
        await channel.declare_exchange(name, kind, durable=True)
    declared = {
        name: await channel.declare_queue(name, durable=True, arguments=dict(arguments))
        for name, arguments in wanted.queues.items()
    }
    for binding in wanted.bindings:
        await declared[binding.queue].bind(binding.exchange, binding.routing_key)


async def check(channel: AbstractChannel, queues: Sequence[Queue], pauses: Sequence[float]) -> None:
    """Raise `ChannelClosed` when something is missing. Bindings cannot be seen."""
    wanted = topology(queues, pauses)
    for name in wanted.exchanges:
        await channel.get_exchange(name)
    for name in wanted.queues:
        await channel.get_queue(name)
