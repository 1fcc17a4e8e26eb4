"""Dead letters on a real broker: nothing that an operator does to look at them loses one, and replay works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import aio_pika
import pytest

from metriq_gym.bus.dead_letters import DeadLetter
from metriq_gym.bus.port import DEAD_LETTERS, DISPATCHER, EVENTS, POLLER
from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.bus.rabbitmq.dead_letters import LockedLetter, locked_letters
from metriq_gym.bus.retry import DELIVERY_LIMIT
from metriq_gym.errors import Permanent, Transient
from metriq_gym.messages import JobDispatched
from tests.servers.proxy import proxied
from tests.support.handlers import Recorder
from tests.support.patience import PATIENCE


def fail(_: object) -> None:
    raise ValueError("poison")


class CutOff(Exception):
    """As if the process ended here."""


async def cut_off(_: object) -> None:
    raise CutOff


def impatient(url: str) -> RabbitMQBus:
    return RabbitMQBus(url, app_id="poller", retry_pauses=(0.01,))


async def until_there_are(url: str, number: int) -> list[DeadLetter]:
    """The dead letters, once there are so many."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with locked_letters(url) as held:
                if len(held) >= number:
                    return letters(held)
            await asyncio.sleep(0.05)


def letters(held: Sequence[LockedLetter]) -> list[DeadLetter]:
    return [each.letter for each in held]


async def dead(url: str, *jobs: str) -> list[DeadLetter]:
    """Let messages about these jobs die, one after the other."""
    async with impatient(url) as bus:
        subscription = await bus.consume(POLLER, Recorder(fail), prefetch=1)
        for number, job in enumerate(jobs, start=1):
            await bus.publish(JobDispatched(job_id=job))
            found = await until_there_are(url, number)
        await subscription.stop()
    return found


async def test_letter_keeps_what_the_outsider_sent(amqp_url: str) -> None:
    headers: dict[str, Any] = {"note": "keep me", "metriq-dead": {"queue": "forged"}, "huge": "x" * 50_000}
    async with impatient(amqp_url) as bus, await aio_pika.connect(amqp_url) as connection:
        await bus.consume(POLLER, Recorder(fail), prefetch=1)
        exchange = await (await connection.channel()).get_exchange(EVENTS)
        await exchange.publish(aio_pika.Message(b"poison", message_id="m", headers=headers), "job.dispatched")
        [letter] = await until_there_are(amqp_url, 1)
        assert (letter.body, letter.id, letter.routing_key, letter.queue) == (
            b"poison",
            "m",
            "job.dispatched",
            POLLER.name,
        )
        kept = await (await (await connection.channel()).get_queue(DEAD_LETTERS)).get()
        assert kept.headers["note"] == "keep me"
        assert kept.routing_key == "job.dispatched"


async def test_letter_names_the_job_even_if_the_request_did_not(amqp_url: str) -> None:
    async with impatient(amqp_url) as bus, await aio_pika.connect(amqp_url) as connection:
        await bus.consume(DISPATCHER, Recorder(fail), prefetch=1)
        exchange = await (await connection.channel()).get_exchange(EVENTS)
        await exchange.publish(aio_pika.Message(b"{}", message_id="its-id"), "job.requested")
        [letter] = await until_there_are(amqp_url, 1)
        assert letter.job_id == "its-id"


async def test_message_that_ends_its_process_each_time_is_a_dead_letter_too(amqp_url: str) -> None:
    async with impatient(amqp_url) as bus:
        await bus.publish(JobDispatched(job_id="a"))
    for _ in range(DELIVERY_LIMIT):
        async with await aio_pika.connect(amqp_url) as connection:  # and gone again without a word
            channel = await connection.channel()
            async with asyncio.timeout(PATIENCE), (await channel.get_queue(POLLER.name)).iterator() as arriving:
                await anext(arriving)
                await connection.close()
    [letter] = await until_there_are(amqp_url, 1)
    assert (letter.service, letter.id, letter.job_id) == ("poller", "a/job.dispatched", "a")
    assert letter.reason.startswith("delivery limit: the process or its connection ended")
    assert letter.deliveries == DELIVERY_LIMIT
    assert letter.last is not None


