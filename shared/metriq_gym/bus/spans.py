"""Spans of messages, as OpenTelemetry's conventions for RabbitMQ have them
(https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from metriq_gym.bus.port import EVENTS, Delivery
from metriq_gym.messages import Message
from metriq_gym.telemetry import tracing


@contextmanager
def sending(message: Message) -> Iterator[str]:
    """Make a span of publishing `message`, and yield the trace context that it carries."""
    with tracing.span(
        f"send {EVENTS}:{message.routing_key}",
        "producer",
        _attributes("send", f"{EVENTS}:{message.routing_key}", message.routing_key)
        | _identity(message.message_id, message.correlation_id),
    ):
        yield tracing.current()


@contextmanager
def processing(delivery: Delivery, queue: str) -> Iterator[None]:
    """Make a span of handling a delivery, in its sender's trace, or in a new one."""
    destination = f"{EVENTS}:{delivery.routing_key}:{queue}"
    with (
        tracing.continued(delivery.headers.get("traceparent")),
        tracing.span(
            f"process {destination}",
            "consumer",
            _attributes("process", destination, delivery.routing_key)
            | _identity(delivery.message_id, delivery.correlation_id)
            | {"messaging.message.body.size": len(delivery.body), "metriq.delivery.attempt": delivery.attempt},
        ),
    ):
        yield


def _attributes(operation: str, destination: str, routing_key: str) -> dict[str, str | int]:
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": destination,
        "messaging.rabbitmq.destination.routing_key": routing_key,
    }


def _identity(message_id: str | None, correlation_id: str | None) -> dict[str, str | int]:
    identity = {"messaging.message.id": message_id, "messaging.message.conversation_id": correlation_id}
    return {name: value for name, value in identity.items() if value is not None}
