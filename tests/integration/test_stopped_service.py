"""A service that would bury all it gets: it stops, what waits stays where it is, and it goes on by itself later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from metriq_gym.bus.port import DEAD_LETTERS, SCORER, Delivery
from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.messages import JobCompleted
from metriq_gym.service import breaker
from metriq_gym.service.breaker import LEAST_LETTERS
from metriq_gym.service.health import serve_health
from metriq_gym.service.service import Context, Service, running
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.telemetry import metrics
from tests.support.inprocess import InlinePool
from tests.support.patience import PATIENCE
from tests.support.plain import plain_client

JOBS = 50


class Broken(Service):
    """A scorer with a defect that can be mended."""

    name = "scorer"
    queue = SCORER
    default_port = 0
    stage = "score"
    uses_workers = False
    mended = False
    attempts = 0

    async def handle(self, delivery: Delivery) -> None:
        """Raise, until it is mended."""
        self.attempts += 1
        if not self.mended:
            raise ValueError("a defect")


@pytest.fixture
async def bus(amqp_url: str) -> AsyncIterator[RabbitMQBus]:
    async with RabbitMQBus(amqp_url, app_id="tests", retry_pauses=(0.05,)) as bus:
        yield bus


def stopped() -> float | None:
    return metrics.REGISTRY.get_sample_value("metriq_service_stopped", {"queue": SCORER.name})


def renewed() -> float:
    return metrics.REGISTRY.get_sample_value("metriq_renewed_consumers_total", {"queue": SCORER.name}) or 0.0


async def until_waiting(bus: RabbitMQBus, scorer: int, dead: int) -> None:
    found = None
    try:
        async with asyncio.timeout(PATIENCE):
            while found != (scorer, dead):
                waiting = await bus.waiting()
                found = waiting[SCORER.name], waiting[DEAD_LETTERS]
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"in the queue and dead {found}, not {(scorer, dead)}")


async def test_a_broken_service_stops_with_its_queue_as_it_is_and_goes_on_once_it_is_mended(
    bus: RabbitMQBus, mongo_url: str, mongo_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "PAUSES", (1.0,))
    renewed_before = renewed()
    for number in range(JOBS):
        await bus.publish(JobCompleted(job_id=f"job-{number}"))
    async with Store.at(mongo_url, mongo_database) as store, plain_client() as client:
        service = Broken(Context(Settings(), bus, store, InlinePool()))
        with capture_logs() as logs:
            async with (
                running([service], PATIENCE),
                serve_health("127.0.0.1", 0, service.live_checks(), service.ready_checks()) as port,
            ):

                async def page(name: str) -> tuple[int, dict[str, Any]]:
                    answer = await client.get(f"http://127.0.0.1:{port}/{name}")
                    return answer.status_code, answer.json()

                await until_waiting(bus, JOBS - LEAST_LETTERS, LEAST_LETTERS)
                status, checks = await page("readyz")
                assert status == 503
                assert checks["scorer consumes"].startswith("stopped: 5 of the last 5 messages became dead letters")
                assert (await page("livez"))[0] == 200
                assert stopped() == 1

                before = service.attempts
                async with asyncio.timeout(PATIENCE):
                    while service.attempts < before + 3:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                await until_waiting(bus, JOBS - LEAST_LETTERS, LEAST_LETTERS)  # a try costs none

                service.mended = True
                await until_waiting(bus, 0, LEAST_LETTERS)
                async with asyncio.timeout(PATIENCE):
                    while (await page("readyz"))[0] != 200:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                assert stopped() == 0
    assert renewed() == renewed_before  # with a connection, what is just on its way would have had one try more
    assert {entry["reason"] for entry in logs if entry["event"] == "delivery.given_up"} == {"ValueError: a defect"}
    assert {entry["log_level"] for entry in logs if entry["event"] == "service stopped"} == {"error"}
