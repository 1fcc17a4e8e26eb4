"""What each user of the servers may do, and above all what it may not, as RabbitMQ and MongoDB themselves see it."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import aio_pika
import pymongo
import pytest
import pytest_asyncio
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed
from pymongo.errors import InvalidOperation, OperationFailure
from pymongo.uri_parser import parse_uri

from metriq_gym import web
from metriq_gym.bus.port import DEAD_LETTERS, DISPATCHER, EVENTS, LANE_EXCHANGE, LANES, QUEUES, Delivery
from metriq_gym.bus.rabbitmq import RabbitMQBus, topology
from metriq_gym.bus.rabbitmq.dead_letters import NotRead, locked_letters
from metriq_gym.bus.rabbitmq.inspection import unbound
from metriq_gym.bus.rabbitmq.topology import retry_exchange
from metriq_gym.bus.retry import TRANSIENT
from metriq_gym.errors import Refused, Transient
from metriq_gym.jobs import JobState
from metriq_gym.messages import MESSAGES, JobRequested
from metriq_gym.operations.access import ALL, CONSOLE, MONITOR, OPERATOR, PUBLISHER, SERVICES, Rights
from metriq_gym.operations.access.__main__ import main as prepare
from metriq_gym.operations.access.rabbitmq import POLICY, at_virtual_host
from metriq_gym.operations.access.rights import users_who_may
from metriq_gym.service.purging import STEADY_SECONDS, Policy
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.clocks import Look
from services.dispatcher.purging import Purger
from tests.servers.mongodb import LockedMongod
from tests.servers.rabbitmq import Broker, publish_raw, virtual_host
from tests.support.jobs import counted_task, ended_job, watch
from tests.support.patience import PATIENCE
from tests.support.readme import BIN, ROOT, blocks
from tests.support.system import SERVICES as SERVICE_NAMES
from tests.support.system import System, request, system
from tests.support.terminal import mgym_here

PASSWORDS = {rights.user: secrets.token_urlsafe(16) for rights in ALL}
KEYS = {message.routing_key for message in MESSAGES}
MAY_PUBLISH = {
    "dispatcher": KEYS
    - {"job.exported", "job.cancel_requested", "job.resume_requested", "estimate.requested"}
    - {"schedule.requested", "schedule.change_requested", "device.drifted"},
    "console": KEYS - {"job.exported", "job.checked", "device.drifted"},
    "poller": {"job.dispatched", "job.completed", "job.checked", "job.failed"},
    "scorer": {"job.scored", "job.failed"},
    "exporter": {"job.exported", "device.drifted"},
    "metriq": {
        "job.requested",
        "job.cancel_requested",
        "job.resume_requested",
        "suite.requested",
        "estimate.requested",
        "schedule.requested",
        "schedule.change_requested",
    },
    "operator": KEYS,
    "monitor": set[str](),
}
COLLECTIONS = (
    "jobs",
    "tasks",
    "listings",
    "deleted",
    "suites",
    "schedules",
    "quotas",
    "leases",
    "devices",
    "calibrations",
    "estimates",
    "parked",
    "drifts",
    "notices",
)
MAY_WRITE = {
    "dispatcher": {("jobs", "insert"), ("jobs", "update"), ("listings", "insert"), ("listings", "update")}
    | {("tasks", "insert"), ("tasks", "update"), ("tasks", "remove"), ("listings", "remove")}
    | {("suites", "insert"), ("suites", "update"), ("suites", "remove"), ("leases", "insert"), ("leases", "update")}
    | {("jobs", "remove"), ("deleted", "insert"), ("deleted", "update")}
    | {
        (name, act)
        for name in ("devices", "calibrations", "estimates", "quotas", "notices")
        for act in ("insert", "update")
    }
    | {(name, act) for name in ("parked", "schedules") for act in ("insert", "update", "remove")},
    "console": {("jobs", "update"), ("jobs", "remove"), ("tasks", "update"), ("tasks", "remove")}
    | {("listings", "remove"), ("deleted", "insert"), ("deleted", "update")},
    "poller": {("jobs", "update"), ("tasks", "update")}
    | {("parked", "insert"), ("parked", "update"), ("parked", "remove")}
    | {("notices", "insert"), ("notices", "update")},
    "scorer": {("jobs", "update"), ("notices", "insert"), ("notices", "update")},
    "exporter": {("jobs", "update"), *((name, act) for name in ("drifts", "notices") for act in ("insert", "update"))},
    "metriq": set[tuple[str, str]](),
    "operator": {(name, act) for name in COLLECTIONS for act in ("insert", "update", "remove")},
    "monitor": set[tuple[str, str]](),
}
OLD_JOB = {
    "id": "old",
    "job_type": "WIT",
    "params": {},
    "provider_name": "ibm",
    "device_name": "ibm_sherbrooke",
    "dispatch_time": "2025-01-15T12:00:00",
}
everybody = pytest.mark.parametrize("rights", ALL, ids=lambda rights: rights.user)
every_service = pytest.mark.parametrize("rights", SERVICES, ids=lambda rights: rights.user)


@dataclass(frozen=True)
class Servers:
    """Two servers that have been prepared, and who is known there."""

    virtual_host: str
    mongo: str
    environment: dict[str, str]
    """With which they were prepared."""

    def amqp(self, user: str) -> str:
        parts = urlsplit(self.virtual_host)
        address = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{user}:{PASSWORDS[user]}@{address}").geturl()

    def store(self, user: str) -> str:
        return f"mongodb://{user}:{PASSWORDS[user]}@{self.mongo}/?directConnection=true"


@pytest.fixture(scope="module")
def servers(amqp_broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    environment = {
        f"{server}_{user.upper()}_PASSWORD": PASSWORDS[user] for user in PASSWORDS for server in ("RABBITMQ", "MONGO")
    }
    server = LockedMongod(tmp_path_factory.mktemp("mongodb"))
    with virtual_host(amqp_broker) as url, pytest.MonkeyPatch.context() as patch:
        environment |= {
            "RABBITMQ_ADMIN_URL": url,
            "RABBITMQ_MANAGEMENT_URL": amqp_broker.management_url,
            "MONGO_ADMIN_PASSWORD": "of-the-administrator",
            "MONGO_ADMIN_URL": f"mongodb://admin:of-the-administrator@{server.address}/?directConnection=true",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            for _ in range(2):  # what is prepared already stays as it is
                prepare(["rabbitmq", urlsplit(url).path.removeprefix("/")])
                prepare(["mongo", server.address, "metriq", "fresh", "--local", server.address])
                prepare(["mongo-users", "metriq", "fresh"])
            yield Servers(url, server.address, environment)
        finally:
            server.kill()


async def refused(url: str, act: Any) -> bool:
    """Whether the broker refuses what `act` does with a channel of its own."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(on_return_raises=False)
        try:
            await act(channel)
        except ChannelAccessRefused:
            return True
        return False


