"""`python -m tests.docs.screenshots [FOLDER]`: pictures of every page of the console, of work that has been done.

At 390 and 1440 pixels, light and dark. Those that the documentation shows go to docs/images.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metriq_gym.bus.dead_letters import DeadLetter
from metriq_gym.bus.port import SCORER
from metriq_gym.jobs import JobState, Task, TaskState
from tests.servers.mongodb import shared_mongodb
from tests.support.browser import Browsers, started, visitors
from tests.support.console import ServedConsole, served_console
from tests.support.jobs import ended_job, watch

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SHOWN = {"overview", "job", "submit", "devices"}
WIDTHS = (390, 1440)
BV = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 3, "max_qubits": 5, "max_circuits": 2, "shots": 500}
REQUESTS = [
    ({"benchmark_name": "WIT", "num_qubits": 7, "shots": 1000}, device)
    for device in ("aer_simulator", "tyxonq:homebrew_s2", "tyxonq:homebrew_s2", "fake_manila", "aer_simulator")
] + [(BV, "aer_simulator"), (BV, "tyxonq:homebrew_s2"), ({"benchmark_name": "WIT"}, "nowhere")]
SCHEDULES: dict[str, dict[str, Any]] = {
    "nightly": {"cron": "0 2 * * *", "timezone": "Europe/Vienna", "config": BV, "daily_shots": 5000},
    "hourly": {"cron": "0 * * * *", "config": {"benchmark_name": "WIT"}},
}
DOUBT = "the answer to its submission did not come: it may have been accepted"
PAGES = {
    "overview": "/",
    "jobs": "/jobs",
    "job": "/jobs/run-2",
    "rejected": "/jobs/run-7",
    "held": "/jobs/run-8",
    "not-there": "/jobs/not%20there",
    "submit": "/submit?benchmark=WIT",
    "compare": "/compare?a=run-1&b=run-0",
    "benchmark": "/benchmarks/Hidden%20Shift",
    "suites": "/suites",
    "suite": "/suites/tonight",
    "schedules": "/schedules",
    "devices": "/devices",
    "trends": "/trends?benchmark=WIT",
    "dead-letters": "/dead-letters",
    "settings": "/settings",
    "api": "/api/docs",
    "login": "/login",
}


async def pictures(folder: Path, mongo_url: str) -> None:
    """Do some work, and take the pictures."""
    with tempfile.TemporaryDirectory() as data:
        async with (
            served_console(mongo_url, "screenshots", Path(data)) as console,
            started() as browser,
            visitors(browser) as running,
        ):
            await work(console)
            for scheme in ("light", "dark"):
                for width in WIDTHS:
                    await _take(running, console.url, folder, scheme, width)


async def work(console: ServedConsole) -> None:
    """Have jobs run that end in different ways."""
    for number, (config, device) in enumerate(REQUESTS):
        await console.http.post(
            "/jobs", json={"job_id": f"run-{number}", "provider": "local", "device": device, "config": config}
        )
    suite = {"name": "Tonight", "benchmarks": [{"name": name, "config": BV} for name in ("first", "second")]}
    where = {"provider": "local", "device": "tyxonq:homebrew_s2"}
    await console.http.post("/suites", json=where | {"suite_id": "tonight", "suite": suite})
    for name, more in SCHEDULES.items():
        (await console.http.post("/schedules", json=where | {"name": name} | more)).raise_for_status()
    for path in ("hourly/pause", "nightly/run"):
        (await console.http.post(f"/schedules/{path}")).raise_for_status()
    console.bus.dead_letters.append(given_up())
    await in_doubt(console)
    ids = [*(f"run-{number}" for number in range(len(REQUESTS))), "tonight.001-first", "tonight.002-second"]
    for job_id in ids:
        async for job in watch(console.store, job_id):
            if job.state in (JobState.EXPORTED, JobState.REJECTED, JobState.FAILED):
                break


async def in_doubt(console: ServedConsole) -> None:
    """Have a job that is held since its only submission may have been accepted."""
    now = datetime.now(UTC)
    history = [{"state": JobState.DISPATCHING, "at": now, "service": "dispatcher"}]
    times = {"created_at": now, "updated_at": now, "dispatch_time": None, "history": history}
    job = ended_job("run-8", state=JobState.DISPATCHING, result=None, held=DOUBT, **times)
    where = {"provider": "tyxonq", "device": "homebrew_s2", "run": 0, "first": 0, "circuit_count": 1}
    more = {"state": TaskState.UNKNOWN, "shots": 8192, "seed": 1, "intended_at": now}
    task = Task.model_validate({"_id": "run-8:0", "job_id": "run-8"} | where | more)
    await console.store.jobs._jobs.insert_one(job.model_dump(by_alias=True, exclude_defaults=True))
    await console.store.tasks._tasks.insert_one(task.model_dump(by_alias=True, exclude_defaults=True))


def given_up() -> DeadLetter:
    """Return a message that a service gave up."""
    return DeadLetter(
        queue=SCORER.name,
        routing_key="job.completed",
        body=b'{"job_id": "run-3"}',
        message_id="run-3/job.completed",
        type="job.completed",
        job_id="run-3",
        reason="ValueError: 12 outcomes where 13 were expected",
        traceback="Traceback (most recent call last): …",
        first=datetime.now(UTC),
        last=datetime.now(UTC),
        deliveries=10,
    )


async def _take(running: Browsers, url: str, folder: Path, scheme: str, width: int) -> None:
    visitor = await running.visitor(url, color_scheme=scheme, viewport={"width": width, "height": 900})
    visitor.expected = ("404",)  # the page of what is not there
    for name, path in PAGES.items():
        page = await visitor.page(path)
        if name == "submit":
            await page.get_by_role("button", name="Estimate").click()
            await page.get_by_text("Predicted by").wait_for()
        await page.wait_for_timeout(1500)
        await page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
        if name in SHOWN and width == max(WIDTHS) and scheme == "light":
            await page.screenshot(path=IMAGES / f"console-{name}.png")
        await page.close()


def main() -> None:
    """Take the pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, shared_mongodb(Path(data)) as url:
        asyncio.run(pictures(folder, url))
    print(folder)


if __name__ == "__main__":
    main()
