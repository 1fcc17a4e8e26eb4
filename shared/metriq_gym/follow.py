"""Run one job and show on standard error how it gets on: live on a terminal, a line a stage elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Any, Self
from uuid import uuid4

from rich.console import Console
from rich.status import Status

from metriq_gym import logs
from metriq_gym.client import open_runtime
from metriq_gym.messages import JobRequested
from metriq_gym.settings import Settings
from metriq_gym.store import Job, JobState, Store, TaskState

_STAGES = {
    JobState.DISPATCHING: "building and compiling circuits",
    JobState.DISPATCHED: "running",
    JobState.COMPLETED: "scoring",
    JobState.SCORED: "exporting",
}


async def run_and_follow(config: Mapping[str, Any], provider: str, device: str) -> Job:
    """Publish a request, show its progress, and return the job when it has ended.

    Interrupted, the job stays in the store: the services, or the next embedded run, go on with it.
    """
    settings = Settings()
    logs.configure("mgym", "debug" if settings.log_level == "debug" else "warning", sys.stderr)
    request = JobRequested(job_id=uuid4().hex, provider=provider, device=device, config=dict(config))
    with Progress(f"{config.get('benchmark_name')} on {provider}/{device}") as progress:
        progress.show("starting")
        async with open_runtime(settings) as runtime:
            await runtime.bus.publish(request)
            try:
                return await _follow(runtime.store, str(request.job_id), progress)
            except asyncio.CancelledError:
                progress.note(f"interrupted; the job stays, see it with: mgym job view {request.job_id}")
                raise


async def _follow(store: Store, job_id: str, progress: Progress) -> Job:
    counting: asyncio.Task[None] | None = None
    try:
        async for job in store.jobs.watch(job_id):
            if counting is not None:
                counting.cancel()
            progress.show(_STAGES.get(job.state, job.state))
            if job.state is JobState.DISPATCHED and job.task_count > 1:
                counting = asyncio.create_task(_count(store, job, progress))
    finally:
        if counting is not None:
            counting.cancel()
    return job


async def _count(store: Store, job: Job, progress: Progress) -> None:
    while True:
        done = await store.tasks.count(job.id, TaskState.COMPLETED)
        progress.update(f"running, {done} of {job.task_count} tasks done")
        await asyncio.sleep(0.5)


class Progress:
    """The line that says what is going on, and for how long it has been."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True)
        self._title = title
        self._began = time.monotonic()
        self._text = ""
        self._status = Status(self, console=self._console) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, text: str) -> None:
        """Say that a stage began."""
        if self._status is None and text != self._text:
            self._console.print(f"{time.monotonic() - self._began:6.1f} s  {self._title}: {text}", soft_wrap=True)
        self._text = text

    def update(self, text: str) -> None:
        """Say how far a stage is; only a terminal shows it."""
        self._text = text

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, soft_wrap=True)

    def __rich__(self) -> str:
        return f"{self._title}: {self._text} ({time.monotonic() - self._began:.0f} s)"