def publishing(exchange: str, routing_key: str) -> Any:
    async def act(channel: aio_pika.abc.AbstractChannel) -> None:
        target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        # Nobody is to receive these: a body that no handler takes for anything would be dead-lettered.
        await target.publish(aio_pika.Message(b"", expiration=0.001), routing_key, mandatory=False)

    return act


async def handed_back(message: aio_pika.abc.AbstractIncomingMessage) -> None:
    await message.reject(requeue=True)


def consuming(queue: str) -> Any:
    async def act(channel: aio_pika.abc.AbstractChannel) -> None:
        await (await channel.get_queue(queue, ensure=False)).consume(handed_back)

    return act


def deleting(queue: str) -> Any:
    async def act(channel: aio_pika.abc.AbstractChannel) -> None:
        await channel.queue_delete(queue)

    return act


def listening(exchange: str, queue: str | None = None) -> Any:
    async def act(channel: aio_pika.abc.AbstractChannel) -> None:
        own = await channel.get_queue(queue, ensure=False) if queue else await channel.declare_queue(exclusive=True)
        await own.bind(exchange, "job.#")

    return act


@everybody
async def test_user_publishes_its_own_routing_keys_and_no_other(servers: Servers, rights: Rights) -> None:
    allowed = {key for key in KEYS if not await refused(servers.amqp(rights.user), publishing(EVENTS, key))}
    assert allowed == MAY_PUBLISH[rights.user]


@every_service
async def test_service_consumes_its_own_queue_and_no_other(servers: Servers, rights: Rights) -> None:
    names = [*(queue.name for queue in (*QUEUES, *LANES)), DEAD_LETTERS]
    allowed = {name for name in names if not await refused(servers.amqp(rights.user), consuming(name))}
    # The dispatcher drops dead letters, and consumes none: it may by the right that it needs for that.
    letters = {DEAD_LETTERS} if rights.user == "dispatcher" else set()
    assert allowed == {f"metriq.{rights.user}", *_lanes(rights), *letters}


@every_service
async def test_only_the_dispatcher_fills_the_lanes(servers: Servers, rights: Rights) -> None:
    url = servers.amqp(rights.user)
    allowed = {lane.name for lane in LANES if not await refused(url, publishing(LANE_EXCHANGE, lane.name))}
    assert allowed == _lanes(rights)


def _lanes(rights: Rights) -> set[str]:
    return {lane.name for lane in LANES} if rights.user == "dispatcher" else set()


