"""One job of somebody else behind a backlog, through the services as processes on real servers: how long it takes."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.observer import Observer
from tests.bench.pipeline import (
    STAGES,
    TRIVIAL,
    Servers,
    Trip,
    cpu_seconds,
    running_services,
    servers_cpu_seconds,
    trip,
)
from tests.bench.report import ms, progress, show
from tests.servers.mongodb import shared_mongodb
from tests.servers.rabbitmq import shared_broker
from tests.support.system import System, request

SINGLES = 10
"""Single jobs, each of a group of its own, that are published while the backlog lasts, one after the other."""
ROUNDS = 3
"""How often what shares cost is measured, by turns with and without."""
PAUSE_SECONDS = 0.3
SIMULATED = {"benchmark_name": "QML Kernel", "num_qubits": 20, "shots": 1000}
"""Simulates for about 0.3 s."""


def run(*, quick: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        progress("fairness: starting RabbitMQ and MongoDB")
        with shared_broker(folder / "r") as broker, shared_mongodb(folder / "m") as mongo_url:
            servers = Servers(broker, mongo_url)
            for title, config in (("trivial", TRIVIAL), ("0.3 s of simulation", SIMULATED)):
                asyncio.run(_measure(servers, folder, title, config, jobs=500 if quick else 10_000))
            asyncio.run(_compare(servers, folder, jobs=100 if quick else 500))


async def _measure(servers: Servers, folder: Path, title: str, config: dict[str, Any], jobs: int) -> None:
    """Measure single jobs, and leave when they are done, whatever is left of the backlog."""
    async with running_services(servers, folder, pollers=1) as (running, seen, _):
        alone = [await trip(running, seen, f"idle-{number}", config, group=f"i{number}") for number in range(SINGLES)]
        idle = statistics.median(each.total for each in alone)
        progress(f"fairness: a backlog of {jobs} jobs, {title}")
        ids = [f"many-{secrets.token_hex(6)}" for _ in range(jobs)]
        started = time.perf_counter()
        for job_id in ids:
            await running.publish(request(job_id, config=config, group="many"))
        published = time.perf_counter() - started
        ends = [asyncio.create_task(seen.exported(job_id)) for job_id in ids]
        behind: list[Trip] = []
        rows = []
        for number in range(SINGLES):
            await asyncio.sleep(PAUSE_SECONDS)  # so that they meet the backlog at different points
            before = sum(end.done() for end in ends)
            behind.append(await trip(running, seen, f"single-{number}", config, group=f"s{number}"))
            took = behind[-1].total
            passed = sum(end.done() for end in ends)
            rows.append((f"{number + 1}", f"{before}", f"{passed - before}", ms(took), f"{took / idle:.1f}"))
        spent = time.perf_counter() - started
        left = sum(not end.done() for end in ends)
        for end in ends:
            end.cancel()
    show(
        f"Single jobs behind {jobs} of another group, {title}; alone, one takes {ms(idle)} ms; median: "
        f"{statistics.median(each.total for each in behind) / idle:.1f} times that",
        ["single job", "of the backlog done before", "done meanwhile", "ms", "times its time alone (goal: 3)"],
        rows,
    )
    show(
        f"Where a single job's time goes (ms, medians); {left} of the backlog were left after the last, "
        f"published in {published:.1f} s; {(jobs - left) / spent:.1f} jobs/s",
        ["", "alone", "behind the backlog"],
        [
            (name, *(ms(statistics.median(each.stages[stage] for each in trips)) for trips in (alone, behind)))
            for stage, name in enumerate(STAGES)
        ],
    )


async def _compare(servers: Servers, folder: Path, jobs: int) -> None:
    """Measure what shares cost: two sets of services beside each other, with and without, that work by turns."""
    rows = []
    async with (
        running_services(servers, folder, pollers=1, fair_shares=True) as (fair, seen_fair, _),
        running_services(servers, folder, pollers=1, fair_shares=False) as (plain, seen_plain, _),
    ):
        for number in range(1, ROUNDS + 1):
            progress(f"fairness: {jobs} jobs without shares and with, round {number} of {ROUNDS}")
            without = await _rate(plain, seen_plain, jobs)
            shared = await _rate(fair, seen_fair, jobs)
            ratio = f"{shared[0] / without[0]:.2f}"
            rows.append((f"{number}", f"{without[0]:.1f}", f"{shared[0]:.1f}", ratio, ms(without[1]), ms(shared[1])))
    show(
        f"What shares cost: {jobs} trivial jobs of one group at once, by turns",
        ["round", "jobs/s without", "with", "with / without (goal: 0.95)", "CPU ms per job without", "with"],
        rows,
    )


async def _rate(running: System, seen: Observer, jobs: int) -> tuple[float, float]:
    """Return how many jobs a second come to their end, of so many that are published at once, and the CPU time of each.

    The latter is that of services, workers and servers, as far as this process started them.
    """
    kind = secrets.token_hex(6)
    used, started = _cpu(running), time.perf_counter()
    ids = [f"{kind}-{number}" for number in range(jobs)]
    for job_id in ids:
        await running.publish(request(job_id, config=TRIVIAL, group="many"))
    spent = max([await seen.exported(job_id) for job_id in ids]) - started
    return jobs / spent, (_cpu(running) - used) / jobs


def _cpu(running: System) -> float:
    return sum(map(sum, cpu_seconds(running).values())) + sum(servers_cpu_seconds().values())
