"""One job of somebody else behind a backlog, through the services as processes on real servers: how long it takes."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import tempfile
import time
from pathlib import Path

from tests.bench.pipeline import STAGES, TRIVIAL, Servers, Trip, running_services, trip
from tests.bench.report import ms, progress, show
from tests.servers.mongodb import shared_mongodb
from tests.servers.rabbitmq import shared_broker
from tests.support.system import request

SINGLES = 5
"""Single jobs that are published while the backlog lasts, one after the other."""


def run(*, quick: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        progress("fairness: starting RabbitMQ and MongoDB")
        with shared_broker(folder / "r") as broker, shared_mongodb(folder / "m") as mongo_url:
            asyncio.run(_measure(Servers(broker, mongo_url), folder, jobs=500 if quick else 10_000))


async def _measure(servers: Servers, folder: Path, jobs: int) -> None:
    async with running_services(servers, folder, pollers=1) as (running, seen, _):
        alone = [await trip(running, seen, f"idle-{number}", group="one") for number in range(SINGLES)]
        idle = statistics.median(each.total for each in alone)
        progress(f"fairness: a backlog of {jobs} jobs")
        ids = [f"many-{secrets.token_hex(6)}" for _ in range(jobs)]
        started = time.perf_counter()
        for job_id in ids:
            await running.publish(request(job_id, config=TRIVIAL, group="many"))
        published = time.perf_counter() - started
        ends = [asyncio.create_task(seen.exported(job_id)) for job_id in ids]
        behind: list[Trip] = []
        rows = []
        for number in range(SINGLES):
            before = sum(end.done() for end in ends)
            behind.append(await trip(running, seen, f"single-{number}", group="one"))
            took = behind[-1].total
            passed = sum(end.done() for end in ends)
            rows.append((f"{number + 1}", f"{before}", f"{passed - before}", ms(took), f"{took / idle:.1f}"))
        lasted = sum(not end.done() for end in ends)
        spent = max(await asyncio.gather(*ends)) - started
    show(
        f"Single jobs behind {jobs} of another group; alone, one takes {ms(idle)} ms",
        ["single job", "of the backlog done before", "done meanwhile", "ms", "times its time alone (goal: 3)"],
        rows,
    )
    show(
        f"Where a single job's time goes (ms, medians); {lasted} of the backlog were left after the last",
        ["", "alone", "behind the backlog"],
        [
            (name, *(ms(statistics.median(each.stages[stage] for each in trips)) for trips in (alone, behind)))
            for stage, name in enumerate(STAGES)
        ],
    )
    show(
        "The backlog itself",
        ["jobs", "published in s", "done in s", "jobs/s"],
        [(f"{jobs}", f"{published:.1f}", f"{spent:.1f}", f"{jobs / spent:.1f}")],
    )
