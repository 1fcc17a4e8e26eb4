"""Exports that wait for a rate limit cost the store nothing until they may go on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pymongo import AsyncMongoClient, monitoring

from metriq_gym.bus.handling import Again, Outcome
from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import Delivery
from metriq_gym.errors import Transient
from metriq_gym.jobs import ExportState, Job
from metriq_gym.messages import JobScored
from metriq_gym.service.service import Context, running
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from services.exporter import Exporter
from services.exporter import service as exporter_service
from tests.support.jobs import ended_job
from tests.support.patience import PATIENCE

JOBS = 1000
ROUNDS = 3


class RateLimited:
    """A target that asks for a quarter of an hour's patience, each time."""

    concurrency = 8
    whole_suites = False
    lasting = True

    def export(self, jobs: Sequence[Job]) -> str:
        raise Transient("the rate limit is used up", retry_after=900)


class HoppingBus(MemoryBus):
    """A memory bus that counts how often a delivery comes back that still has to wait."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.hops = 0
        self.all_came_back = asyncio.Event()

    def _settle(self, name: str, delivery: Delivery, outcome: Outcome | None) -> None:
        super()._settle(name, delivery, outcome)
        if isinstance(outcome, Again) and delivery.wait > 0:
            self.hops += 1
            if self.hops >= ROUNDS * JOBS:
                self.all_came_back.set()


class Commands(monitoring.CommandListener):
    """Counts commands."""

    def __init__(self) -> None:
        self.sent = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.sent += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


async def test_a_thousand_waiting_exports_send_the_store_no_command_until_they_may_go_on(
    monkeypatch: pytest.MonkeyPatch, mongo_url: str, mongo_database: str
) -> None:
    monkeypatch.setattr(exporter_service, "open_target", lambda *_: RateLimited())
    commands = Commands()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_url, event_listeners=[commands])
    # What waits in memory for a fraction of a second waits in RabbitMQ for up to ten minutes at a time.
    bus = HoppingBus(retry_pauses=(0.5,))
    async with Store(client, mongo_database) as store, bus:
        context = Context(Settings(export_targets="github"), bus, store, pool=None)  # type: ignore[arg-type]
        for first in range(0, JOBS, 50):
            await asyncio.gather(*(store.records.add(ended_job(f"wit-{first + n}")) for n in range(50)))
        async with running([Exporter(context)], 5):
            for number in range(JOBS):
                await bus.publish(JobScored(job_id=f"wit-{number}"))
            async with asyncio.timeout(PATIENCE):
                await bus.idle()
                before = commands.sent
                bus.hops = 0
                await bus.all_came_back.wait()
        assert commands.sent == before
        export = (await store.jobs.get("wit-7")).exports["github"]
        assert (export.state, export.attempts) == (ExportState.PENDING, 1)
