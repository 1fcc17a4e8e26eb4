"""Tasks whose run ends badly, told by their shots, and a poller that runs them: also as a process of its own.

``python -m tests.support.poison MONGO_URL DATABASE JOB`` polls until the job has ended, or it is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psutil

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.jobs import JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.packing import pack_circuits
from metriq_gym.providers.provider import Execution
from metriq_gym.service.pool import Pool
from metriq_gym.service.service import Context, running
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from services.poller import Poller
from tests.support.jobs import to, watch

HARMLESS, KILLS_ITS_WORKER, KILLS_ITS_POLLER, NEVER_ENDS, SLOW = 1, 2, 3, 4, 5
"""Shots that tell what a task does."""


def simulate(_: str, circuits: Sequence[Any], shots: int, __: int) -> Execution:
    """Do as the shots say."""
    if shots == KILLS_ITS_WORKER:
        os.kill(os.getpid(), signal.SIGKILL)
    if shots == KILLS_ITS_POLLER:
        psutil.Process().parents()[1].kill()  # the first is the process that workers are forked from
    time.sleep({HARMLESS: 0, SLOW: 1}.get(shots, 600))
    return Execution([{"0": shots}], 0.1)


class Provider:
    """The local provider, in the poller's eyes."""

    name = "local"
    simulation = staticmethod(simulate)


async def dispatched(store: Store, job_id: str, shots: Sequence[int]) -> None:
    """Store a job with a task for each number of shots, due now."""
    fields = {"benchmark_name": "WIT", "provider": "local", "device": "d", "target": "d", "config": {}, "seed": 1}
    await store.jobs.accept(job_id, Accepted.model_validate(fields), owner="test", lease_seconds=60)
    about: dict[str, Any] = {"job_id": job_id, "provider": "local", "device": "d", "state": TaskState.STORED}
    more: dict[str, Any] = {"run": 0, "circuit_count": 1, "seed": 1, "circuits": pack_circuits([])}
    await store.tasks.insert(
        [Task(id=f"{job_id}:{n}", first=n, shots=each, **about, **more) for n, each in enumerate(shots)]
    )
    await store.jobs.move(job_id, to(JobState.DISPATCHED, plan={"task_count": len(shots)}), service="test")
    await store.tasks.release(job_id)


@asynccontextmanager
async def polling(store: Store, grace: float = 10, **changes: Any) -> AsyncIterator[MemoryBus]:
    """Poll while inside, impatiently, with two workers; nothing looks after a job that a poller's death left behind.

    What is in hand in the end is finished within `grace` seconds, or left.
    """
    values: dict[str, Any] = {"poll_seconds": 0.05, "lease_seconds": 2, "workers": 2}
    settings = Settings(**values | changes)
    async with MemoryBus() as bus, Pool(settings.workers) as pool:
        poller = Poller(Context(settings, bus, store, pool))
        poller._local = {"local": Provider()}  # type: ignore[dict-item]
        async with running([poller], grace):
            yield bus


async def _main(url: str, database: str, job_id: str) -> None:
    async with Store.at(url, database) as store, polling(store):
        async for _ in watch(store, job_id):
            pass


if __name__ == "__main__":
    from tests.support import poison  # workers find functions by their modules' names

    asyncio.run(poison._main(*sys.argv[1:]))
