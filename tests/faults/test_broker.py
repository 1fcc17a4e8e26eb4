"""A broker that is killed, cut off, blocked or robbed of its queues loses nothing that was accepted.

A request that no dispatcher has taken up yet is nowhere but in its queue, and goes with it; so queues are deleted when
all are taken up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import pytest

from metriq_gym.bus.port import LANES, QUEUES
from metriq_gym.bus.rabbitmq import topology
from metriq_gym.bus.retry import TRANSIENT
from tests.faults.evidence import ALL_QUEUES
from tests.faults.report import LONG, Report
from tests.faults.scenario import Scenario, scenario
from tests.servers.proxy import Proxy, proxied
from tests.servers.rabbitmq import NativeBroker, PrivateBroker, private_broker, private_cluster, virtual_host


@dataclass(frozen=True)
class Target:
    """What the strokes fall on."""

    broker: PrivateBroker
    proxy: Proxy
    running: Scenario


async def _kill(target: Target) -> None:
    await asyncio.to_thread(target.broker.kill)
    await asyncio.to_thread(target.broker.start)


async def _cut(target: Target, seconds: float) -> None:
    """Reset all connections, and let no new one come about."""
    target.proxy.freeze()
    target.proxy.cut()
    await asyncio.sleep(seconds)
    target.proxy.thaw()


async def _silence(target: Target, seconds: float) -> None:
    """Let nothing pass, and tell nobody."""
    target.proxy.freeze()
    await asyncio.sleep(seconds)
    target.proxy.thaw()


async def _delete(target: Target, names: Sequence[str]) -> None:
    """Delete queues, at which the broker cancels their consumers."""
    async with target.running.requesting, await aio_pika.connect(target.running.amqp_url) as connection:
        await target.running.all_taken_up()
        channel = await connection.channel()
        for name in names:
            await channel.queue_delete(name)


async def _replace(target: Target) -> None:
    """Delete each queue and declare it again at once, of which the broker does not always tell its consumers."""
    async with target.running.requesting, await aio_pika.connect(target.running.amqp_url) as connection:
        await target.running.all_taken_up()
        channel = await connection.channel()
        for name in ALL_QUEUES:
            await channel.queue_delete(name)
            await topology.declare(channel, (*QUEUES, *LANES), TRANSIENT.pauses)


async def _cancel_a_consumer(target: Target) -> None:
    await _delete(target, [target.running.random.choice(QUEUES).name])


async def _alarm(target: Target, seconds: float) -> None:
    """Let the broker take nothing from any publisher, as when it is out of memory."""
    await asyncio.to_thread(target.broker.control, "set_vm_memory_high_watermark", "0")
    await asyncio.sleep(seconds)
    await asyncio.to_thread(target.broker.control, "set_vm_memory_high_watermark", "0.4")


Stroke = Callable[[Target], Awaitable[None]]
EACH: dict[str, Stroke] = {
    "broker killed and restarted": _kill,
    "all queues deleted": partial(_delete, names=ALL_QUEUES),
    "queues replaced": _replace,
    "consumer cancelled by the broker": _cancel_a_consumer,
    "connection to the broker cut for 10 s": partial(_cut, seconds=10),
    "connection to the broker cut for 30 s": partial(_cut, seconds=30),
    "connection to the broker silent for 30 s": partial(_silence, seconds=30),
    # Longer than services wait for a confirmation.
    "memory alarm at the broker for 45 s": partial(_alarm, seconds=45),
}
SHORT_FORM: list[Stroke] = [
    _kill,
    partial(_delete, names=ALL_QUEUES),
    _cancel_a_consumer,
    partial(_cut, seconds=3),
    partial(_alarm, seconds=3),
]
STROKES: dict[str, list[Stroke]] = (
    {name: 5 * [stroke] for name, stroke in EACH.items()} if LONG else {"broker, every fault once": SHORT_FORM}
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateBroker]:
    """A broker that may be killed."""
    with private_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.mark.parametrize("name", STROKES)
async def test_a_broker_that_fails_loses_nothing_that_was_accepted(
    name: str, broker: PrivateBroker, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    with virtual_host(broker) as amqp_url:
        async with (
            proxied(amqp_url) as (proxy, url),
            scenario(name, report, amqp_url, mongo_url, tmp_path, through=url) as running,
        ):
            target = Target(broker, proxy, running)
            await running.weather([partial(stroke, target) for stroke in STROKES[name]])
            await running.finish()


if LONG:  # three brokers take a minute to come up

    async def test_a_cluster_of_brokers_loses_nothing_while_one_of_three_is_away(
        mongo_url: str, tmp_path: Path, report: Report
    ) -> None:
        """The services' own each time; a balancer then leads them to another, and the one that was away comes back."""
        with private_cluster(tmp_path / "cluster") as (first, *others), virtual_host(first) as amqp_url:
            async with (
                proxied(others[0].url) as (proxy, address),
                scenario(
                    "one of three brokers killed, away for 20 s",
                    report,
                    amqp_url,
                    mongo_url,
                    tmp_path,
                    through=urlsplit(address)._replace(path=urlsplit(amqp_url).path).geturl(),
                ) as running,
            ):

                async def away(killed: NativeBroker, other: NativeBroker) -> None:
                    proxy.lead_to(other.url)
                    await asyncio.to_thread(killed.kill)
                    await asyncio.sleep(20)
                    await asyncio.to_thread(killed.start)

                one, two = others
                await running.weather([partial(away, one, two), partial(away, two, one)] * 2)
                await running.finish()
