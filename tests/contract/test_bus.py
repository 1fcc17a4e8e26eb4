"""What every bus does: the same cases in memory and on RabbitMQ."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from metriq_gym.bus.dead_letters import TRACEBACK_BYTES, DeadLetter
from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import DEAD_LETTERS, DISPATCHER, EXPORTER, LANES, POLLER, QUEUES, SCORER, Bus, Delivery, Queue
from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.bus.rabbitmq.dead_letters import locked_letters
from metriq_gym.bus.retry import DELIVERY_LIMIT
from metriq_gym.errors import NotYet, Transient, Unavailable, Unreadable, Unroutable
from metriq_gym.messages import JobCompleted, JobDispatched, JobExported, JobFailed, JobRequested, JobScored
from tests.support.handlers import Holder, Recorder
from tests.support.patience import PATIENCE

DeadLetters = Callable[[Bus], Awaitable[list[DeadLetter]]]


@dataclass
class Buses:
    """Opens buses of one kind; `dead_letters` waits for some and returns them."""

    open: Callable[..., Awaitable[Bus]]
    dead_letters: DeadLetters


@pytest.fixture(params=["memory", "rabbitmq"])
async def buses(request: pytest.FixtureRequest) -> AsyncIterator[Buses]:
    url = request.getfixturevalue("amqp_url") if request.param == "rabbitmq" else ""
    async with AsyncExitStack() as stack:

        async def in_memory(**options: Any) -> Bus:
            return await stack.enter_async_context(MemoryBus(**options))

        async def on_rabbitmq(**options: Any) -> Bus:
            return await stack.enter_async_context(RabbitMQBus(url, app_id="tests", **options))

        async def dead_in_memory(bus: Bus) -> list[DeadLetter]:
            assert isinstance(bus, MemoryBus)
            while not bus.dead_letters:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            return bus.dead_letters

        async def dead_on_rabbitmq(_: Bus) -> list[DeadLetter]:
            while True:
                async with locked_letters(url) as held:
                    if held:
                        return [each.letter for each in held]
                await asyncio.sleep(0.05)

        if request.param == "memory":
            yield Buses(in_memory, dead_in_memory)
        else:
            yield Buses(on_rabbitmq, dead_on_rabbitmq)


def fail(_: Delivery) -> None:
    raise ValueError("poison")


def postpone(_: Delivery) -> None:
    raise Transient("not now")


async def test_published_message_reaches_its_handler_with_its_identity(buses: Buses) -> None:
    bus = await buses.open()
    recorder = Recorder()
    await bus.consume(POLLER, recorder, prefetch=10)

    await bus.publish(JobDispatched(job_id="a"))

    [delivery] = await recorder.received(1)
    assert json.loads(delivery.body) == {"schema_version": 1, "job_id": "a"}
    assert delivery.routing_key == "job.dispatched"
    assert delivery.message_id == "a/job.dispatched"
    assert delivery.correlation_id == "a"
    assert delivery.attempt == 1


async def test_message_published_before_anyone_consumes_is_kept(buses: Buses) -> None:
    bus = await buses.open()
    recorder = Recorder()

    await bus.publish(JobDispatched(job_id="a"))
    await bus.consume(POLLER, recorder, prefetch=10)

    await recorder.received(1)


async def test_handled_message_is_not_delivered_again(buses: Buses) -> None:
    bus = await buses.open()
    first, second = Recorder(), Recorder()
    await bus.publish(JobDispatched(job_id="a"))
    subscription = await bus.consume(POLLER, first, prefetch=10)
    await first.received(1)
    await subscription.stop()

    await bus.consume(POLLER, second, prefetch=10)
    await bus.publish(JobDispatched(job_id="b"))

    await second.received(1)
    assert second.jobs == ["b"]


async def test_each_queue_gets_the_messages_it_is_bound_to(buses: Buses) -> None:
    bus = await buses.open()
    recorders = {queue: Recorder() for queue in (DISPATCHER, POLLER, SCORER, EXPORTER)}
    for queue, recorder in recorders.items():
        await bus.consume(queue, recorder, prefetch=10)

    await bus.publish(JobScored(job_id="scored"))
    await bus.publish(JobFailed(job_id="failed", outcome="error", reason="broken"))
    await bus.publish(JobCompleted(job_id="completed"))
    await bus.publish(JobDispatched(job_id="dispatched"))
    await bus.publish(JobRequested(job_id="requested", provider="local", device="aer_simulator", config={}))

    await recorders[EXPORTER].received(2)
    for queue in (DISPATCHER, POLLER, SCORER):
        await recorders[queue].received(1)
    assert {queue.name: sorted(map(str, recorder.jobs)) for queue, recorder in recorders.items()} == {
        "metriq.dispatcher": ["requested"],
        "metriq.poller": ["dispatched"],
        "metriq.scorer": ["completed"],
        "metriq.exporter": ["failed", "scored"],
    }


async def test_every_queue_that_is_bound_gets_a_copy(buses: Buses) -> None:
    queues = Queue("one", ("job.#",)), Queue("two", ("job.exported", "*.exported"))
    bus = await buses.open(queues=queues)
    recorders = Recorder(), Recorder()
    for queue, recorder in zip(queues, recorders, strict=True):
        await bus.consume(queue, recorder, prefetch=10)

    await bus.publish(JobExported(job_id="a"))
    await bus.publish(JobExported(job_id="b"))

    for recorder in recorders:
        await recorder.received(2)
        assert sorted(map(str, recorder.jobs)) == ["a", "b"]


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("job.scored", True),
        ("job.*", True),
        ("*.scored", True),
        ("#", True),
        ("job.#", True),
        ("#.scored", True),
        ("job.scored.#", True),
        ("#.job.#.scored.#", True),
        ("*.*", True),
        ("job", False),
        ("*", False),
        ("scored.*", False),
        ("job.scored.*", False),
        ("*.*.#.*", False),
        ("job.score", False),
        ("", False),
    ],
)
async def test_binding_follows_the_wildcards_of_amqp(buses: Buses, pattern: str, matches: bool) -> None:
    bus = await buses.open(queues=[Queue("watcher", (pattern,))])

    try:
        await bus.publish(JobScored(job_id="a"))
    except Unroutable:
        assert not matches
    else:
        assert matches


async def test_unroutable_message_is_an_error_only_if_a_service_must_receive_it(buses: Buses) -> None:
    bus = await buses.open(queues=())

    with pytest.raises(Unroutable):
        await bus.publish(JobScored(job_id="a"))
    await bus.publish(JobExported(job_id="a"))


async def test_every_copy_of_an_unroutable_message_is_an_error_when_published_at_once(buses: Buses) -> None:
    bus = await buses.open(queues=())

    results = await asyncio.gather(*(bus.publish(JobScored(job_id="a")) for _ in range(20)), return_exceptions=True)

    assert [type(result) for result in results] == [Unroutable] * 20


async def test_failed_delivery_comes_again_as_the_next_attempt(buses: Buses) -> None:
    bus = await buses.open()
    recorder = Recorder(lambda delivery: fail(delivery) if delivery.attempt < 3 else None)
    await bus.consume(POLLER, recorder, prefetch=1)

    await bus.publish(JobDispatched(job_id="a"))
    await recorder.received(3)
    await bus.publish(JobDispatched(job_id="b"))

    await recorder.until(lambda: "b" in recorder.jobs)
    assert [(d.correlation_id, d.attempt) for d in recorder.deliveries[:3]] == [("a", 1), ("a", 2), ("a", 3)]
    assert recorder.jobs.count("a") == 3


async def test_poison_is_dead_lettered_after_the_limit_and_its_neighbours_are_handled(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.01,))
    recorder = Recorder(lambda delivery: fail(delivery) if delivery.correlation_id == "poison" else None)
    await bus.consume(POLLER, recorder, prefetch=2)

    for job in ("before", "poison", "after"):
        await bus.publish(JobDispatched(job_id=job))

    async with asyncio.timeout(PATIENCE):
        [letter] = await buses.dead_letters(bus)
    assert letter.routing_key == "job.dispatched"
    assert json.loads(letter.body)["job_id"] == "poison"
    await recorder.received(DELIVERY_LIMIT + 2)
    assert sorted(map(str, recorder.jobs)) == ["after", "before", *["poison"] * DELIVERY_LIMIT]
    assert [d.attempt for d in recorder.deliveries if d.correlation_id == "poison"] == [*range(1, DELIVERY_LIMIT + 1)]


async def test_what_a_service_may_not_take_stays_in_its_queue_until_it_may(buses: Buses) -> None:
    bus = await buses.open()
    recorder = Recorder()
    subscription = await bus.consume(POLLER, recorder, prefetch=10)
    await bus.publish(JobDispatched(job_id="first"))
    await recorder.received(1)

    subscription.admit(0)
    async with asyncio.timeout(PATIENCE):
        while subscription.healthy:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for number in range(20):
        await bus.publish(JobDispatched(job_id=str(number)))
    async with asyncio.timeout(PATIENCE):
        while (await bus.waiting())[POLLER.name] < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert recorder.jobs == ["first"]
    assert not subscription.gone

    subscription.admit(10)
    await recorder.received(21)
    assert subscription.healthy
    assert {delivery.attempt for delivery in recorder.deliveries} == {1}


async def test_a_service_that_may_take_fewer_finishes_what_it_has(buses: Buses) -> None:
    bus = await buses.open()
    holder = Holder()
    subscription = await bus.consume(POLLER, holder, prefetch=10)
    for number in range(20):
        await bus.publish(JobDispatched(job_id=str(number)))
    await holder.received(10)

    subscription.admit(1)
    holder.release.set()
    await holder.until(lambda: len(holder.deliveries) == 20)
    holder.busiest = holder.in_hand
    for number in range(20, 40):
        await bus.publish(JobDispatched(job_id=str(number)))

    await holder.until(lambda: len(holder.deliveries) == 40)
    assert holder.busiest <= 1
    assert sorted(holder.jobs, key=int) == [str(number) for number in range(40)]  # type: ignore[arg-type]


async def test_cancellation_that_a_handler_brings_on_itself_is_a_failed_delivery(buses: Buses) -> None:
    bus = await buses.open()

    def give_up(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            raise asyncio.CancelledError

    recorder = Recorder(give_up)
    subscription = await bus.consume(POLLER, recorder, prefetch=1)

    await bus.publish(JobDispatched(job_id="a"))

    await recorder.received(2)
    assert subscription.healthy


async def test_transient_failures_do_not_count_against_the_limit(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.01,))
    tries = DELIVERY_LIMIT + 3
    recorder = Recorder(lambda delivery: postpone(delivery) if delivery.attempt < tries else None)
    await bus.consume(POLLER, recorder, prefetch=1)

    await bus.publish(JobDispatched(job_id="a"))

    deliveries = await recorder.received(tries)
    assert [delivery.attempt for delivery in deliveries] == [*range(1, tries + 1)]
    assert {d.body for d in deliveries} == {deliveries[0].body}
    assert {(d.routing_key, d.message_id, d.correlation_id) for d in deliveries} == {
        ("job.dispatched", "a/job.dispatched", "a")
    }
    assert {d.headers["traceparent"] for d in deliveries} == {deliveries[0].headers["traceparent"]}


async def test_what_only_waits_for_others_is_not_counted_and_goes_on_soon(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.01, 0.01, 0.01, 600.0))

    def wait(delivery: Delivery) -> None:
        if delivery.attempt == 4:
            raise Transient("its own fault")
        if delivery.attempt < 8:
            raise [NotYet, Unavailable][delivery.attempt % 2]("not ours")

    recorder = Recorder(wait)
    await bus.consume(POLLER, recorder, prefetch=1)

    await bus.publish(JobDispatched(job_id="a"))

    deliveries = await recorder.received(8)
    assert [delivery.postponed for delivery in deliveries] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert {delivery.failures for delivery in deliveries} == {0}


async def test_transient_failure_is_retried_after_growing_pauses(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.1, 0.4))
    times: list[float] = []

    def note(delivery: Delivery) -> None:
        times.append(time.monotonic())
        if delivery.attempt < 4:
            postpone(delivery)

    recorder = Recorder(note)
    await bus.consume(POLLER, recorder, prefetch=1)

    await bus.publish(JobDispatched(job_id="a"))

    await recorder.received(4)
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[0] >= 0.05
    assert min(pauses[1:]) >= 0.2


async def test_a_delivery_comes_back_when_it_may_go_on_and_not_before(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.01, 0.05))
    times: list[float] = []

    def wait(delivery: Delivery) -> None:
        times.append(time.monotonic())
        if delivery.attempt == 1:
            raise NotYet("a rate limit", retry_after=0.5)

    recorder = Recorder(wait)
    await bus.consume(POLLER, recorder, prefetch=1)

    await bus.publish(JobDispatched(job_id="a"))

    deliveries = await recorder.received(2)
    assert [(delivery.attempt, delivery.failures, delivery.postponed) for delivery in deliveries] == [
        (1, 0, 0),
        (2, 0, 0),
    ]
    assert times[1] - times[0] >= 0.4  # a queue's clock counts whole milliseconds, downwards, ten times


async def test_transient_failure_does_not_hold_up_others(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(60.0,))
    recorder = Recorder(lambda delivery: postpone(delivery) if delivery.correlation_id == "stuck" else None)
    await bus.consume(POLLER, recorder, prefetch=1)

    for job in ("stuck", "a", "b"):
        await bus.publish(JobDispatched(job_id=job))

    await recorder.received(3)
    assert recorder.jobs == ["stuck", "a", "b"]


async def test_what_cannot_be_read_is_dead_lettered_at_once(buses: Buses) -> None:
    def fail(_: Delivery) -> None:
        raise Unreadable("names no job")

    bus = await buses.open()
    recorder = Recorder(fail)
    await bus.consume(POLLER, recorder, prefetch=1)
    await bus.publish(JobDispatched(job_id="a"))
    async with asyncio.timeout(PATIENCE):
        [letter] = await buses.dead_letters(bus)
    assert (letter.reason, letter.deliveries, len(recorder.deliveries)) == ("Unreadable: names no job", 1, 1)


async def test_poison_is_dead_lettered_also_after_transient_failures(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.01,))
    recorder = Recorder(lambda delivery: postpone(delivery) if delivery.attempt <= 2 else fail(delivery))
    await bus.consume(POLLER, recorder, prefetch=1)

    await bus.publish(JobDispatched(job_id="a"))

    async with asyncio.timeout(PATIENCE):
        [letter] = await buses.dead_letters(bus)
    assert json.loads(letter.body)["job_id"] == "a"
    assert letter.deliveries == 2 + DELIVERY_LIMIT
    assert len(recorder.deliveries) == 2 + DELIVERY_LIMIT


async def test_dead_letter_says_what_happened_to_it(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.01,))
    before = datetime.now(UTC).replace(microsecond=0)

    def stumble(_: Delivery) -> None:
        raise ValueError("two\nlines " + "x" * 1000) from KeyError("y" * 2 * TRACEBACK_BYTES)

    await bus.consume(POLLER, Recorder(stumble), prefetch=1)

    await bus.publish(JobDispatched(job_id="a"))

    async with asyncio.timeout(PATIENCE):
        [letter] = await buses.dead_letters(bus)
    assert (letter.service, letter.routing_key, letter.type) == ("poller", "job.dispatched", "job.dispatched")
    assert (letter.message_id, letter.id, letter.job_id) == ("a/job.dispatched", "a/job.dispatched", "a")
    assert letter.reason.startswith("ValueError: two lines xxx")
    assert len(letter.reason) < 400
    assert "in stumble" in letter.traceback
    assert "ValueError: two\nlines" in letter.traceback
    assert len(letter.traceback.encode()) <= TRACEBACK_BYTES
    assert letter.first is not None
    assert letter.last is not None
    assert before <= letter.first < letter.last <= datetime.now(UTC)


async def test_handlers_run_at_once_up_to_the_prefetch(buses: Buses) -> None:
    bus = await buses.open()
    holder = Holder()
    for number in range(10):
        await bus.publish(JobDispatched(job_id=f"j{number}"))

    await bus.consume(POLLER, holder, prefetch=3)
    await holder.received(3)
    holder.release.set()

    await holder.received(10)
    assert holder.busiest == 3


async def test_subscribers_of_one_queue_share_its_work(buses: Buses) -> None:
    bus = await buses.open()
    holders = Holder(), Holder()
    for holder in holders:
        await bus.consume(POLLER, holder, prefetch=1)

    await bus.publish(JobDispatched(job_id="a"))
    await bus.publish(JobDispatched(job_id="b"))

    for holder in holders:
        await holder.received(1)
        holder.release.set()
    assert sorted(str(job) for holder in holders for job in holder.jobs) == ["a", "b"]


async def test_stopping_waits_for_what_is_in_hand_and_leaves_the_rest_to_others(buses: Buses) -> None:
    bus = await buses.open()
    holder, successor = Holder(), Recorder()
    everything = {f"j{number}" for number in range(20)}
    for job in everything:
        await bus.publish(JobDispatched(job_id=job))
    subscription = await bus.consume(POLLER, holder, prefetch=5)
    await holder.received(5)

    stopping = asyncio.create_task(subscription.stop())
    await asyncio.sleep(0.1)
    assert not stopping.done()
    holder.release.set()
    await stopping
    assert not subscription.healthy
    assert len(holder.finished) == len(holder.deliveries) == 5

    await bus.consume(POLLER, successor, prefetch=5)
    await successor.received(15)
    assert sorted([*holder.jobs, *successor.jobs], key=str) == sorted(everything)


async def test_cutting_a_stop_short_cancels_the_handlers_and_their_deliveries_come_again(buses: Buses) -> None:
    bus = await buses.open()
    holder, successor = Holder(), Recorder()
    subscription = await bus.consume(POLLER, holder, prefetch=5)
    await bus.publish(JobDispatched(job_id="a"))
    await holder.received(1)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(subscription.stop(), 0.1)
    assert holder.finished == []
    await asyncio.wait_for(subscription.stop(), PATIENCE)

    await bus.consume(POLLER, successor, prefetch=5)
    await successor.received(1)
    assert successor.jobs == ["a"]


async def test_stopping_loses_nothing_at_full_speed(buses: Buses) -> None:
    bus = await buses.open()
    handled: set[str | None] = set()
    everything = {f"j{number}" for number in range(300)}
    publishing = asyncio.gather(*(bus.publish(JobDispatched(job_id=job)) for job in everything))

    # As a set: RabbitMQ may forget an acknowledgement that came just before its connection was closed.
    while handled != everything:
        recorder = Recorder()
        subscription = await bus.consume(POLLER, recorder, prefetch=50)
        await recorder.received(1)
        await subscription.stop()
        handled |= set(recorder.jobs)

    await publishing


async def test_leaving_the_bus_stops_its_subscriptions(buses: Buses) -> None:
    bus = await buses.open()
    subscription = await bus.consume(POLLER, Recorder(), prefetch=1)
    assert bus.connected
    assert subscription.healthy

    await bus.__aexit__(None, None, None)

    assert not bus.connected
    assert not subscription.healthy


async def test_concurrent_publishes_all_arrive(buses: Buses) -> None:
    bus = await buses.open()
    recorder = Recorder()
    await bus.consume(POLLER, recorder, prefetch=100)
    everything = [f"j{number}" for number in range(1000)]

    await asyncio.gather(*(bus.publish(JobDispatched(job_id=job)) for job in everything))

    await recorder.received(1000)
    assert sorted(recorder.jobs, key=str) == sorted(everything)


async def test_what_a_handler_publishes_continues_the_trace_of_its_delivery(buses: Buses) -> None:
    bus = await buses.open()
    completed = Recorder()

    async def poll(_: Delivery) -> None:
        await bus.publish(JobCompleted(job_id="a"))

    dispatched = Recorder()
    await bus.consume(SCORER, completed, prefetch=1)

    async def handler(delivery: Delivery) -> None:
        await dispatched(delivery)
        await poll(delivery)

    await bus.consume(POLLER, handler, prefetch=1)
    await bus.publish(JobDispatched(job_id="a"))

    [scored] = await completed.received(1)
    before = dispatched.deliveries[0].headers["traceparent"].split("-")
    after = scored.headers["traceparent"].split("-")
    assert before[1] == after[1]
    assert before[2] != after[2]


async def test_each_end_of_a_delivery_is_logged_with_job_delivery_attempt_and_duration(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.01,))

    def respond(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            fail(delivery)
        if delivery.attempt == 2:
            postpone(delivery)

    recorder = Recorder(respond)
    with capture_logs() as logs:
        subscription = await bus.consume(POLLER, recorder, prefetch=1)
        await bus.publish(JobDispatched(job_id="a"))
        await recorder.received(3)
        await subscription.stop()

    lines = [line for line in logs if line["event"].startswith("delivery.")]
    assert [(line["event"], line["log_level"], line["attempt"]) for line in lines] == [
        ("delivery.failed", "error", 1),
        ("delivery.postponed", "warning", 2),
        ("delivery.handled", "info", 3),
    ]
    assert {(line["job_id"], line["delivery"], line["routing_key"]) for line in lines} == {
        ("a", "a/job.dispatched", "job.dispatched")
    }
    assert all(line["duration_ms"] >= 0 for line in lines)
    assert lines[0]["exc_info"] is True
    assert lines[1]["reason"] == "not now"


async def test_what_waits_in_each_queue_is_counted_and_dead_letters_too(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.01,))
    assert set((await bus.waiting()).values()) == {0}
    for job_id in ("a", "b"):
        await bus.publish(JobDispatched(job_id=job_id))
    await bus.publish(JobScored(job_id="c"))
    await bus.consume(EXPORTER, Recorder(fail), prefetch=1)

    async with asyncio.timeout(PATIENCE):
        while not (waiting := await bus.waiting())[DEAD_LETTERS]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (waiting[POLLER.name], waiting[EXPORTER.name], waiting[DEAD_LETTERS]) == (2, 0, 1)


async def test_whether_a_queue_has_consumers_is_said(buses: Buses) -> None:
    bus = await buses.open()
    assert set((await bus.consumers()).values()) == {0}
    subscription = await bus.consume(EXPORTER, Recorder(), prefetch=1)
    async with asyncio.timeout(PATIENCE):
        while not (taking := await bus.consumers())[EXPORTER.name]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert taking == {queue.name: int(queue == EXPORTER) for queue in QUEUES}
    await subscription.stop()
    assert not any((await bus.consumers()).values())


async def test_what_is_set_aside_comes_by_its_lane_as_it_was(buses: Buses) -> None:
    bus = await buses.open()
    front, behind = Recorder(), Recorder()
    request = JobRequested(job_id="a", provider="local", device="d", config={}, group="g")
    await bus.publish(request)
    await bus.consume(DISPATCHER, front, prefetch=1)
    [came] = await front.received(1)

    await bus.set_aside(came, LANES[1])
    await bus.consume(LANES[1], behind, prefetch=1)
    [again] = await behind.received(1)

    assert (came.lane, again.lane) == (0, 2)
    for name in ("routing_key", "body", "message_id", "correlation_id", "attempt", "failures", "postponed"):
        assert getattr(again, name) == getattr(came, name), name
    assert again.headers["traceparent"] == came.headers["traceparent"]


async def test_what_fails_in_a_lane_is_tried_there_again_and_becomes_a_letter_of_its_service(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.01,))
    behind = Recorder(fail)
    await bus.consume(LANES[0], behind, prefetch=1)
    await bus.set_aside(Delivery("job.requested", b"{}", message_id="m"), LANES[0])

    async with asyncio.timeout(PATIENCE):
        [letter] = await buses.dead_letters(bus)
    assert {each.lane for each in behind.deliveries} == {1}
    assert len(behind.deliveries) == DELIVERY_LIMIT
    assert (letter.queue, letter.id, letter.routing_key) == (DISPATCHER.name, "m", "job.requested")


async def test_of_the_dead_letters_the_old_ones_are_dropped_and_the_others_stay(buses: Buses) -> None:
    bus = await buses.open(retry_pauses=(0.001,))
    subscription = await bus.consume(POLLER, Recorder(fail), prefetch=1)
    for name in ("a", "b", "c"):
        await bus.publish(JobDispatched(job_id=name))
    async with asyncio.timeout(PATIENCE):
        while (await bus.waiting())[DEAD_LETTERS] < 3:  # noqa: ASYNC110  (by the broker)
            await asyncio.sleep(0.01)
    await subscription.stop()
    last = [each.last for each in await buses.dead_letters(bus)]
    assert last[0] is not None
    async with bus.old_letters(last[0], most=9) as held:
        assert held == []
    async with bus.old_letters(datetime.now(UTC) + timedelta(days=1), most=2) as held:
        dropped, kept = [each.letter.job_id for each in held]
        assert {dropped, kept} < {"a", "b", "c"}
        await held[0].drop()
    assert {each.job_id for each in await buses.dead_letters(bus)} == {"a", "b", "c"} - {dropped}
