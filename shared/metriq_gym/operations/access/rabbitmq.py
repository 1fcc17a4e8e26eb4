"""The users and their rights as RabbitMQ's definitions, and how to give them to a broker by its management API."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from metriq_gym import web
from metriq_gym.errors import Permanent, Transient, Unavailable
from metriq_gym.operations.access.rights import ALL, WATCHERS

_SECONDS = 30
WATCHED_AT_MOST = 10_000
"""Messages that wait for a watcher who is slow, or who has gone: then the oldest go."""

POLICY: dict[str, Any] = {
    "name": "watchers",
    "pattern": f"^{WATCHERS}$",
    "apply-to": "queues",
    "priority": 0,
    "definition": {"max-length": WATCHED_AT_MOST, "overflow": "drop-head", "expires": 3_600_000},
}


def definitions(passwords: Mapping[str, str], virtual_hosts: Sequence[str] = ("/",)) -> dict[str, Any]:
    """Return what RabbitMQ imports: users with the given passwords, and what each may do in the virtual hosts."""
    return {
        "users": [
            {
                "name": rights.user,
                "password_hash": password_hash(passwords[rights.user]),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": list(rights.tags),
            }
            for rights in ALL
        ],
        "vhosts": [{"name": name} for name in virtual_hosts],
        "permissions": [
            {
                "user": rights.user,
                "vhost": name,
                "configure": rights.permission.configure,
                "write": rights.permission.write,
                "read": rights.permission.read,
            }
            for rights in ALL
            for name in virtual_hosts
        ],
        "topic_permissions": [
            {"user": rights.user, "vhost": name, "exchange": each.exchange, "write": each.write, "read": each.read}
            for rights in ALL
            for each in rights.topics
            for name in virtual_hosts
        ],
        "policies": [{"vhost": name, **POLICY} for name in virtual_hosts],
    }


def password_hash(password: str) -> str:
    """Return a salted hash as RabbitMQ's definitions hold it (https://www.rabbitmq.com/docs/passwords)."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def give(management_url: str, document: Mapping[str, Any]) -> None:
    """Have the broker take over definitions; what it has beside them stays.

    `management_url` is ``http://user:password@host:port`` of an administrator, who may also use the virtual hosts then.
    Raises `Permanent` when the broker refuses and `Transient` when it does not answer.
    """
    administrator = unquote(urlsplit(management_url).username or "")
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    own = [{"user": administrator, "vhost": each["name"], **everything} for each in document["vhosts"]]
    _call(management_url, "/api/definitions", {**document, "permissions": [*document["permissions"], *own]})


def at_virtual_host(url: str, name: str) -> str:
    """Return an AMQP URL with this virtual host instead of its own."""
    return urlsplit(url)._replace(path=f"/{quote(name, safe='')}").geturl()


def _call(management_url: str, path: str, body: Mapping[str, Any]) -> None:
    parts = urlsplit(management_url)
    address = parts.netloc.rpartition("@")[2]
    try:
        web.request(
            f"{parts.scheme}://{parts.netloc}{quote(path)}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            seconds=_SECONDS,
        )
    except web.RequestRefused as error:
        raise Permanent(f"RabbitMQ's management at {address} refuses: {error}") from error
    except Unavailable as error:
        raise Transient(f"RabbitMQ's management at {address} does not answer: {error}") from error