@every_service
async def test_service_can_retry_into_its_own_queue_and_no_other(servers: Servers, rights: Rights) -> None:
    url, own = servers.amqp(rights.user), f"metriq.{rights.user}"
    names = [queue.name for queue in (*QUEUES, *LANES)]
    allowed = {name for name in names if not await refused(url, publishing(retry_exchange(1), name))}
    assert allowed == {own, *_lanes(rights)}
    assert await refused(url, publishing("", own))


@pytest.mark.parametrize("rights", [*SERVICES, CONSOLE, PUBLISHER, MONITOR], ids=lambda rights: rights.user)
async def test_only_the_operator_changes_what_exists(servers: Servers, rights: Rights) -> None:
    url = servers.amqp(rights.user)
    for queue in QUEUES:
        assert await refused(url, deleting(queue.name))
        assert await refused(url, listening(EVENTS, queue.name))


WATCHING = {("bind", EVENTS, EVENTS)}
"""What a publisher may do to our exchanges, since it may publish to this one and listen to it: it changes nothing."""
WITH_LETTERS: set[tuple[str, ...]] = {
    *(("bind", name, DEAD_LETTERS) for name in (EVENTS, DEAD_LETTERS)),
    *(("unbind", DEAD_LETTERS, DEAD_LETTERS), ("empty", DEAD_LETTERS)),
}
"""What is to be had with the right to take dead letters, and to make some: they can be led elsewhere."""


@pytest.mark.parametrize("rights", [*SERVICES, CONSOLE, PUBLISHER, MONITOR], ids=lambda rights: rights.user)
async def test_who_may_bind_unbind_empty_or_delete_what_is_ours(servers: Servers, rights: Rights) -> None:
    wanted = topology.topology((*QUEUES, *LANES), TRANSIENT.pauses)
    allowed = set[tuple[str, ...]]()
    async with await aio_pika.connect(servers.amqp(rights.user)) as connection:
        for name, deed in _deeds(wanted):
            channel = await connection.channel()
            try:
                await deed(channel)
            except ChannelAccessRefused:
                continue
            await channel.close()
            allowed.add(name)
    own: set[tuple[str, ...]] = {
        ("empty", name) for name in (f"metriq.{rights.user}", *_lanes(rights)) if name in wanted.queues
    }
    if rights.user == "dispatcher":
        retries = {retry_exchange(pause) for pause in TRANSIENT.pauses}
        own |= {("bind", name, DEAD_LETTERS) for name in (LANE_EXCHANGE, *retries)}
        own |= {("unbind", name, DEAD_LETTERS) for name in retries}
    letters = WITH_LETTERS if rights.user in ("dispatcher", "console") else set()
    assert allowed == own | letters | (WATCHING if rights is PUBLISHER else set())


