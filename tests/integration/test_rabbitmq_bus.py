"""What only RabbitMQ can show: properties as an outsider sees them, junk from outsiders, big bodies, recovery."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from metriq_gym.bus.port import EVENTS, POLLER, SCORER, Delivery, Subscription
from metriq_gym.bus.rabbitmq import RabbitMQBus, envelope, subscription, topology
from metriq_gym.bus.rabbitmq.connection import Connection
from metriq_gym.bus.rabbitmq.inspection import inspect
from metriq_gym.bus.rabbitmq.topology import retry_exchange
from metriq_gym.errors import NotYet, Transient, Unavailable, Unroutable
from metriq_gym.messages import JobCompleted, JobDispatched, JobExported, JobScored
from metriq_gym.telemetry.metrics import REGISTRY
from tests.servers.discovery import free_port
from tests.servers.proxy import proxied
from tests.servers.rabbitmq import Broker, publish_raw
from tests.support.handlers import Holder, Recorder
from tests.support.patience import PATIENCE


@asynccontextmanager
async def outsider(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of somebody who uses no code of ours."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        yield channel


async def inject(
    channel: AbstractChannel, body: bytes, *, routing_key: str = "job.dispatched", **properties: Any
) -> None:
    exchange = await channel.get_exchange(EVENTS)
    await exchange.publish(aio_pika.Message(body, **properties), "job.dispatched")


@pytest.fixture
async def declared_url(amqp_url: str) -> str:
    """As `amqp_url`, with all queues there already, so that connecting is quick also for the impatient."""
    async with RabbitMQBus(amqp_url, app_id="tests"):
        return amqp_url


TRIES = 100
"""Of a consumer that takes one delivery and is ended."""
IMPATIENT = 2.0
"""Seconds; the tests below wait them out."""


async def test_outsider_sees_messages_with_all_their_properties(amqp_url: str) -> None:
    async with RabbitMQBus(amqp_url, app_id="scorer") as bus, outsider(amqp_url) as channel:
        watcher = await channel.declare_queue(exclusive=True)
        await watcher.bind(EVENTS, "job.#")

        await bus.publish(JobScored(job_id="a"))

        message = await watcher.get(timeout=PATIENCE)
        assert json.loads(message.body) == {"schema_version": 1, "job_id": "a"}
        assert message.routing_key == message.type == "job.scored"
        assert message.message_id == "a/job.scored"
        assert message.correlation_id == "a"
        assert message.app_id == "scorer"
        assert message.content_type == "application/json"
        assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
        assert message.timestamp is not None
        assert abs(datetime.now(UTC) - message.timestamp) < timedelta(minutes=1)
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", str(message.headers["traceparent"]))


async def test_message_of_ten_megabytes_reaches_its_handler_untouched(amqp_url: str) -> None:
    body = bytes(range(256)) * 40_960
    recorder = Recorder()
    async with RabbitMQBus(amqp_url, app_id="poller") as bus, outsider(amqp_url) as channel:
        await bus.consume(POLLER, recorder, prefetch=2)

        await inject(channel, body)

        [delivery] = await recorder.received(1)
        assert delivery.body == body


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"message_id": "\N{SNOWMAN}" * 80, "correlation_id": "", "type": "nonsense", "app_id": "\x00"},
        {"headers": {"traceparent": "junk", "x-delivery-count": "many", "metriq-retry": "never"}},
        {"headers": {"traceparent": [1, {"a": True}], "x-delivery-count": -7, "metriq-retry": {"attempts": 2**62}}},
        {"headers": {"metriq-retry": {"attempts": True, "routing_key": 5, "message_id": ["m"]}}},
        {"headers": {"deep": {"er": {"and": ["deeper", 1.5, 2**40, {}]}}, "": "nameless"}},
        {"content_type": "image/png", "content_encoding": "rot13", "reply_to": "nowhere", "priority": 9},
        {"timestamp": 0, "expiration": "3600000", "delivery_mode": 1},
    ],
)
async def test_junk_properties_do_not_disturb_the_consumer(
    amqp_broker: Broker, amqp_url: str, properties: dict[str, Any]
) -> None:
    def postpone_once(_: object) -> None:
        if len(recorder.deliveries) == 1:
            raise Transient

    recorder = Recorder(postpone_once)
    async with RabbitMQBus(amqp_url, app_id="poller", retry_pauses=(0.01,)) as bus:
        subscription = await bus.consume(POLLER, recorder, prefetch=1)

        await asyncio.to_thread(
            publish_raw, amqp_broker, amqp_url, EVENTS, "job.dispatched", b"\xff\x00not json", properties
        )

        first, second = await recorder.received(2)
        assert first.body == second.body == b"\xff\x00not json"
        assert first.routing_key == second.routing_key == "job.dispatched"
        assert first.message_id == second.message_id == properties.get("message_id")
        assert first.correlation_id == second.correlation_id == (properties.get("correlation_id") or None)
        assert (first.attempt, second.attempt) == (1, 2)
        assert subscription.healthy


async def test_message_that_cannot_be_decoded_does_not_end_the_connection(amqp_broker: Broker, amqp_url: str) -> None:
    recorder = Recorder()
    async with proxied(amqp_url) as (proxy, url), RabbitMQBus(url, app_id="poller") as bus:
        await bus.consume(POLLER, recorder, prefetch=1)
        nanoseconds = {"message_id": "m", "timestamp": time.time_ns()}  # beyond the year 9999 for who expects seconds
        await asyncio.to_thread(publish_raw, amqp_broker, amqp_url, EVENTS, "job.dispatched", b"{}", nanoseconds)
        await recorder.received(1)
        await bus.publish(JobDispatched(job_id="a"))

        first, second = await recorder.received(2)

        assert (first.body, first.message_id, first.attempt) == (b"{}", "m", 1)
        assert (second.correlation_id, second.attempt) == ("a", 1)
        assert proxy.connections == 2


async def test_publishing_and_consuming_use_separate_connections(amqp_url: str) -> None:
    async with proxied(amqp_url) as (proxy, url), RabbitMQBus(url, app_id="poller") as bus:
        assert proxy.connections == 1
        await bus.consume(POLLER, Recorder(), prefetch=1)
        assert proxy.connections == 2


async def test_lost_connections_are_restored_and_what_was_in_hand_is_delivered_again(amqp_url: str) -> None:
    holder = Holder()
    async with proxied(amqp_url) as (proxy, url), RabbitMQBus(url, app_id="poller") as bus:
        subscription = await bus.consume(POLLER, holder, prefetch=1)
        await bus.publish(JobDispatched(job_id="a"))
        await holder.received(1)

        proxy.cut()
        await until_false(lambda: bus.connected or subscription.healthy)
        holder.release.set()

        await holder.received(2)
        await bus.publish(JobDispatched(job_id="b"))
        await holder.until(lambda: "b" in holder.jobs)
        assert holder.jobs[:2] == ["a", "a"]
        assert holder.deliveries[1].attempt == 2
        assert holder.busiest == 1
        assert subscription.healthy


async def test_publishing_while_disconnected_waits_for_the_connection(amqp_url: str) -> None:
    recorder = Recorder()
    async with proxied(amqp_url) as (proxy, url), RabbitMQBus(url, app_id="poller") as bus:
        await bus.consume(POLLER, recorder, prefetch=10)
        proxy.cut()
        await until_false(lambda: bus.connected)

        await bus.publish(JobDispatched(job_id="a"))

        await recorder.received(1)


async def test_publishing_without_a_confirmation_is_a_transient_failure(declared_url: str) -> None:
    async with proxied(declared_url) as (proxy, url), RabbitMQBus(url, app_id="poller", patience=IMPATIENT) as bus:
        proxy.freeze()
        with pytest.raises(Transient, match="in time"):
            await bus.publish(JobDispatched(job_id="a"))

        proxy.cut()
        with pytest.raises(Transient):
            await bus.publish(JobDispatched(job_id="b"))
        proxy.thaw()


async def test_connection_lost_before_the_confirmation_is_a_transient_failure(amqp_url: str) -> None:
    async with proxied(amqp_url) as (proxy, url), RabbitMQBus(url, app_id="poller") as bus:
        proxy.freeze()
        publishing = [asyncio.create_task(bus.publish(JobDispatched(job_id=f"j{n}"))) for n in range(200)]
        await asyncio.sleep(0.2)

        proxy.cut()
        proxy.thaw()

        results = await asyncio.gather(*publishing, return_exceptions=True)
        lost = [result for result in results if result is not None]
        assert lost
        assert {type(result) for result in lost} == {Unavailable}


async def test_unreachable_broker_is_a_transient_failure() -> None:
    with pytest.raises(Transient, match="in time"):
        async with RabbitMQBus("amqp://guest:guest@127.0.0.1:1/", app_id="poller", patience=0.5):
            raise AssertionError


async def test_leaving_does_not_hang_when_the_broker_is_out_of_reach(declared_url: str) -> None:
    async with proxied(declared_url) as (proxy, url):
        bus = RabbitMQBus(url, app_id="poller", patience=IMPATIENT)
        async with asyncio.timeout(PATIENCE), bus:
            await bus.consume(POLLER, Recorder(), prefetch=1)
            proxy.freeze()
        assert not bus.connected


async def test_deleted_queue_is_declared_again_and_consumed(amqp_url: str) -> None:
    recorder = Recorder()
    async with RabbitMQBus(amqp_url, app_id="poller") as bus, outsider(amqp_url) as channel:
        subscription = await bus.consume(POLLER, recorder, prefetch=10)
        await bus.publish(JobDispatched(job_id="a"))
        await recorder.received(1)

        await channel.queue_delete(POLLER.name)
        await until_false(lambda: subscription.healthy)

        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await bus.publish(JobDispatched(job_id="b"))
                    break
                except Unroutable:
                    await asyncio.sleep(0.02)
        await recorder.until(lambda: "b" in recorder.jobs)
        assert subscription.healthy


async def test_queue_deleted_again_and_again_while_all_publish_to_it_is_consumed_each_time(amqp_url: str) -> None:
    """RabbitMQ does not always tell the consumers of a queue that is declared anew as soon as it is gone."""
    recorder = Recorder()
    enough = asyncio.Event()

    async def publish_all_the_time(bus: RabbitMQBus) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            with suppress(Transient):
                await bus.publish(JobDispatched(job_id=f"{number}"))

    async with (
        RabbitMQBus(amqp_url, app_id="poller") as consumer,
        RabbitMQBus(amqp_url, app_id="dispatcher") as publisher,
        outsider(amqp_url) as channel,
        asyncio.TaskGroup() as publishing,
    ):
        await consumer.consume(POLLER, recorder, prefetch=10)
        for _ in range(5):
            publishing.create_task(publish_all_the_time(publisher))
        for _ in range(4):
            await channel.queue_delete(POLLER.name)
            await recorder.received(len(recorder.deliveries) + 20)
        enough.set()


async def test_consumer_for_which_the_broker_takes_messages_but_delivers_none_is_begun_anew(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consume, recorder, swallowed = aio_pika.Queue.consume, Recorder(), asyncio.Event()

    async def mute_at_first(queue: Any, callback: Any, **options: Any) -> Any:
        return await consume(queue, callback if swallowed.is_set() else swallow, **options)

    async def swallow(_: object) -> None:
        swallowed.set()

    monkeypatch.setattr(aio_pika.Queue, "consume", mute_at_first)
    monkeypatch.setattr(subscription, "IDLE_SECONDS", 0.2)
    async with RabbitMQBus(amqp_url, app_id="poller") as bus:
        await bus.publish(JobDispatched(job_id="a"))

        running = await bus.consume(POLLER, recorder, prefetch=10)

        delivery = (await recorder.received(1))[0]
        assert swallowed.is_set()
        assert delivery.attempt > 1
        assert running.healthy


async def test_consumer_of_a_queue_declared_anew_as_soon_as_it_was_deleted_gets_what_is_published(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which RabbitMQ (3.10.8) says nothing to it, but counts it as a consumer of the new queue."""
    monkeypatch.setattr(subscription, "IDLE_SECONDS", 1.0)
    recorder = Recorder()
    async with (
        RabbitMQBus(amqp_url, app_id="poller") as bus,
        RabbitMQBus(amqp_url, app_id="another") as another,
        outsider(amqp_url) as channel,
    ):
        await bus.consume(POLLER, recorder, prefetch=10)

        await channel.queue_delete(POLLER.name)
        await topology.declare(channel, [POLLER], [])

        await another.publish(JobDispatched(job_id="a"))
        await recorder.received(1)


