"""How many commands a job costs the store: fixed numbers, since each is a round trip that a change may add unseen."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.messages import JobRequested
from metriq_gym.settings import Settings
from metriq_gym.store.private_mongod import private_mongod
from services.embedded import embedded
from tests.bench.observer import observer
from tests.support.patience import PATIENCE
from tests.support.system import WIT, System, request, sample, system

Document = dict[str, Any]
IDLE: dict[str, Any] = {"poll_seconds": 600, "poll_max_seconds": 600, "reconcile_seconds": 600, "lease_seconds": 600}
"""Nothing is done but what the job asks for."""
MOST = 22
"""For one job of WIT, from the request to the exported record, as docs/performance.md says."""

BESIDE = {"devices", "schedules", "notices"}
"""Written and read so many times a minute, however many jobs there are; as is what is to be told of others."""


@contextmanager
def commands(url: str, database: str) -> Iterator[Counter[str]]:
    """Count the commands that the product sends to a database, as the server's profiler tells when all is over."""
    found: Counter[str] = Counter()
    with pymongo.MongoClient[Document](url) as client:
        watched = client[database]
        watched.command("profile", 2)
        yield found
        watched.command("profile", 0)
        for call in watched["system.profile"].find({"appName": "metriq-gym", "op": {"$ne": "getmore"}}):
            collection = call["ns"].partition(".")[2]
            to_tell = any(field.startswith("to_notify.") for field in call["command"].get("filter", ()))
            if collection not in BESIDE and not to_tell:
                found[f"{collection}: {next(iter(call['command']), call['op'])}"] += 1


async def test_commands_of_a_job_in_the_embedded_runtime(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, export_dir=tmp_path / "results", workers=1, **IDLE)
    async with embedded(settings) as context, private_mongod(tmp_path / "mongod") as url:
        bus = context.bus
        assert isinstance(bus, MemoryBus)

        async def run(job_id: str) -> None:
            await bus.publish(JobRequested(job_id=job_id, provider="local", device="aer_simulator", config=WIT))
            async with asyncio.timeout(PATIENCE):
                while not (tmp_path / "results" / f"{job_id}.json").exists():  # noqa: ASYNC110  (asks no store)
                    await asyncio.sleep(0.02)
                await bus.idle()

        await run("before")  # meanwhile every loop has its first round
        with commands(url, settings.mongo_database) as found:
            await run("j")
    assert found.total() <= MOST, sorted(found.items())


async def test_commands_of_a_job_in_services(
    amqp_url: str, mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    async with system(amqp_url, mongo_url, mongo_database, tmp_path, **IDLE) as running, observer(amqp_url) as seen:
        await running.publish(request("before"))
        await seen.exported("before")
        await _done_with(1, running)
        with commands(mongo_url, mongo_database) as found:
            await running.publish(request("j"))
            await seen.exported("j")
            await _done_with(2, running)
    assert found.total() <= MOST, sorted(found.items())


async def _done_with(jobs: int, running: System) -> None:
    """Return when the exporter has handled so many jobs, which is after it has looked for drift in their results."""
    (exporter,) = (service for service in running.services if service.name == "exporter")
    handled = sample("metriq_deliveries_total", queue="metriq.exporter", outcome="handled")
    async with asyncio.timeout(PATIENCE):
        while (await exporter.metrics()).get(handled) != jobs:  # noqa: ASYNC110  (another process)
            await asyncio.sleep(0.05)


def test_the_page_has_the_number() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    assert f"{MOST} commands" in page
