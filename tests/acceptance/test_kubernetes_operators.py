"""RabbitMQ and MongoDB by their operators: what these are told is what the services need, and nobody else gets near."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pymongo import MongoClient

from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.operations.access import ALL
from metriq_gym.operations.access.mongodb import give, make_administrator
from metriq_gym.operations.access.rabbitmq import definitions
from metriq_gym.settings import Settings
from tests.servers.mongodb import LockedMongod
from tests.servers.rabbitmq import Broker, call, virtual_host
from tests.support.manifests import SERVICES, Manifest, labels, of, overlay, selects

SERVERS = ("rabbitmq", "mongodb")


@pytest.fixture
def manifests() -> list[Manifest]:
    return overlay("operators")


def specs(kind: str, manifests: list[Manifest]) -> list[Manifest]:
    return [each["spec"] for each in of(kind, manifests).values()]


def test_the_topology_is_what_the_services_would_declare(amqp_broker: Broker, manifests: list[Manifest]) -> None:
    async def declare(url: str) -> None:
        async with RabbitMQBus(url, app_id="test"):
            pass

    def found(url: str) -> dict[str, list[str]]:
        document = json.loads(call(amqp_broker, "GET", f"/api/definitions{urlsplit(url).path}"))
        parts = ("exchanges", "queues", "bindings")
        return {part: sorted(json.dumps(each, sort_keys=True) for each in document[part]) for part in parts}

    with virtual_host(amqp_broker) as declared, virtual_host(amqp_broker) as applied:
        asyncio.run(declare(declared))
        apply(amqp_broker, urlsplit(applied).path, manifests)
        assert found(applied) == found(declared)
        asyncio.run(declare(applied))


def apply(broker: Broker, virtual_host: str, manifests: list[Manifest]) -> None:
    """Make of the resources what the Messaging Topology Operator makes of them."""

    def put(method: str, path: str, **body: Any) -> None:
        call(broker, method, path, json.dumps(body).encode())

    for each in specs("Exchange", manifests):
        path = f"/api/exchanges{virtual_host}/{each['name']}"
        put("PUT", path, type=each["type"], durable=each["durable"], arguments={})
    for each in specs("Queue", manifests):
        arguments = {**each["arguments"], "x-queue-type": each["type"]}
        put("PUT", f"/api/queues{virtual_host}/{each['name']}", durable=each["durable"], arguments=arguments)
    for each in specs("Binding", manifests):
        assert each["destinationType"] == "queue"
        path = f"/api/bindings{virtual_host}/e/{each['source']}/q/{each['destination']}"
        put("POST", path, routing_key=each["routingKey"], arguments={})


def as_set(documents: Iterable[Any]) -> set[str]:
    return {json.dumps(each, sort_keys=True) for each in documents}


def test_users_of_rabbitmq_have_the_rights_that_were_tried(manifests: list[Manifest]) -> None:
    wanted = definitions({rights.user: "" for rights in ALL})
    users = of("User", manifests)
    assert {name: each["spec"]["tags"] for name, each in users.items()} == {
        each["name"]: each["tags"] for each in wanted["users"]
    }
    for name, each in users.items():
        assert each["spec"]["importCredentialsSecret"] == {"name": f"rabbitmq-{name}"}
    for kind, part in (("Permission", "permissions"), ("TopicPermission", "topic_permissions")):
        given = [
            {"user": each["userReference"]["name"], "vhost": each["vhost"], **each["permissions"]}
            for each in specs(kind, manifests)
        ]
        assert as_set(given) == as_set(wanted[part])
    (policy,) = specs("Policy", manifests)
    (watchers,) = wanted["policies"]
    assert policy["applyTo"] == watchers["apply-to"]
    assert all(policy[key] == watchers[key] for key in ("name", "pattern", "priority", "definition"))


def test_users_of_mongodb_have_the_rights_that_were_tried(manifests: list[Manifest], tmp_path: Path) -> None:
    (spec,) = specs("MongoDBCommunity", manifests)
    server = LockedMongod(tmp_path)
    try:
        url = make_administrator(server.address, "admin", "password", server.address)
        give(url, {rights.user: "password" for rights in ALL}, [Settings().mongo_database])
        with MongoClient[dict[str, Any]](url) as client:
            for role in spec["security"]["roles"]:
                answer = client[role["db"]].command("rolesInfo", role["role"], showPrivileges=True)
                (wanted,) = answer["roles"]
                assert as_set(role["privileges"]) == as_set(wanted["privileges"])
                assert role["roles"] == wanted["roles"] == []
            for user in spec["users"]:
                (wanted,) = client[user["db"]].command("usersInfo", user["name"])["users"]
                assert [{"role": each["name"], "db": each["db"]} for each in user["roles"]] == wanted["roles"]
    finally:
        server.kill()
    assert {user["name"] for user in spec["users"]} == {rights.user for rights in ALL}
    for user in spec["users"]:
        assert user["passwordSecretRef"] == {"name": f"mongodb-{user['name']}"}


def test_three_servers_each_of_which_two_stay_while_nodes_are_emptied(manifests: list[Manifest]) -> None:
    assert [each["replicas"] for each in specs("RabbitmqCluster", manifests)] == [3]
    assert [each["members"] for each in specs("MongoDBCommunity", manifests)] == [3]
    budgets = of("PodDisruptionBudget", manifests)
    assert all(budgets[name]["spec"]["maxUnavailable"] == 1 for name in SERVERS)
    (cluster,) = specs("RabbitmqCluster", manifests)
    assert "target_group_size = 3" in cluster["rabbitmq"]["additionalConfig"]
    assert all(each["type"] == "quorum" for each in specs("Queue", manifests))


def templates(manifests: list[Manifest]) -> dict[str, Manifest]:
    (cluster,) = specs("RabbitmqCluster", manifests)
    (replica_set,) = specs("MongoDBCommunity", manifests)
    return {
        "rabbitmq": cluster["override"]["statefulSet"]["spec"]["template"]["spec"],
        "mongodb": replica_set["statefulSet"]["spec"]["template"]["spec"],
    }


def test_servers_are_restricted_and_bounded(manifests: list[Manifest]) -> None:
    for name, pod in templates(manifests).items():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (spread,) = pod["topologySpreadConstraints"]
        assert [each for each, pods in labels(manifests).items() if selects(spread["labelSelector"], pods)] == [name]
        for container in pod["containers"] + pod["initContainers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
    (cluster,) = specs("RabbitmqCluster", manifests)
    pod = templates(manifests)["mongodb"]
    bounded = [cluster["resources"], *(each["resources"] for each in pod["containers"] + pod["initContainers"])]
    for resources in bounded:
        assert set(resources) == {"requests", "limits"}
        assert all(set(bounds) == {"cpu", "memory"} for bounds in resources.values())


def test_servers_talk_tls_and_nothing_else_by_certificates_for_their_names(manifests: list[Manifest]) -> None:
    (cluster,) = specs("RabbitmqCluster", manifests)
    (replica_set,) = specs("MongoDBCommunity", manifests)
    assert cluster["tls"] == {"secretName": "rabbitmq-tls", "disableNonTLSListeners": True}
    tls = replica_set["security"]["tls"]
    assert tls["enabled"] is True
    assert "optional" not in tls
    assert tls["certificateKeySecretRef"] == tls["caCertificateSecretRef"] == {"name": "mongodb-tls"}
    certificates = of("Certificate", manifests)
    (namespace,) = of("Namespace", manifests)
    hosts = {
        "rabbitmq": ["rabbitmq", f"rabbitmq.{namespace}.svc", f"rabbitmq.{namespace}.svc.cluster.local"],
        "mongodb": [f"mongodb-{n}.mongodb-svc.{namespace}.svc.cluster.local" for n in range(3)],
    }
    for name, needed in hosts.items():
        certificate = certificates[f"{name}-tls"]["spec"]
        assert certificate["secretName"] == f"{name}-tls"
        assert certificate["issuerRef"]["name"] == f"{name}-authority"
        for host in needed:
            assert any(fnmatch(host, pattern) for pattern in certificate["dnsNames"])
    for deployment in of("Deployment", manifests).values():
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        files = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        for name in SERVERS:
            (volume,) = [each for each in pod["volumes"] if each["name"] == f"{name}-authority"]
            # The certificate of the authority, and not the key beside it.
            assert volume["secret"] == {"secretName": f"{name}-tls", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
            assert files[volume["name"]] == f"/etc/{name}"
        (url,) = [each["value"] for each in container["env"] if each["name"] == "METRIQ_AMQP_URL"]
        assert urlsplit(url).hostname in certificates["rabbitmq-tls"]["spec"]["dnsNames"]
        assert parse_qs(urlsplit(url).query) == {"cafile": ["/etc/rabbitmq/ca.crt"]}
    for user in replica_set["users"]:
        options = user.get("additionalConnectionStringConfig")
        assert options == (None if user["name"] == "monitor" else {"tlsCAFile": "/etc/mongodb/ca.crt"})


def passes(rules: list[Manifest], way: str, port: int, pod: dict[str, str]) -> bool:
    """Whether a pod of the same namespace is a peer of these rules at this port."""
    for rule in rules:
        ports = any(each["port"] <= port <= each.get("endPort", each["port"]) for each in rule["ports"])
        among = (each for each in rule[way] if set(each) == {"podSelector"})
        if ports and any(selects(each["podSelector"], pod) for each in among):
            return True
    return False


def test_services_reach_the_servers_and_the_servers_each_other(manifests: list[Manifest]) -> None:
    labelled = labels(manifests)
    policies = [
        each["spec"] for each in of("NetworkPolicy", manifests).values() if each["metadata"]["name"] != "metrics"
    ]

    def reaches(source: str, target: str, port: int) -> bool:
        out = (each for each in policies if selects(each["podSelector"], labelled[source]))
        into = (each for each in policies if selects(each["podSelector"], labelled[target]))
        return any(passes(each.get("egress", []), "to", port, labelled[target]) for each in out) and any(
            passes(each.get("ingress", []), "from", port, labelled[source]) for each in into
        )

    ports = (4369, 5671, 5672, 15671, 15672, 15691, 25672, 27017)
    found = {way for way in product(labelled, labelled, ports) if reaches(*way)}
    assert found == {
        *product(SERVICES, ["rabbitmq"], [5671]),
        *product(SERVICES, ["mongodb"], [27017]),
        *product(["rabbitmq"], ["rabbitmq"], [4369, 25672]),
        ("mongodb", "mongodb", 27017),
    }


def test_others_reach_the_servers_from_labelled_namespaces_only(manifests: list[Manifest]) -> None:
    policies = of("NetworkPolicy", manifests)
    from_outside = {
        (name, label, port["port"])
        for name in SERVERS
        for rule in policies[name]["spec"]["ingress"]
        for peer in rule["from"]
        if set(peer) != {"podSelector"}
        for label in peer["namespaceSelector"]["matchLabels"].items()
        for port in rule["ports"]
    }
    clients, metrics = ("metriq-gym/clients", "true"), ("metriq-gym/metrics", "true")
    assert from_outside == {
        ("rabbitmq", clients, 5671),
        ("rabbitmq", clients, 15671),
        ("rabbitmq", metrics, 15691),
        ("mongodb", clients, 27017),
    }


def test_the_agents_of_mongodb_read_their_own_secret_alone(manifests: list[Manifest]) -> None:
    (role,) = of("Role", manifests).values()
    (secrets,) = [each for each in role["rules"] if "secrets" in each["resources"]]
    assert secrets == {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["mongodb-config"],
        "verbs": ["get"],
    }


def test_keda_asks_the_servers_over_tls(manifests: list[Manifest]) -> None:
    for name in SERVERS:
        references = of("TriggerAuthentication", manifests)[name]["spec"]["secretTargetRef"]
        asked = {each["parameter"]: (each["name"], each["key"]) for each in references}
        assert asked["ca"] == (f"{name}-tls", "ca.crt")
        assert asked["tls"] == ("metriq-monitor", "TLS")