def _deeds(wanted: topology.Topology) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what changes the topology, or would but for a routing key that nothing has."""
    key = "of.nothing"

    async def bind(one: str, other: str, channel: aio_pika.abc.AbstractChannel) -> None:
        target, source = [await channel.get_exchange(name, ensure=False) for name in (one, other)]
        await target.bind(source, key)
        await target.unbind(source, key)

    async def unbind(one: str, other: str, channel: aio_pika.abc.AbstractChannel) -> None:
        await (await channel.get_queue(one, ensure=False)).unbind(other, key)

    async def empty(name: str, channel: aio_pika.abc.AbstractChannel) -> None:
        await (await channel.get_queue(name, ensure=False)).purge()

    async def delete(name: str, channel: aio_pika.abc.AbstractChannel) -> None:
        await channel.exchange_delete(name)

    for one in wanted.exchanges:
        yield ("delete", one), partial(delete, one)
        for other in wanted.exchanges:
            yield ("bind", one, other), partial(bind, one, other)
    for one in wanted.queues:
        yield ("empty", one), partial(empty, one)
        for other in wanted.exchanges:
            yield ("unbind", one, other), partial(unbind, one, other)


async def test_what_waits_for_a_watcher_is_bounded(amqp_broker: Broker, servers: Servers) -> None:
    async with await aio_pika.connect(servers.amqp("metriq")) as connection:
        queue = await (await connection.channel()).declare_queue(durable=True)
        await queue.bind(EVENTS, "#")
        name = urlsplit(servers.virtual_host).path[1:]
        url = f"{amqp_broker.management_url}/api/queues/{name}/{queue.name}"
        found: dict[str, Any] = {}
        while "effective_policy_definition" not in found:
            found = json.loads(await asyncio.to_thread(web.request, url, seconds=PATIENCE))
        await queue.delete()
    assert found["effective_policy_definition"] == POLICY["definition"]


async def test_what_a_publisher_binds_sends_no_message_twice(servers: Servers) -> None:
    async with await aio_pika.connect(servers.amqp("metriq")) as connection:
        channel = await connection.channel()
        events = await channel.get_exchange(EVENTS, ensure=False)
        await events.bind(events, "#")
        own = await channel.declare_queue(exclusive=True)
        await own.bind(EVENTS, "estimate.requested")
        for body in (b"once", b"last"):
            await events.publish(aio_pika.Message(body), "estimate.requested")
        found = [(await own.get(timeout=PATIENCE)).body for _ in range(2)]
        await events.unbind(events, "#")
    assert found == [b"once", b"last"]


async def test_what_a_publisher_says_of_earlier_attempts_is_not_believed(servers: Servers) -> None:
    told = {"attempts": 5, "failures": 4, "routing_key": "job.scored", "message_id": "x", "wait_ms": 60_000}
    headers: Any = {"metriq-retry": told, "x-delivery-count": 7}
    came = asyncio.Queue[Delivery]()

    async def handle(delivery: Delivery) -> None:
        if delivery.correlation_id == "forged":
            await came.put(delivery)
            if delivery.attempt == 1:
                raise Transient("again")

    async with (
        RabbitMQBus(servers.amqp("dispatcher"), app_id="dispatcher") as dispatcher,
        await aio_pika.connect(servers.amqp("metriq")) as connection,
    ):
        await dispatcher.consume(DISPATCHER, handle, prefetch=1)
        events = await (await connection.channel()).get_exchange(EVENTS, ensure=False)
        await events.publish(aio_pika.Message(b"{}", correlation_id="forged", headers=headers), "job.requested")
        async with asyncio.timeout(PATIENCE):
            found = [await came.get() for _ in range(2)]
    assert [(each.routing_key, each.attempt, each.failures) for each in found] == [
        ("job.requested", 1, 0),
        ("job.requested", 2, 0),
    ]


@everybody
async def test_only_publishers_and_operators_watch(servers: Servers, rights: Rights) -> None:
    watches = not await refused(servers.amqp(rights.user), listening(EVENTS))
    assert watches == (rights in (PUBLISHER, OPERATOR))


async def test_publisher_takes_nothing_from_a_queue_of_ours(servers: Servers) -> None:
    for queue in (*(queue.name for queue in QUEUES), DEAD_LETTERS):
        assert await refused(servers.amqp("metriq"), consuming(queue))


@pytest.mark.parametrize("user", ["operator", "console"])
async def test_only_the_operator_and_the_console_look_after_dead_letters(servers: Servers, user: str) -> None:
    for rights in ALL:
        if rights not in (OPERATOR, CONSOLE) and rights.user != "dispatcher":  # which deletes old ones
            with pytest.raises(NotRead, match="operator"):
                async with locked_letters(servers.amqp(rights.user)):
                    raise AssertionError
    url = servers.amqp(user)
    letter = aio_pika.Message(b"{}", message_id="of-a-test", headers={"metriq-dead": {"queue": "metriq.scorer"}})
    async with await aio_pika.connect(servers.amqp("exporter")) as connection:
        dead = await (await connection.channel()).get_exchange(DEAD_LETTERS, ensure=False)
        await dead.publish(letter, "job.completed")
    async with locked_letters(url) as held:
        [ours] = [each for each in held if each.letter.id == "of-a-test"]
        await ours.replay()
    async with await aio_pika.connect(servers.amqp("operator")) as connection:
        scorer = await (await connection.channel()).get_queue("metriq.scorer", ensure=False)
        await (await scorer.get()).ack()


async def test_the_dispatcher_may_carry_out_the_retention_policy(servers: Servers) -> None:
    past = datetime.now(UTC) - timedelta(days=100)
    about: dict[str, Any] = {"queue": "metriq.poller", "last": past.isoformat()}
    letter = aio_pika.Message(b"{}", message_id="old", correlation_id="old", headers={"metriq-dead": about})
    async with await aio_pika.connect(servers.amqp("poller")) as connection:
        dead = await (await connection.channel()).get_exchange(DEAD_LETTERS, ensure=False)
        await dead.publish(letter, "job.dispatched")
    policy = Policy(tasks=1, jobs=1, letters=1, ticks=1)
    async with (
        Store.at(servers.store("dispatcher")) as store,
        Store.at(servers.store("operator")) as operators,
        RabbitMQBus(servers.amqp("dispatcher"), app_id="dispatcher") as bus,
    ):
        await operators.records.add(ended_job("old", state="exported", updated_at=past))
        await operators.tasks.insert([counted_task("old")])
        await Purger(store, bus, policy)(Look(datetime.now(UTC), 0, STEADY_SECONDS))
        assert await store.records.is_deleted("old")
    async with locked_letters(servers.amqp("operator")) as held:
        assert "old" not in {each.letter.id for each in held}


def test_publisher_may_do_so_by_the_management_interface_as_rabbitmqadmin_does(
    amqp_broker: Broker, servers: Servers
) -> None:
    parts = urlsplit(amqp_broker.management_url)
    netloc = f"metriq:{PASSWORDS['metriq']}@{parts.hostname}:{parts.port}"
    as_metriq: Any = SimpleNamespace(management_url=parts._replace(netloc=netloc).geturl())
    url = servers.amqp("metriq")
    # An empty suite is rejected, and no service runs here anyway.
    publish_raw(as_metriq, url, EVENTS, "suite.requested", b"{}", {})
    with pytest.raises(HTTPError) as refused:
        publish_raw(as_metriq, url, EVENTS, "job.scored", b"{}", {})
    refused.value.close()


async def test_publisher_may_see_that_every_queue_is_bound(amqp_broker: Broker, servers: Servers) -> None:
    parts = urlsplit(amqp_broker.management_url)
    assert await unbound(servers.amqp("metriq"), f"http://{parts.hostname}:{parts.port}") == []


async def test_a_request_counts_for_its_user_by_the_brokers_word_also_from_a_lane(servers: Servers) -> None:
    """And when it is tried again; to name another user is refused."""
    came = asyncio.Queue[Delivery]()
    tried = set[int]()

    async def handle(delivery: Delivery) -> None:
        if delivery.message_id != "mine/job.requested":
            return
        await came.put(delivery)
        if not delivery.lane:
            await dispatcher.set_aside(delivery, LANES[0])
        elif delivery.lane not in tried:
            tried.add(delivery.lane)
            raise Transient("again")

    body = {"provider": "local", "device": "aer_simulator", "config": {}}
    async with (
        RabbitMQBus(servers.amqp("dispatcher"), app_id="dispatcher", named=True) as dispatcher,
        RabbitMQBus(servers.amqp("metriq"), app_id="test", named=True) as publisher,
    ):
        for queue in (DISPATCHER, LANES[0]):
            await dispatcher.consume(queue, handle, prefetch=1)
        await publisher.publish(JobRequested.model_validate({"job_id": "mine", **body}))
        async with asyncio.timeout(PATIENCE):
            found = [await came.get() for _ in range(3)]
    assert [(each.user_id, each.lane) for each in found] == [("metriq", 0), ("metriq", 1), ("metriq", 1)]
    async with await aio_pika.connect(servers.amqp("metriq")) as connection:
        target = await (await connection.channel()).get_exchange(EVENTS, ensure=False)
        with pytest.raises(ChannelPreconditionFailed):
            await target.publish(aio_pika.Message(b"{}", user_id="dispatcher"), "job.requested")


def test_publisher_reads_every_collection(servers: Servers) -> None:
    with pymongo.MongoClient[dict[str, Any]](servers.store("metriq")) as client:
        readable = {name for name in COLLECTIONS if not is_unauthorized(client.metriq[name].find_one)}
    assert readable == set(COLLECTIONS)


def test_who_reads_circuits_and_counts(servers: Servers) -> None:
    readers = set()
    for user in PASSWORDS:
        with pymongo.MongoClient[dict[str, Any]](servers.store(user)) as client:
            if not is_unauthorized(client.metriq.tasks.find_one):
                readers.add(user)
    assert readers == PASSWORDS.keys() - {"exporter"}


def test_publisher_may_ask_the_database_for_what_takes_long(servers: Servers) -> None:
    slow = {"$function": {"body": "function() { sleep(1); return true }", "args": [], "lang": "js"}}
    with pymongo.MongoClient[dict[str, Any]](servers.store("operator")) as client:
        client.metriq.jobs.insert_one({"_id": "of-a-test", "state": "exported"})
    with pymongo.MongoClient[dict[str, Any]](servers.store("metriq")) as client:
        assert client.metriq.jobs.find_one({"_id": "of-a-test", "$expr": slow})
    with pymongo.MongoClient[dict[str, Any]](servers.store("operator")) as client:
        client.metriq.jobs.delete_one({"_id": "of-a-test"})


async def test_wrong_password_is_refused(servers: Servers) -> None:
    with pytest.raises(CONNECTION_EXCEPTIONS):
        await aio_pika.connect(servers.amqp("exporter").replace(PASSWORDS["exporter"], "wrong"))
    url = servers.store("exporter").replace(PASSWORDS["exporter"], "wrong")
    with pymongo.MongoClient[Any](url) as client, pytest.raises(OperationFailure, match="Authentication failed"):
        client.metriq.jobs.find_one()


async def test_the_console_consumes_no_queue_of_a_service(servers: Servers) -> None:
    for queue in QUEUES:
        assert await refused(servers.amqp("console"), consuming(queue.name))
        assert await refused(servers.amqp("console"), publishing(retry_exchange(1), queue.name))


async def test_user_without_rights_waits_for_the_topology(amqp_broker: Broker, servers: Servers) -> None:
    with virtual_host(amqp_broker) as empty:
        url = at_virtual_host(servers.amqp("operator"), urlsplit(empty).path.removeprefix("/"))
        with pytest.raises(Transient):
            async with RabbitMQBus(url, app_id="test", patience=1):
                pass


def is_unauthorized(act: Callable[[], object]) -> bool:
    """Whether the store refuses to do this for this user."""
    try:
        act()
    except OperationFailure as error:
        if error.code != 13:
            raise
        return True
    return False


def test_every_collection_has_been_thought_of() -> None:
    assert set(re.findall(r"_database\.(\w+)", inspect.getsource(Store.__init__))) == set(COLLECTIONS)


@everybody
def test_user_writes_what_it_must_and_no_other(servers: Servers, rights: Rights) -> None:
    allowed = set()
    with pymongo.MongoClient[Any](servers.store(rights.user)) as client:
        for name in COLLECTIONS:
            collection = client.metriq[name]
            acts: dict[str, Callable[[], object]] = {
                "insert": partial(collection.insert_one, {"_id": "of-a-test", "state": "exported"}),
                "update": partial(collection.update_one, {"_id": "none"}, {"$set": {"a": 1}}),
                "remove": partial(collection.delete_one, {"_id": "of-a-test"}),
            }
            allowed |= {(name, act) for act, attempt in acts.items() if not is_unauthorized(attempt)}
    with pymongo.MongoClient[Any](servers.store("operator")) as client:
        for name in COLLECTIONS:
            client.metriq[name].delete_one({"_id": "of-a-test"})
    assert allowed == MAY_WRITE[rights.user]


async def test_a_store_whose_password_changed_is_reached_again_once_the_file_has_the_new_one(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, old = tmp_path / "mongo", servers.store("scorer")
    file.write_text(old)
    monkeypatch.setenv("METRIQ_MONGO_URL_FILE", str(file))
    store = Store.at(Settings().latest("mongo_url"))
    assert await store.refuses() is False

    def is_let_in(url: str) -> bool:
        with pymongo.MongoClient[dict[str, Any]](url) as client:
            try:
                client.metriq.jobs.find_one()
            except OperationFailure:
                return False
            return True

    with pymongo.MongoClient[dict[str, Any]](servers.environment["MONGO_ADMIN_URL"]) as admin:
        database = parse_uri(old)["database"] or "admin"
        admin[database].command("updateUser", "scorer", pwd="rotated")
        try:
            assert not is_let_in(old)
            new = old.replace(PASSWORDS["scorer"], "rotated")
            file.write_text(new)
            async with asyncio.timeout(PATIENCE):
                while await store.refuses() is not False:  # noqa: ASYNC110  (it looks at the file when it is asked)
                    await asyncio.sleep(0.1)
                await store.jobs.unseen(["j"])
            store_of_old = Store.at(old)
            assert await store_of_old.refuses() is True
        finally:
            admin[database].command("updateUser", "scorer", pwd=PASSWORDS["scorer"])
    await store_of_old.__aexit__()
    await store.__aexit__()


@everybody
def test_nobody_but_the_administrator_administers(servers: Servers, rights: Rights) -> None:
    with pymongo.MongoClient[Any](servers.store(rights.user)) as client:
        acts: list[Callable[[], object]] = [
            lambda: client.drop_database("metriq"),
            lambda: client.metriq.drop_collection("jobs"),
            lambda: client.other.anything.insert_one({}),
            lambda: client.admin.command("createUser", "mallory", pwd="x", roles=["root"]),
            lambda: client.admin.command("shutdown"),
            lambda: client.local["oplog.rs"].find_one(),
        ]
        assert all(map(is_unauthorized, acts))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def restricted(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """The services, each with its own user; the one who publishes requests is a publisher, and no more."""
    own = {
        name: {"METRIQ_AMQP_URL": servers.amqp(name), "METRIQ_MONGO_URL": servers.store(name)} for name in SERVICE_NAMES
    }
    folder = tmp_path_factory.mktemp("system")
    async with system(servers.amqp("metriq"), servers.store("metriq"), "metriq", folder, own=own) as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
async def test_whole_pipeline_works_with_these_users(restricted: System) -> None:
    await restricted.publish(request("good"))
    await restricted.publish(request("bad", config={"benchmark_name": "nonsense"}))
    await restricted.publish(request("late"))
    await restricted.publish({"job_id": "late"}, key="job.cancel_requested")
    assert (await restricted.ended("good")).state is JobState.EXPORTED
    assert (await restricted.ended("bad")).state is JobState.REJECTED
    assert (await restricted.ended("late")).state in (JobState.CANCELLED, JobState.EXPORTED)
    assert "good" in restricted.exported()
    told = await restricted.services[0].metrics()
    assert {"metriq_jobs", "metriq_due_tasks", "metriq_queue_messages"} <= {each.name for each in told}
    refusals = [
        record for service in restricted.services for record in service.records() if "refuse" in str(record).lower()
    ]
    assert not refusals


@pytest.mark.asyncio(loop_scope="module")
async def test_forged_messages_move_no_job(restricted: System) -> None:
    """RabbitMQ 3 does not check routing keys in the header CC; but a message only names a job that the store knows."""
    _, poller, scorer, exporter = restricted.services
    await poller.terminate()  # so that the job stays where it is
    await restricted.publish(request("waiting"))
    async with asyncio.timeout(PATIENCE):
        async for _ in watch(restricted.store, "waiting", until=lambda job: job.state is JobState.DISPATCHED):
            pass
    body = b'{"job_id": "waiting", "outcome": "error", "reason": "forged"}'
    forged = {"job.completed": scorer, "job.scored": exporter, "job.failed": exporter, "job.cancelled": exporter}

    def forging(key: str) -> Any:
        async def act(channel: aio_pika.abc.AbstractChannel) -> None:
            posing_as: dict[str, Any] = {"attempts": 0, "routing_key": key, "message_id": "x"}
            message = aio_pika.Message(body, message_id=f"forged {key}", correlation_id="waiting")
            message.headers |= {"CC": [key], "metriq-retry": posing_as}
            await (await channel.get_exchange(EVENTS, ensure=False)).publish(message, "job.requested")

        return act

    accepted = {key: service for key, service in forged.items() if not await refused(restricted.amqp_url, forging(key))}
    assert accepted in ({}, forged)  # RabbitMQ 4 refuses them
    async with asyncio.timeout(PATIENCE):
        for key, service in accepted.items():
            while not any(  # noqa: ASYNC110  (another process's log)
                each["event"] == "delivery.given_up" and each["delivery"] == f"forged {key}"
                for each in service.records()
            ):
                await asyncio.sleep(0.02)
    assert (await restricted.store.jobs.get("waiting")).state is JobState.DISPATCHED
    assert "waiting" not in restricted.exported()


async def test_rights_are_given_by_the_commands_of_the_page(servers: Servers, tmp_path: Path) -> None:
    (printed,) = [
        each for each in blocks("sh", ROOT / "docs" / "security.md") if "metriq_gym.operations.access" in each
    ]
    # The addresses and passwords are these servers'; the virtual host is this test's, so that nobody else is disturbed.
    here = re.sub(r"((RABBITMQ|MONGO)_\w+)=\S+", lambda each: f"{each[1]}='{servers.environment[each[1]]}'", printed)
    here = here.replace("rabbitmq /", f"rabbitmq '{urlsplit(servers.virtual_host).path[1:]}'")
    everything = {**os.environ, **servers.environment, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    given = await asyncio.to_thread(_typed, here, tmp_path, everything)
    assert given.returncode == 0, given.stderr
    async with Store.at(servers.store("dispatcher")), Store.at(servers.store("metriq")) as store:
        await store.answers()
    with pymongo.MongoClient[dict[str, Any]](servers.environment["MONGO_ADMIN_URL"]) as administrator:
        (user,) = administrator.admin.command("usersInfo", "metriq")["users"]
    assert {role["db"] for role in user["roles"]} == {"metriq", "fresh"}  # of which one was not named again
    del everything["MONGO_POLLER_PASSWORD"]
    missing = await asyncio.to_thread(_typed, here, tmp_path, everything)
    assert missing.stderr.splitlines() == ["error: not set: MONGO_POLLER_PASSWORD"]
    wrong = servers.environment["MONGO_ADMIN_URL"].replace("of-the-administrator", "guessed")
    refused = await asyncio.to_thread(
        _typed,
        "python -m metriq_gym.operations.access mongo-users",
        tmp_path,
        everything | servers.environment | {"MONGO_ADMIN_URL": wrong},
    )
    assert refused.stderr.startswith("error: MongoDB: Authentication failed")


def _typed(commands: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euc", commands], cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )


async def test_who_may_not_create_indexes_waits_for_them(servers: Servers) -> None:
    with pytest.raises(Transient, match="the dispatcher creates it"):
        async with Store.at(servers.store("exporter"), "fresh"):
            pass
    for user in ("dispatcher", *(rights.user for rights in (*SERVICES, CONSOLE))):
        async with Store.at(servers.store(user), "fresh"):
            pass


async def test_a_store_that_cannot_be_entered_is_closed(servers: Servers) -> None:
    store = Store.at(servers.store("exporter"), "never-made")
    with pytest.raises(Transient):
        async with store:
            pass
    with pytest.raises(InvalidOperation, match="after close"):
        await store.answers()


async def test_store_refuses_what_a_user_may_not_in_words(servers: Servers) -> None:
    async with Store.at(servers.store("dispatcher")), Store.at(servers.store("metriq")) as store:
        with pytest.raises(Refused, match="may not update jobs in MongoDB's database metriq") as caught:
            await store.jobs.unhold("any")
    assert set(users_who_may(*caught.value.needs or ("mongodb", "", ""))) == {
        user for user, may in MAY_WRITE.items() if ("jobs", "update") in may
    }


ANY_COMMAND = (
    ["job", "list"],
    ["job", "view", "latest"],
    ["job", "delete", "some", "--yes"],
    ["job", "poll", "some"],
    ["run", "wit.example.json"],
    ["suite", "list"],
    ["status"],
    ["watch"],
    ["import", "jobs.jsonl"],
)


@pytest.fixture
def beside_an_old_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder has a job of metriq-gym's own tool in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.jsonl").write_text(json.dumps(OLD_JOB))


def clients_environment(servers: Servers, **urls: str) -> dict[str, str]:
    given = {"amqp": servers.amqp("metriq"), "mongo": servers.store("metriq")} | urls
    return {**os.environ, "METRIQ_AMQP_URL": given["amqp"], "METRIQ_MONGO_URL": given["mongo"]}


def told_in_a_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that was refused says: one line, no longer than anybody reads, and no word of trying again."""
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    assert len(line) < 300
    assert not re.search(r"try again|full error|\{|Error\b|Timestamp", line)
    return line