async def test_looking_thirty_times_loses_nothing_and_keeps_the_order(amqp_url: str) -> None:
    jobs = [f"j{number}" for number in range(5)]
    found = await dead(amqp_url, *jobs)
    assert [letter.job_id for letter in found] == jobs
    for _ in range(30):
        async with locked_letters(amqp_url) as held:
            assert letters(held) == found


async def test_crash_while_looking_loses_nothing(amqp_url: str) -> None:
    found = await dead(amqp_url, "a", "b")

    async def look_and_crash(url: str, crash: Callable[[], None]) -> None:
        async with locked_letters(url) as held:
            assert letters(held) == found
            crash()

    async with proxied(amqp_url) as (proxy, url):
        with pytest.raises(Transient):
            await look_and_crash(url, proxy.cut)
    assert await until_there_are(amqp_url, 2) == found


async def test_dropped_letter_is_gone_and_the_others_stay(amqp_url: str) -> None:
    await dead(amqp_url, "a", "b", "c")
    async with locked_letters(amqp_url) as held:
        await held[1].drop()
    assert [letter.job_id for letter in await until_there_are(amqp_url, 2)] == ["a", "c"]


async def test_replayed_message_reaches_its_service_alone_as_if_it_had_just_come(amqp_url: str) -> None:
    await dead(amqp_url, "a")
    recorder = Recorder()
    async with impatient(amqp_url) as bus, await aio_pika.connect(amqp_url) as connection:
        watcher = await (await connection.channel()).declare_queue(exclusive=True)
        await watcher.bind(EVENTS, "#")
        await bus.consume(POLLER, recorder, prefetch=1)
        async with locked_letters(amqp_url) as held:
            await held[0].replay()
        [delivery] = await recorder.received(1)
        assert (delivery.routing_key, delivery.message_id, delivery.correlation_id, delivery.attempt) == (
            "job.dispatched",
            "a/job.dispatched",
            "a",
            1,
        )
        assert delivery.failures == 0
        assert await watcher.get(fail=False) is None
        async with locked_letters(amqp_url) as held:
            assert not held


async def test_replay_that_is_cut_off_is_in_both_places_and_can_be_repeated(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [letter] = await dead(amqp_url, "a")

    async def begin() -> None:
        async with locked_letters(amqp_url) as held:
            await held[0].replay()

    with monkeypatch.context() as patched:
        patched.setattr(aio_pika.message.IncomingMessage, "ack", cut_off)
        with pytest.raises(CutOff):
            await begin()
    recorder = Recorder()
    async with impatient(amqp_url) as bus:
        await bus.consume(POLLER, recorder, prefetch=1)
        await recorder.received(1)
        assert await until_there_are(amqp_url, 1) == [letter]
        await begin()
        await recorder.received(2)
        assert recorder.jobs == ["a", "a"]
        async with locked_letters(amqp_url) as held:
            assert not held


async def test_replay_that_fails_again_is_a_dead_letter_again(amqp_url: str) -> None:
    [before] = await dead(amqp_url, "a")
    async with impatient(amqp_url) as bus:
        await bus.consume(POLLER, Recorder(fail), prefetch=1)
        async with locked_letters(amqp_url) as held:
            await held[0].replay()
        [after] = await until_there_are(amqp_url, 1)
    assert (after.id, after.deliveries) == (before.id, DELIVERY_LIMIT)
    assert before.last is not None
    assert after.first is not None
    assert after.first > before.last


async def test_letter_that_cannot_be_replayed_stays(amqp_url: str) -> None:
    [letter] = await dead(amqp_url, "a")
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(POLLER.name)
        await (await channel.get_exchange(DEAD_LETTERS)).publish(aio_pika.Message(b"stray", message_id="s"), "x")
        async with locked_letters(amqp_url) as held:
            with pytest.raises(Transient, match=r"no queue metriq\.poller"):
                await held[0].replay()
            with pytest.raises(Permanent, match="it is not known which service"):
                await held[1].replay()
        found = await until_there_are(amqp_url, 2)
    assert [each.id for each in found] == [letter.id, "s"]
    assert found[1].reason.startswith("unknown")


async def test_there_are_none_where_nothing_was_declared_yet(amqp_url: str) -> None:
    async with locked_letters(amqp_url) as held:
        assert not held
