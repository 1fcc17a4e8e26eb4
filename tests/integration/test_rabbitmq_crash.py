"""A broker that is killed loses nothing that it confirmed, and everyone goes on when it is back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from metriq_gym.bus.port import POLLER
from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.errors import Transient
from metriq_gym.messages import JobDispatched
from tests.servers.rabbitmq import private_broker
from tests.support.handlers import Recorder


async def test_broker_killed_and_started_again_keeps_every_confirmed_message(tmp_path: Path) -> None:
    confirmed: set[str] = set()
    recorder = Recorder()
    enough = asyncio.Event()

    with private_broker(tmp_path) as broker:
        async with (
            RabbitMQBus(broker.url, app_id="tests") as publisher,
            RabbitMQBus(broker.url, app_id="tests") as consumer,
        ):
            # Backlog first, so that there is something for the broker to lose.
            backlog = [f"backlog-{number}" for number in range(500)]
            await asyncio.gather(*(publisher.publish(JobDispatched(job_id=job)) for job in backlog))
            confirmed.update(backlog)

            async def publish_all_the_time() -> None:
                number = 0
                while not enough.is_set():
                    number += 1
                    try:
                        await publisher.publish(JobDispatched(job_id=f"live-{number}"))
                    except Transient:
                        continue
                    confirmed.add(f"live-{number}")

            publishing = asyncio.create_task(publish_all_the_time())
            subscription = await consumer.consume(POLLER, recorder, prefetch=10)
            await recorder.received(100)

            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)

            seen = len(confirmed)
            while len(confirmed) < seen + 100:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            enough.set()
            await publishing
            await recorder.until(lambda: confirmed <= set(recorder.jobs))
            assert subscription.healthy
            assert publisher.connected