@pytest.mark.parametrize("command", ANY_COMMAND, ids=" ".join)
async def test_a_wrong_password_of_the_store_is_told_at_once(
    servers: Servers, beside_an_old_job: None, command: list[str]
) -> None:
    environment = clients_environment(servers, mongo=servers.store("metriq").replace(PASSWORDS["metriq"], "wrong"))
    line = told_in_a_line(await asyncio.to_thread(mgym_here, environment, *command))
    assert line == "error: MongoDB refuses the user or the password in METRIQ_MONGO_URL"


@pytest.mark.parametrize(
    "command", [["run", "wit.example.json"], ["job", "poll", "some"], ["watch"], ["dead", "list"]], ids=" ".join
)
async def test_a_wrong_password_of_the_broker_is_told_at_once(servers: Servers, command: list[str]) -> None:
    environment = clients_environment(servers, amqp=servers.amqp("metriq").replace(PASSWORDS["metriq"], "wrong"))
    line = told_in_a_line(await asyncio.to_thread(mgym_here, environment, *command))
    assert line == "error: RabbitMQ refuses the user or the password in METRIQ_AMQP_URL"


async def test_a_virtual_host_of_others_is_told_at_once(servers: Servers) -> None:
    environment = clients_environment(servers, amqp=at_virtual_host(servers.amqp("metriq"), "of-others"))
    line = told_in_a_line(await asyncio.to_thread(mgym_here, environment, "run", "wit.example.json"))
    assert "the virtual host in METRIQ_AMQP_URL" in line


