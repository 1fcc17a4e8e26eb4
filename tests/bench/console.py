"""The first bytes of each page of the console, with very many jobs in the store."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from metriq_gym.jobs import Job, JobState
from metriq_gym.store import Store
from tests.bench.report import ms, progress, show
from tests.servers.mongodb import shared_mongodb
from tests.support.console import ServedConsole, served_console
from tests.support.jobs import ended_job

BENCHMARKS = ("WIT", "BSEQ", "CLOPS", "EPLG", "Mirror Circuits", "Quantum Volume", "LR-QAOA", "Bernstein-Vazirani")
DEVICES = 12
STATES = (JobState.EXPORTED,) * 46 + (JobState.FAILED,) * 2 + (JobState.REJECTED, JobState.CANCELLED)
_AT_ONCE = 5000
PAGES = {
    "overview": "/",
    "its figures, which come once the page is there": "/overview",
    "jobs": "/jobs",
    "jobs of a state": "/jobs?state=failed",
    "jobs of a benchmark on a device": "/jobs?benchmark=WIT&at=tyxonq/device%203",
    "jobs of a suite": "/jobs?suite=suite-5",
    "jobs of a time, the oldest first": f"/jobs?since={datetime.now(UTC).year - 1}-01-01&sort=oldest",
    "jobs of a tag": "/jobs?tag=nightly",
    "jobs of a score that half of all have": "/jobs?least_score=0.5",
    "jobs of a score that one in a thousand has": "/jobs?least_score=0.999",
    "jobs of a score that none has": "/jobs?least_score=1.5",
    "jobs with a text": "/jobs?text=note%20000321",
    "what it finds, once the page is there": "/api/v1/jobs?text=note%20000321",
    "what no job has, likewise": "/api/v1/jobs?text=nowhere",
    "a job": "/jobs/job-000500",
    "two jobs beside each other": "/compare?a=job-000500&b=job-000596",
    "submit": "/submit",
    "suites": "/suites",
    "a suite": "/suites/suite-5",
    "schedules": "/schedules",
    "devices": "/devices",
    "trends": "/trends?benchmark=WIT&metric=score",
    "a suite's trends": "/trends?suite=Nightly",
    "dead letters": "/dead-letters",
    "settings": "/settings",
    "the API's page": "/api/docs",
}


def run(*, quick: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with shared_mongodb(folder / "m") as mongo_url:
            asyncio.run(_measure(mongo_url, folder, jobs=10_000 if quick else 100_000, times=10 if quick else 30))


async def _measure(mongo_url: str, folder: Path, jobs: int, times: int) -> None:
    async with served_console(mongo_url, "bench", folder, services=False) as console:
        progress(f"console: {jobs} jobs")
        await _fill(console.store, jobs)
        rows = []
        for name, path in PAGES.items():
            took = [await _first_bytes(console, path) for _ in range(times)]
            rows.append((name, ms(min(took)), ms(statistics.median(took)), ms(max(took))))
    show(
        f"First bytes of the console's pages with {jobs:,} jobs, {times} times each (goal: 150 ms)",
        ["page", "least (ms)", "median (ms)", "most (ms)"],
        rows,
    )


async def _fill(store: Store, count: int) -> None:
    now = datetime.now(UTC)
    for first in range(0, count, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, count))
        jobs = [_job(number, now - timedelta(seconds=8 * (count - number))) for number in numbers]
        documents = [job.model_dump(by_alias=True, exclude_defaults=True) for job in jobs]
        await store.jobs._jobs.insert_many(documents, ordered=False)


def _job(number: int, at: datetime) -> Job:
    """A tenth of them is in suites, and each has remarks."""
    suite = (
        {"suite_id": f"suite-{number // 100}", "suite_name": "Nightly", "suite_size": 10} if number % 10 == 0 else {}
    )
    return ended_job(
        f"job-{number:06}",
        state=STATES[number % len(STATES)],
        benchmark_name=BENCHMARKS[number % len(BENCHMARKS)],
        device=f"device {number // len(BENCHMARKS) % DEVICES}",
        created_at=at,
        updated_at=at + timedelta(seconds=20),
        remarks=f"note {number:06}",
        tags=["nightly"] if number % 10 == 0 else [],
        result={"score": {"value": number % 1000 / 1000, "uncertainty": 0.01}},
        **suite,
    )


async def _first_bytes(console: ServedConsole, path: str) -> float:
    started = time.perf_counter()
    async with console.http.stream("GET", f"{console.url}{path}", headers={"Accept": "text/html"}) as answer:
        answer.raise_for_status()
        await anext(answer.aiter_raw())
        return time.perf_counter() - started
