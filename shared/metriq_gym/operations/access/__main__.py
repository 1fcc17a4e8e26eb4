"""Prepare servers, as often as you like: `python -m metriq_gym.operations.access rabbitmq`, `mongo` or `mongo-users`.

``rabbitmq`` gives every user its rights and declares exchanges and queues. ``mongo``, on the machine of a server that
was started with ``--replSet rs0``, makes it a replica set with an administrator and users; ``mongo-users`` gives a
running one the users alone. The environment says where and with which passwords: ``RABBITMQ_ADMIN_URL`` (amqp),
``RABBITMQ_MANAGEMENT_URL`` (http), ``MONGO_ADMIN_PASSWORD`` or ``MONGO_ADMIN_URL``, and ``RABBITMQ_<USER>_PASSWORD``,
``MONGO_<USER>_PASSWORD``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.errors import MetriqGymError
from metriq_gym.operations.access import ALL, mongodb, rabbitmq


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare one server."""
    parser = argparse.ArgumentParser(prog="python -m metriq_gym.operations.access")
    servers = parser.add_subparsers(dest="server", required=True)
    broker = servers.add_parser("rabbitmq")
    broker.add_argument("virtual_hosts", nargs="*", default=["/"], metavar="VIRTUAL_HOST")
    database = servers.add_parser("mongo")
    database.add_argument("host", metavar="HOST:PORT", help="by which all clients will reach the server")
    database.add_argument("databases", nargs="*", default=["metriq"], metavar="DATABASE")
    database.add_argument("--local", default="127.0.0.1:27017", help="where it listens on this machine")
    database.add_argument("--options", default="", help="of its URL, such as tls=true&tlsCAFile=/ca.pem")
    running = servers.add_parser("mongo-users")
    running.add_argument("databases", nargs="*", default=["metriq"], metavar="DATABASE")
    given = parser.parse_args(arguments)
    if given.server == "rabbitmq":
        (management_url, url), passwords = _told("RABBITMQ", "RABBITMQ_MANAGEMENT_URL", "RABBITMQ_ADMIN_URL")
        rabbitmq.give(management_url, rabbitmq.definitions(passwords, given.virtual_hosts))
        for name in given.virtual_hosts:
            asyncio.run(_declare(rabbitmq.at_virtual_host(url, name)))
    elif given.server == "mongo":
        (password,), passwords = _told("MONGO", "MONGO_ADMIN_PASSWORD")
        url = mongodb.make_administrator(given.host, "admin", password, given.local, given.options)
        mongodb.give(url, passwords, given.databases)
    else:
        (url,), passwords = _told("MONGO", "MONGO_ADMIN_URL")
        mongodb.give(url, passwords, given.databases)


def _told(server: str, *names: str) -> tuple[list[str], dict[str, str]]:
    """Return the values of these variables and every user's password; raises `MetriqGymError` naming missing ones."""
    passwords = {rights.user: f"{server}_{rights.user.upper()}_PASSWORD" for rights in ALL}
    if missing := [name for name in (*names, *passwords.values()) if not os.environ.get(name)]:
        raise MetriqGymError(f"not set: {', '.join(missing)}")
    return [os.environ[name] for name in names], {user: os.environ[name] for user, name in passwords.items()}


async def _declare(url: str) -> None:
    async with RabbitMQBus(url, app_id="access"):
        pass


if __name__ == "__main__":
    try:
        main()
    except MetriqGymError as error:
        sys.exit(f"error: {error}")