@pytest.mark.parametrize(
    ("command", "may"),
    [
        (["job", "delete", "ended", "--yes"], "operator"),
        (["job", "upload", "ended", "--to", "json"], "operator"),
        (["import", "jobs.jsonl"], "operator"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else each,
)
async def test_who_may_not_is_told_at_once_who_may(
    servers: Servers, beside_an_old_job: None, command: list[str], may: str
) -> None:
    async with Store.at(servers.store("operator")) as store:
        await store.records.add(ended_job("ended", state="exported"))
    line = told_in_a_line(await asyncio.to_thread(mgym_here, clients_environment(servers), *command))
    assert "METRIQ_MONGO_URL may not" in line
    assert may in line.split("users that may: ")[1].split(", ")


async def test_the_doctor_says_which_password_is_wrong(servers: Servers) -> None:
    wrong = {"amqp": servers.amqp("metriq"), "mongo": servers.store("metriq")}
    wrong = {name: url.replace(PASSWORDS["metriq"], "wrong") for name, url in wrong.items()}
    done = await asyncio.to_thread(mgym_here, clients_environment(servers, **wrong), "doctor", "--json")
    found = {each["subject"]: each["found"] for each in json.loads(done.stdout)}
    assert found["MongoDB"].endswith("MongoDB refuses the user or the password in METRIQ_MONGO_URL")
    assert found["RabbitMQ"].endswith("RabbitMQ refuses the user or the password in METRIQ_AMQP_URL")