def renewals(queue: str) -> float:
    return REGISTRY.get_sample_value("metriq_renewed_consumers_total", {"queue": queue}) or 0


async def test_what_a_consumer_leaves_that_tries_one_delivery_from_time_to_time_costs_no_try(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a service does that has stopped: what follows on the one it tries must not be on its way when that fails."""
    returned, tried, chance = Counter[int](), asyncio.Event(), random.Random(1)
    cancel, consuming = aio_pika.Queue.cancel, list[Subscription]()

    async def cancel_late(queue: Any, *args: Any, **options: Any) -> Any:
        await asyncio.sleep(chance.uniform(0, 0.005))  # as on a busy machine
        return await cancel(queue, *args, **options)

    async def handler(delivery: Delivery) -> None:
        returned[delivery.returned] += 1
        consuming[-1].admit(0)
        tried.set()
        raise NotYet("not mended")

    monkeypatch.setattr(aio_pika.Queue, "cancel", cancel_late)
    async with RabbitMQBus(amqp_url, app_id="tests", retry_pauses=(0.01,)) as bus:
        consuming.append(await bus.consume(POLLER, handler, prefetch=1))
        for number in range(20):
            await bus.publish(JobDispatched(job_id=f"job-{number}"))
        async with asyncio.timeout(PATIENCE):
            for _ in range(TRIES):
                await tried.wait()
                tried.clear()
                consuming[-1].admit(1)
    assert returned == {0: returned.total()}
    assert returned.total() >= TRIES


async def test_consumer_with_a_delivery_in_hand_is_kept_while_idle_ones_are_begun_anew(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consume, begun, often = aio_pika.Queue.consume, Counter[str](), asyncio.Event()

    async def counted(queue: Any, *args: Any, **options: Any) -> Any:
        begun[queue.name] += 1
        if begun[SCORER.name] > 5:
            often.set()
        return await consume(queue, *args, **options)

    monkeypatch.setattr(aio_pika.Queue, "consume", counted)
    monkeypatch.setattr(subscription, "IDLE_SECONDS", 0.05)
    async with RabbitMQBus(amqp_url, app_id="both") as bus, released() as holder:
        await bus.publish(JobDispatched(job_id="a"))
        kept = await bus.consume(POLLER, holder, prefetch=1)
        await holder.received(1)
        before, renewed = begun[POLLER.name], renewals(SCORER.name)
        idle = await bus.consume(SCORER, Recorder(), prefetch=1)

        async with asyncio.timeout(PATIENCE):
            await often.wait()

        assert renewals(SCORER.name) >= renewed + 5
        assert begun[POLLER.name] <= before + 1  # it may have been about to be begun anew when the delivery came
        assert kept.healthy
        assert idle.healthy


async def test_consumer_whose_begin_the_broker_does_not_answer_is_begun_anew(
    declared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consume, recorder, asked = aio_pika.Queue.consume, Recorder(), 0

    async def unanswered_once(queue: Any, *args: Any, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 2:
            await asyncio.Event().wait()
        return await consume(queue, *args, **options)

    monkeypatch.setattr(aio_pika.Queue, "consume", unanswered_once)
    async with (
        proxied(declared_url) as (proxy, url),
        RabbitMQBus(url, app_id="poller", patience=IMPATIENT) as bus,
        RabbitMQBus(declared_url, app_id="another") as another,
    ):
        await bus.consume(POLLER, recorder, prefetch=1)
        proxy.cut()
        await until_false(lambda: asked < 2)

        await another.publish(JobDispatched(job_id="a"))

        await recorder.received(1)


async def test_deleted_queue_without_a_consumer_is_declared_again_by_who_misses_it(amqp_url: str) -> None:
    async with RabbitMQBus(amqp_url, app_id="dispatcher") as bus, outsider(amqp_url) as channel:
        await channel.queue_delete(POLLER.name)

        with pytest.raises(Unroutable):
            await bus.publish(JobDispatched(job_id="a"))
        await bus.publish(JobDispatched(job_id="a"))

        assert await count(channel, POLLER.name) == 1


async def test_delivery_that_cannot_be_postponed_is_given_back(amqp_url: str) -> None:
    def postpone_twice(_: object) -> None:
        if len(recorder.deliveries) <= 2:
            raise Transient

    recorder = Recorder(postpone_twice)
    async with (
        RabbitMQBus(amqp_url, app_id="poller", retry_pauses=(0.01,)) as bus,
        outsider(amqp_url) as channel,
    ):
        await bus.consume(POLLER, recorder, prefetch=1)
        await channel.queue_delete(retry_exchange(0.01))

        await bus.publish(JobDispatched(job_id="a"))

        await recorder.received(3)
        assert [delivery.attempt for delivery in recorder.deliveries] == [1, 2, 3]


@pytest.mark.parametrize("failing", ["read", "handle"])
async def test_delivery_that_cannot_be_settled_for_any_reason_is_given_back(
    failing: str, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would stay in hand for ever, and one place fewer would be left for others."""
    where: Any = envelope if failing == "read" else subscription
    works, times = getattr(where, failing), iter(range(5))

    def fail(*args: Any) -> Any:
        if next(times, None) is None:
            return works(*args)
        raise MemoryError("what nothing expects")

    monkeypatch.setattr(where, failing, fail)
    async with RabbitMQBus(amqp_url, app_id="tests") as bus:
        recorder = Recorder()
        consumer = await bus.consume(POLLER, recorder, prefetch=1)
        await bus.publish(JobDispatched(job_id="a"))
        delivery = (await recorder.received(1))[0]
        assert delivery.attempt == 6
        await consumer.stop()
        assert consumer.unsettled_seconds == 0


async def test_consumer_that_could_not_start_does_not_start_later(declared_url: str) -> None:
    recorder = Recorder()
    async with (
        proxied(declared_url) as (proxy, url),
        RabbitMQBus(url, app_id="poller", patience=IMPATIENT) as bus,
        RabbitMQBus(declared_url, app_id="another") as another,
        outsider(declared_url) as channel,
    ):
        proxy.freeze()
        with pytest.raises(Transient):
            await bus.consume(POLLER, recorder, prefetch=1)
        proxy.thaw()
        await until_false(lambda: not bus.connected)

        await another.publish(JobDispatched(job_id="a"))

        assert await count(channel, POLLER.name) == 1
        assert not recorder.deliveries


async def test_connection_that_comes_back_while_stopping_brings_nothing_more(declared_url: str) -> None:
    async with (
        proxied(declared_url) as (proxy, url),
        RabbitMQBus(url, app_id="poller") as bus,
        RabbitMQBus(declared_url, app_id="another") as another,
        outsider(declared_url) as channel,
        released() as holder,
    ):
        subscription = await bus.consume(POLLER, holder, prefetch=10)
        await another.publish(JobDispatched(job_id="in-hand"))
        await holder.received(1)
        before = proxy.accepted
        proxy.cut()
        await until_false(lambda: subscription.healthy)
        stopping = asyncio.create_task(subscription.stop())
        await until_false(lambda: proxy.accepted < before + 2)  # those for publishing and for consuming are back
        await another.publish(JobDispatched(job_id="for-others"))
        await asyncio.sleep(0.5)  # nothing is to happen, which cannot be awaited
        assert holder.jobs == ["in-hand"]
        assert not subscription.healthy
        holder.release.set()
        await stopping
        assert await count(channel, POLLER.name) == 2


async def test_consumer_that_starts_while_stopping_is_stopped(
    declared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consume, asked, go_on = aio_pika.Queue.consume, asyncio.Event(), asyncio.Event()

    async def slowly(self: Any, *args: Any, **options: Any) -> Any:
        asked.set()
        await go_on.wait()
        return await consume(self, *args, **options)

    async with (
        proxied(declared_url) as (proxy, url),
        RabbitMQBus(url, app_id="poller") as bus,
        outsider(declared_url) as channel,
        released() as holder,
    ):
        subscription = await bus.consume(POLLER, holder, prefetch=10)
        await bus.publish(JobDispatched(job_id="a"))
        await holder.received(1)
        monkeypatch.setattr(aio_pika.Queue, "consume", slowly)
        proxy.cut()
        await asked.wait()
        stopping = asyncio.create_task(subscription.stop())
        await asyncio.sleep(0)
        go_on.set()
        await holder.received(2)  # so the new consumer was there
        await asyncio.sleep(0.5)  # it is stopped without a word
        await bus.publish(JobDispatched(job_id="for-others"))
        assert await count(channel, POLLER.name) == 1
        assert not subscription.healthy
        assert not stopping.done()
        holder.release.set()
        await stopping


@asynccontextmanager
async def released() -> AsyncIterator[Holder]:
    """A holder that lets go in the end, also where a test fails: else stopping would wait for it."""
    holder = Holder()
    try:
        yield holder
    finally:
        holder.release.set()


async def test_deleted_exchange_is_declared_again(amqp_url: str) -> None:
    recorder = Recorder()
    async with RabbitMQBus(amqp_url, app_id="poller") as bus, outsider(amqp_url) as channel:
        await channel.exchange_delete(EVENTS)

        with pytest.raises(Transient):
            await bus.publish(JobDispatched(job_id="a"))

        await bus.publish(JobDispatched(job_id="a"))
        await bus.consume(POLLER, recorder, prefetch=10)
        await recorder.received(1)


async def test_two_processes_with_the_same_topology_start_at_once(amqp_url: str) -> None:
    async def visit(number: int) -> None:
        async with RabbitMQBus(amqp_url, app_id=f"service-{number}") as bus:
            await bus.publish(JobCompleted(job_id=f"j{number}"))

    await asyncio.gather(*(visit(number) for number in range(8)))


async def test_observed_message_needs_no_observer(amqp_url: str) -> None:
    async with RabbitMQBus(amqp_url, app_id="exporter") as bus:
        await bus.publish(JobExported(job_id="a"))


async def count(channel: AbstractChannel, name: str) -> int:
    queue = await channel.declare_queue(name, passive=True)
    return queue.declaration_result.message_count or 0


async def until_false(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_connection_that_does_not_come_about_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Connection] = []
    connect = Connection.connect

    async def noted(self: Connection, **options: Any) -> None:
        begun.append(self)
        await connect(self, **options)

    monkeypatch.setattr(Connection, "connect", noted)
    with pytest.raises(Unavailable):
        await inspect(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    assert [each.is_closed for each in begun] == [True]
