"""What travels around a body: a delivery is read from it, and copies of a message are sent on with more.

A publisher may have set any header to anything, so what does not look like ours counts for nothing, and neither does
what came straight from the exchange that publishers reach: what is sent on goes another way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from metriq_gym.bus.dead_letters import DeadLetter
from metriq_gym.bus.identity import job_of
from metriq_gym.bus.port import DISPATCHER, EVENTS, LANES, QUEUES, Delivery
from metriq_gym.bus.retry import DELIVERY_LIMIT

RETRY = "metriq-retry"
"""Header of a message that went the way round through a retry queue: what it was and how its attempts ended."""
DEAD = "metriq-dead"
"""Header of a dead letter: everything about it that is not in the message itself."""
PUBLISHER = "metriq-publisher"
"""Header of a copy: the user that published the message at first. A copy can name none but who makes it."""

_MOST_BYTES = 32 * 1024
"""Of headers that are not ours. All of a message's have to fit into one frame of 128 KiB: a bigger one costs the
connection, and with it whatever others were publishing."""
_OVERHEAD = 16
"""Bytes; more than what AMQP puts around a name and its value."""
_LONGEST_KEY = 255
"""Bytes; what AMQP allows."""


def read(
    message: AbstractIncomingMessage, lane: int = 0, own: str | None = None, came_by: str | None = None
) -> Delivery:
    """Return a message as the delivery that its handler gets.

    Of what names `own`, the service's own user, as its publisher it is believed for whom it was copied. What was tried
    before says so only where it came by another exchange than everyone's: `came_by`, or else the message's own.
    """
    headers: dict[str, Any] = dict(message.headers)
    user, copied_for = message.user_id, headers.pop(PUBLISHER, None)
    if own is not None and user == own and copied_for is not None:
        user = _string(copied_for)
    returned = _count(headers.get("x-delivery-count")) if message.redelivered else 0
    retry = _table(headers.pop(RETRY, None))
    if (came_by or message.exchange) == EVENTS:
        retry = {}
    match retry:
        case {"routing_key": str(routing_key), "message_id": str() | None as message_id}:
            pass
        case _:
            retry, routing_key, message_id = {}, message.routing_key or "", message.message_id
    return Delivery(
        routing_key=routing_key,
        body=message.body,
        message_id=message_id,
        correlation_id=message.correlation_id,
        attempt=1 + _count(retry.get("attempts")) + returned,
        failures=_count(retry.get("failures")) + returned,
        returned=returned,
        postponed=_count(retry.get("postponed")),
        failing_since=_time(retry.get("failing_since")),
        wait=_count(retry.get("wait_ms")) / 1000,
        headers=headers,
        user_id=user,
        lane=lane,
    )


def to_set_aside(delivery: Delivery, app_id: str) -> Message:
    """Return the copy of a delivery that waits in a lane; its handler gets it as `delivery`."""
    return Message(
        delivery.body,
        headers=_plain(delivery.headers) | {RETRY: _retry(delivery)} | _published_by(delivery),
        content_type="application/json",
        correlation_id=delivery.correlation_id,
        message_id=delivery.message_id,
        timestamp=datetime.now(UTC),
        type=fitting(delivery.routing_key),
        app_id=app_id,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def to_retry(message: AbstractIncomingMessage, delivery: Delivery) -> Message:
    """Return the copy that waits for the next attempt, which gets it as `delivery`."""
    return _copy(message, {RETRY: _retry(delivery)} | _published_by(delivery))


def _published_by(delivery: Delivery) -> dict[str, Any]:
    return {PUBLISHER: delivery.user_id or ""}


def _retry(delivery: Delivery) -> dict[str, Any]:
    return {
        "attempts": delivery.attempt - 1,
        "failures": delivery.failures,
        "postponed": delivery.postponed,
        "failing_since": _text(delivery.failing_since),
        "wait_ms": round(1000 * delivery.wait),
        "routing_key": delivery.routing_key,
        "message_id": delivery.message_id,  # the client library makes one up where there is none
    }


def to_bury(message: AbstractIncomingMessage, letter: DeadLetter) -> Message:
    """Return the copy that goes to the dead letters."""
    about = {
        "service": letter.service,
        "reason": letter.reason,
        "traceback": letter.traceback,
        "first": _text(letter.first),
        "last": _text(letter.last),
        "deliveries": letter.deliveries,
        "queue": letter.queue,
        "routing_key": letter.routing_key,
        "message_id": letter.message_id,
        "type": letter.type,
        "job_id": letter.job_id,
    }
    return _copy(message, {DEAD: about})


def to_replay(message: AbstractIncomingMessage, letter: DeadLetter) -> Message:
    """Return the copy that the service is to try once more, as if it had just come."""
    retry = {"attempts": 0, "routing_key": letter.routing_key, "message_id": letter.message_id}
    return _copy(message, {RETRY: retry})


def read_letter(message: AbstractIncomingMessage) -> DeadLetter:
    """Return a dead letter: one of ours, or one that the broker made of a message that was never settled."""
    headers: dict[str, Any] = dict(message.headers)
    # Where the broker made it, all but its own account may be the publisher's; our copies have no such account.
    death = _death(headers)
    about = {} if death else _table(headers.get(DEAD))
    delivery = read(message, came_by=_string(death.get("exchange")))
    queue = _string(about.get("queue", death.get("queue")))
    if queue in {each.name for each in LANES}:
        queue = DISPATCHER.name
    reason = _string(about.get("reason")) or _said_of(death)
    return DeadLetter(
        queue=queue if queue is not None and queue in {each.name for each in QUEUES} else "",
        routing_key=_string(about.get("routing_key")) or delivery.routing_key,
        body=message.body,
        message_id=_string(about.get("message_id")) or delivery.message_id,
        type=_string(about.get("type")) or message.type,
        job_id=_string(about.get("job_id")) or job_of(delivery) or message.correlation_id,
        reason=reason,
        traceback=_string(about.get("traceback")) or "",
        first=_time(about.get("first")) or delivery.failing_since,
        last=_time(about.get("last")) or _time(death.get("time")),
        deliveries=_count(about.get("deliveries")) or delivery.attempt - 1 + (DELIVERY_LIMIT if death else 1),
    )


def _copy(message: AbstractIncomingMessage, headers: Mapping[str, Any]) -> Message:
    return Message(
        message.body,
        headers=_plain(message.headers) | dict(headers),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        correlation_id=message.correlation_id,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def _plain(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Those headers that are sure to survive being sent again with more; the broker itself sets those with ``x-``.

    The client library sends numbers with less precision, or not at all, than it receives.
    """
    plain, room = dict[str, Any](), _MOST_BYTES
    for name, value in headers.items():
        size = len(f"{name}{value}".encode()) + _OVERHEAD
        if isinstance(value, str) and name != PUBLISHER and not name.startswith("x-") and size <= room:
            plain[name] = value
            room -= size
    return plain


def _death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """The broker's account of a message that was returned to a service's queue too often."""
    deaths = headers.get("x-death")
    for death in map(_table, deaths if isinstance(deaths, list) else ()):
        if death.get("reason") == "delivery_limit":
            return death
    return {}


def _said_of(death: Mapping[str, Any]) -> str:
    if not death:
        return "unknown: no service of ours put it here"
    return f"delivery limit: the process or its connection ended, {DELIVERY_LIMIT} times, before it was settled"


def _table(header: object) -> Mapping[str, Any]:
    return header if isinstance(header, dict) else {}


def _string(header: object) -> str | None:
    return header if isinstance(header, str) and header else None


def _count(header: object) -> int:
    return header if isinstance(header, int) and 0 <= header < 2**31 - 1 else 0


def _time(header: object) -> datetime | None:
    if isinstance(header, datetime):
        return header if header.tzinfo else header.replace(tzinfo=UTC)
    try:
        found = datetime.fromisoformat(header) if isinstance(header, str) else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="milliseconds")


def fitting(routing_key: str) -> str:
    """Return as much of a routing key as a message can be published with."""
    return routing_key.encode(errors="replace")[:_LONGEST_KEY].decode(errors="ignore")
