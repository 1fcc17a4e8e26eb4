"""What RabbitMQ and MongoDB must have, as resources that their operators in a Kubernetes cluster make true.

``python -m metriq_gym.operations.access.kubernetes rabbitmq`` and ``… mongodb`` print them;
``deploy/kubernetes/components`` has copies that a test keeps fresh. No password is in it, only the names of the Secrets
that hold them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from metriq_gym.bus.port import LANES, QUEUES
from metriq_gym.bus.rabbitmq.topology import topology
from metriq_gym.bus.retry import TRANSIENT
from metriq_gym.operations.access.mongodb import privileges
from metriq_gym.operations.access.rabbitmq import POLICY
from metriq_gym.operations.access.rights import ALL, MONITOR, Rights

_CLUSTER = {"rabbitmqClusterReference": {"name": "rabbitmq"}}
_DATABASE = "metriq"


def rabbitmq() -> list[dict[str, Any]]:
    """Return the resources of the Messaging Topology Operator, for a `RabbitmqCluster` named ``rabbitmq``."""
    return [*_topology(), *_users(), _policy()]


def mongodb() -> dict[str, Any]:
    """Return the roles and users of a `MongoDBCommunity` named ``mongodb``, as a patch of it."""
    return {
        "apiVersion": "mongodbcommunity.mongodb.com/v1",
        "kind": "MongoDBCommunity",
        "metadata": {"name": "mongodb"},
        "spec": {
            "security": {
                "roles": [
                    {"role": rights.user, "db": _DATABASE, "privileges": privileges(rights, _DATABASE), "roles": []}
                    for rights in ALL
                ]
            },
            "users": [_mongodb_user(rights) for rights in ALL],
        },
    }


def _resource(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "rabbitmq.com/v1beta1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {**_CLUSTER, **spec},
    }


def _topology() -> Iterator[dict[str, Any]]:
    wanted = topology((*QUEUES, *LANES), TRANSIENT.pauses)
    for name, kind in wanted.exchanges.items():
        yield _resource("Exchange", name, {"name": name, "type": kind.value, "durable": True})
    for name, arguments in wanted.queues.items():
        others = dict(arguments)
        spec = {"name": name, "type": others.pop("x-queue-type"), "durable": True, "arguments": others}
        yield _resource("Queue", name, spec)
    for binding in wanted.bindings:
        # A routing key may have characters that a name may not.
        key = binding.routing_key.replace("_", "-").replace("#", "all")
        yield _resource(
            "Binding",
            f"{binding.queue}.{key}",
            {
                "source": binding.exchange,
                "destination": binding.queue,
                "destinationType": "queue",
                "routingKey": binding.routing_key,
            },
        )


def _users() -> Iterator[dict[str, Any]]:
    for rights in ALL:
        whose = {"userReference": {"name": rights.user}, "vhost": "/"}
        may = rights.permission
        secret = {"importCredentialsSecret": {"name": f"rabbitmq-{rights.user}"}}
        yield _resource("User", rights.user, {"tags": list(rights.tags), **secret})
        permissions = {"configure": may.configure, "write": may.write, "read": may.read}
        yield _resource("Permission", rights.user, {**whose, "permissions": permissions})
        for topic in rights.topics:
            permissions = {"exchange": topic.exchange, "write": topic.write, "read": topic.read}
            yield _resource("TopicPermission", f"{rights.user}.{topic.exchange}", {**whose, "permissions": permissions})


def _policy() -> dict[str, Any]:
    others = {key: value for key, value in POLICY.items() if key != "apply-to"}
    return _resource("Policy", POLICY["name"], {"applyTo": POLICY["apply-to"], **others})


def _mongodb_user(rights: Rights) -> dict[str, Any]:
    user = {
        "name": rights.user,
        "db": "admin",
        "passwordSecretRef": {"name": f"mongodb-{rights.user}"},
        "roles": [{"name": rights.user, "db": _DATABASE}],
        "scramCredentialsSecretName": f"mongodb-{rights.user}",
        "connectionStringSecretName": f"mongodb-{rights.user}-url",
    }
    # The monitoring runs elsewhere and is told the authority's certificate in another way.
    if rights is not MONITOR:
        user["additionalConnectionStringConfig"] = {"tlsCAFile": "/etc/mongodb/ca.crt"}
    return user


def as_yaml(server: str) -> str:
    """Return what ``rabbitmq`` or ``mongodb`` must have."""

    class WithoutAliases(yaml.SafeDumper):
        def ignore_aliases(self, _: object) -> bool:
            return True

    documents = rabbitmq() if server == "rabbitmq" else [mongodb()]
    head = f"# Made by `python -m metriq_gym.operations.access.kubernetes {server}`.\n"
    return head + yaml.dump_all(documents, Dumper=WithoutAliases, sort_keys=False, width=110)


if __name__ == "__main__":
    (_, server) = sys.argv
    sys.stdout.write(as_yaml(server))
