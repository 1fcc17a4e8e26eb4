"""The contracts as an AsyncAPI 3 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0).

``python -m metriq_gym.bus.asyncapi`` prints it; docs/asyncapi.yaml is a copy that a test keeps fresh.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

from metriq_gym.bus.port import DEAD_LETTERS, EVENTS, QUEUES
from metriq_gym.bus.retry import DELIVERY_LIMIT
from metriq_gym.messages import MESSAGES, Message

_HEADERS = {
    "type": "object",
    "properties": {
        "traceparent": {
            "type": "string",
            "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": "W3C trace context, the same trace from the request to the export. Optional in a request.",
        }
    },
}


def document() -> dict[str, Any]:
    """Return the AsyncAPI document: a channel per routing key, what is sent there, and which queue receives it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Metriq-Gym Services",
            "version": str(Message.model_fields["schema_version"].default),
            "description": (
                f"Quantum benchmarks as an event-driven service. Publish to the durable topic exchange {EVENTS}; "
                "to watch, bind a queue of your own to it. Delivery is at least once. Readers ignore unknown fields; "
                "a new required field is a new schema_version. Messages of the services are persistent and carry the "
                "AMQP properties message_id, type (the routing key), correlation_id (the job's or suite's id), app_id "
                "(the sender), timestamp and content_type. What fails unexpectedly "
                f"{DELIVERY_LIMIT} times is moved to the queue {DEAD_LETTERS}."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {message.__name__: _channel(message) for message in MESSAGES},
        "operations": {
            **{f"send{message.__name__}": _operation("send", message) for message in MESSAGES},
            **{
                f"receive{message.__name__}": {
                    **_operation("receive", message),
                    "summary": f"Handled from the quorum queue {queue.name}, acknowledged when its effect is stored.",
                    "bindings": {"amqp": {"ack": True, "bindingVersion": "0.3.0"}},
                }
                for message in MESSAGES
                for queue in QUEUES
                if message.routing_key in queue.routing_keys
            },
        },
        "components": {
            "messages": {message.__name__: _message(message) for message in MESSAGES},
            "schemas": {message.__name__: _schema(message) for message in MESSAGES},
        },
    }


def _channel(message: type[Message]) -> dict[str, Any]:
    exchange = {"name": EVENTS, "type": "topic", "durable": True, "autoDelete": False}
    return {
        "address": message.routing_key,
        "messages": {message.__name__: {"$ref": f"#/components/messages/{message.__name__}"}},
        "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}},
    }


def _operation(action: str, message: type[Message]) -> dict[str, Any]:
    channel = f"#/channels/{message.__name__}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{message.__name__}"}],
    }


def _message(message: type[Message]) -> dict[str, Any]:
    return {
        "name": message.routing_key,
        "title": message.__name__,
        "summary": inspect.getdoc(message),
        "contentType": "application/json",
        "headers": _HEADERS,
        "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
        "bindings": {"amqp": {"messageType": message.routing_key, "bindingVersion": "0.3.0"}},
    }


def _schema(message: type[Message]) -> dict[str, Any]:
    return message.model_json_schema(ref_template=f"#/components/schemas/{message.__name__}/$defs/{{model}}")


def as_yaml() -> str:
    """Return the document as YAML. Needs PyYAML, which only developers have."""
    import yaml

    class WithoutAliases(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(document(), Dumper=WithoutAliases, sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.write(as_yaml())
