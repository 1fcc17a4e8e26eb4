"""What the health pages say: servers that are away make a service unready, and only what a restart mends not live."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from metriq_gym.bus.port import SCORER, Delivery
from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.service.pool import Pool
from metriq_gym.service.service import Context, Service, running
from metriq_gym.settings import Settings
from tests.servers.mongodb import NativeMongod
from tests.servers.proxy import proxied
from tests.support.patience import PATIENCE
from tests.support.plain import plain_client
from tests.support.system import ServiceProcess, system


async def answers(service: ServiceProcess, page: str) -> tuple[int, dict[str, bool]]:
    """What a service says of itself."""
    async with plain_client(timeout=PATIENCE) as client:
        answer = await client.get(f"http://127.0.0.1:{service.port}/{page}")
        return answer.status_code, answer.json()


async def unready_and_live(service: ServiceProcess) -> None:
    """Return when a service has noticed that its servers are away."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status, checks = await answers(service, "readyz")
            if not (checks["store answers"] or checks["bus"] or checks[f"{service.name} consumes"]):
                break
    assert (status, checks["started"]) == (503, True)
    status, checks = await answers(service, "livez")
    assert (status, set(checks.values())) == (200, {True}), checks


async def test_servers_that_are_away_are_no_reason_to_restart_a_service_but_to_give_it_no_work(
    amqp_url: str, tmp_path: Path
) -> None:
    mongod = NativeMongod(tmp_path / "mongod")
    try:
        async with proxied(amqp_url) as (proxy, url), system(url, mongod.url, "away", tmp_path) as running:
            mongod.kill()
            proxy.freeze()
            proxy.cut()
            await asyncio.gather(*map(unready_and_live, running.services))
            mongod.start()
            proxy.thaw()
            await asyncio.gather(*(service.ready() for service in running.services))
    finally:
        mongod.kill()


class Idle(Service):
    """Takes whatever comes."""

    name = "idle"
    queue = SCORER
    default_port = 0
    uses_workers = False

    async def handle(self, delivery: Delivery) -> None:
        """Nothing is done."""


async def test_a_service_whose_consumer_has_ended_for_good_is_not_live(amqp_url: str) -> None:
    store: Any = None
    async with RabbitMQBus(amqp_url, app_id="idle") as bus:
        service = Idle(Context(Settings(), bus, store, Pool(1)))
        async with running([service], PATIENCE):
            (has_consumer,) = service.live_checks().values()
            (consumes,) = service.ready_checks().values()
            assert await has_consumer()
            assert await consumes()
            (subscription,) = bus._subscriptions
            assert subscription._connection is not None
            subscription._connection.cancel()
            await asyncio.wait([subscription._connection])
            assert not await has_consumer()
            assert not await consumes()
