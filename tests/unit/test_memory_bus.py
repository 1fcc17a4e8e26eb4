"""What only the bus in memory does: its bound, and dead letters one can look at."""

from __future__ import annotations

import asyncio

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import POLLER, SCORER, Delivery
from metriq_gym.bus.retry import DELIVERY_LIMIT
from metriq_gym.errors import Transient
from metriq_gym.messages import JobCompleted, JobDispatched
from tests.support.handlers import Holder, Recorder
from tests.support.patience import PATIENCE


async def test_publishing_to_a_full_queue_waits_until_there_is_room() -> None:
    async with MemoryBus(capacity=2) as bus:
        for job in ("a", "b"):
            await bus.publish(JobDispatched(job_id=job))
        publishing = asyncio.create_task(bus.publish(JobDispatched(job_id="c")))
        await asyncio.sleep(0)
        assert not publishing.done()

        recorder = Recorder()
        await bus.consume(POLLER, recorder, prefetch=1)

        await recorder.received(3)
        await publishing


async def test_message_in_hand_takes_its_place_until_it_is_settled() -> None:
    async with MemoryBus(capacity=1, patience=0.01) as bus:
        holder = Holder()
        await bus.consume(POLLER, holder, prefetch=1)
        await bus.publish(JobDispatched(job_id="a"))
        await holder.received(1)

        with pytest.raises(Transient, match="full"):
            await bus.publish(JobDispatched(job_id="b"))

        holder.release.set()
        await bus.publish(JobDispatched(job_id="b"))


async def test_dead_letter_frees_its_place_and_says_where_it_was() -> None:
    def fail(_: object) -> None:
        raise ValueError("poison")

    async with MemoryBus(capacity=1, retry_pauses=(0.001,)) as bus:
        subscription = await bus.consume(POLLER, Recorder(fail), prefetch=1)
        await bus.publish(JobDispatched(job_id="a"))
        await bus.publish(JobDispatched(job_id="b"))

        [letter, *_] = bus.dead_letters
        assert (letter.queue, letter.job_id) == ("metriq.poller", "a")
        assert letter.deliveries == DELIVERY_LIMIT
        await subscription.stop()


async def test_a_bus_is_idle_once_what_handlers_publish_has_been_handled_too() -> None:
    async with MemoryBus() as bus:
        await bus.idle()
        scored = Recorder()

        async def complete(delivery: Delivery) -> None:
            await asyncio.sleep(0.01)
            await bus.publish(JobCompleted(job_id="a"))

        await bus.consume(POLLER, complete, prefetch=1)
        await bus.consume(SCORER, scored, prefetch=1)
        await bus.publish(JobDispatched(job_id="a"))
        async with asyncio.timeout(PATIENCE):
            await bus.idle()
        assert scored.jobs == ["a"]


async def test_a_delivery_that_waits_for_another_try_keeps_no_one_waiting() -> None:
    async with MemoryBus(retry_pauses=[600]) as bus:

        def away(_: Delivery) -> None:
            raise Transient

        await bus.consume(POLLER, Recorder(away), prefetch=1)
        await bus.publish(JobDispatched(job_id="a"))
        async with asyncio.timeout(PATIENCE):
            await bus.idle()
