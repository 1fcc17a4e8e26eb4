"""The users and their rights as MongoDB's roles, and how to give them to a server.

A user has one role in each database, of the user's name, so that what it may do changes with the role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from metriq_gym.errors import MetriqGymError
from metriq_gym.operations.access.rights import ALL, Rights
from metriq_gym.store.mongo import in_short
from metriq_gym.store.private_mongod import await_primary, make_primary

_SECONDS = 60
_NO_SUCH_ROLE, _NO_SUCH_USER, _UNAUTHORIZED, _ALREADY_INITIATED = 31, 11, 13, 23


def privileges(rights: Rights, database: str) -> list[dict[str, Any]]:
    """Return a role's privileges, as the command ``createRole`` takes them."""
    return [
        {"resource": {"db": database, "collection": collection}, "actions": sorted(actions)}
        for collection, actions in rights.collections.items()
    ]


def give(url: str, passwords: Mapping[str, str], databases: Sequence[str] = ("metriq",)) -> None:
    """Create or bring up to date every user's role and password; `url` is an administrator's.

    What a user may do in other databases stays. Raises `MetriqGymError` when the server refuses or does not answer.
    """
    try:
        with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=1000 * _SECONDS) as client:
            for rights in ALL:
                for name in databases:
                    role = {"privileges": privileges(rights, name), "roles": []}
                    _create_or_update(client[name], "Role", rights.user, role, _NO_SUCH_ROLE)
                _create_or_update(client.admin, "User", rights.user, {"pwd": passwords[rights.user]}, _NO_SUCH_USER)
                roles = [{"role": rights.user, "db": name} for name in databases]
                client.admin.command("grantRolesToUser", rights.user, roles=roles)
    except PyMongoError as error:
        raise MetriqGymError(f"MongoDB: {in_short(error)}") from error


def _create_or_update(database: Any, kind: str, name: str, fields: dict[str, Any], missing: int) -> None:
    try:
        database.command(f"update{kind}", name, **fields)
    except OperationFailure as error:
        if error.code != missing:
            raise
        database.command(f"create{kind}", name, **{"roles": []} | fields)


def make_administrator(host: str, user: str, password: str, local: str, options: str = "") -> str:
    """Make a server on this machine the primary of a replica set, with an administrator, and return the latter's URL.

    A server that has no user yet lets a client on its own machine, at the address `local`, create one, and nobody else.
    One that has been prepared stays as it is. `host` is the name by which all clients will reach the server; `options`
    are further options of its URL, such as ``tls=true``. Raises `MongodUnavailable`, also when the administrator has
    another password.
    """
    commands: list[dict[str, Any]] = [
        {"replSetInitiate": {"_id": "rs0", "members": [{"_id": 0, "host": host}]}},
        {"createUser": user, "pwd": password, "roles": ["root"]},
    ]
    query = f"directConnection=true{'&' if options else ''}{options}"
    with MongoClient[dict[str, Any]](f"mongodb://{local}/?{query}") as client:
        for command in commands:
            try:
                client.admin.command(command)
            except OperationFailure as error:
                if error.code not in (_UNAUTHORIZED, _ALREADY_INITIATED):
                    raise
            await_primary(client.admin)
    url = f"mongodb://{quote_plus(user)}:{quote_plus(password)}@{host}/?{query}"
    make_primary(url, host)
    return url
