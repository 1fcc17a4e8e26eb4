"""A backlog that waits before any service runs: whether jobs a second sag, and memory grows, while it is worked off."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.jobs import TERMINAL
from metriq_gym.messages import JobRequested
from tests.bench.pipeline import AS_SHIPPED, SERVERS, TRIVIAL, Servers
from tests.bench.report import progress, show
from tests.servers.mongodb import shared_mongodb
from tests.servers.rabbitmq import shared_broker, virtual_host
from tests.support.system import SERVICES, System, request, system

JOBS = 100_000
PARTS = 10
AT_ONCE = 1000
LOOK_SECONDS = 1.0
MIB = 2**20


def run(*, quick: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        progress("backlog: starting RabbitMQ and MongoDB")
        with shared_broker(folder / "r") as broker, shared_mongodb(folder / "m") as mongo_url:
            asyncio.run(_measure(Servers(broker, mongo_url), folder, JOBS // 100 if quick else JOBS))


async def _measure(servers: Servers, folder: Path, jobs: int) -> None:
    results = folder / "results"
    results.mkdir()
    with virtual_host(servers.broker) as amqp_url:
        await _publish(amqp_url, jobs)
        database = f"bench_{secrets.token_hex(6)}"
        settings: dict[str, Any] = dict(AS_SHIPPED)
        services = system(amqp_url, servers.mongo_url, database, results, anew=True, **settings)
        async with services as running:
            await _work_off(running, jobs)


async def _publish(amqp_url: str, jobs: int) -> None:
    began = time.perf_counter()
    async with RabbitMQBus(amqp_url, app_id="bench") as bus:
        for first in range(0, jobs, AT_ONCE):
            asked = [
                JobRequested.model_validate(request(f"job-{number}", config=TRIVIAL))
                for number in range(first, min(first + AT_ONCE, jobs))
            ]
            await asyncio.gather(*map(bus.publish, asked))
            progress(f"backlog: {first + len(asked)} of {jobs} published, {time.perf_counter() - began:.0f} s")


async def _work_off(running: System, jobs: int) -> None:
    """Print, for each tenth of the jobs, how many a second came to their end, and the most memory of each process."""
    began = time.perf_counter()
    rows: list[tuple[str, ...]] = []
    processes = _processes(running)
    done, passed, peaks = 0, 0.0, dict.fromkeys(processes, 0.0)
    while done < jobs and not await running.store.catalogue.held():
        await asyncio.sleep(LOOK_SECONDS)
        peaks = {name: max(peaks[name], _memory(each)) for name, each in processes.items()}
        states = await running.store.catalogue.state_counts()
        now = sum(states[state] for state in TERMINAL)
        if now >= min(jobs, (len(rows) + 1) * jobs // PARTS):
            at = time.perf_counter() - began
            rate = (now - done) / (at - passed)
            rows.append((f"{now:,}", f"{rate:.1f}", *(f"{peak:.0f}" for peak in peaks.values())))
            progress(f"backlog: {' | '.join(rows[-1])}")
            done, passed, peaks = now, at, dict.fromkeys(processes, 0.0)
    show(
        f"{jobs:,} trivial jobs that wait before the services are started, by tenths: jobs/s, and the most memory of a "
        "service without its workers and of the servers (MiB; goal: a service under 400)",
        ["done", "jobs/s", *processes],
        rows,
    )


def _processes(running: System) -> dict[str, list[psutil.Process]]:
    """Return what runs now of each service and server, as far as it is ours."""
    started = psutil.Process().children(recursive=True)
    services = {
        name: [psutil.Process(each.process.pid) for each in running.named(name) if each.process is not None]
        for name in SERVICES
    }
    return services | {title: [each for each in started if _name(each) == name] for name, title in SERVERS.items()}


def _name(process: psutil.Process) -> str | None:
    try:
        return process.name()
    except psutil.NoSuchProcess:  # one of those that servers start in passing
        return None


def _memory(processes: Sequence[psutil.Process]) -> float:
    return sum(each.memory_info().rss for each in processes) / MIB
