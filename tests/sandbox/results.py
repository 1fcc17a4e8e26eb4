"""Counts of completed tasks, computed when first asked for, beside the event loop and once per task."""

from __future__ import annotations

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor

from tests.sandbox.simulator import shared_simulator
from tests.sandbox.switches import Switches
from tests.sandbox.tasks import Program, Task

Counts = tuple[dict[str, int], ...]

PATIENCE_SECONDS = 10.0
"""How long an answer waits for counts; a task that is not simulated by then still shows as running."""


class Results:
    """Draws counts from a seed and the task's id, so that they do not depend on when they are asked for."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        # The thread only waits for the simulating process.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sandbox-results")
        self._running: dict[str, asyncio.Future[Counts]] = {}
        self._cache: dict[tuple[str, int, str], dict[str, int]] = {}

    async def counts(self, task: Task, switches: Switches) -> Counts | None:
        """Of each circuit of the task, keyed by bit strings whose leftmost character was measured first.

        None if they take longer than PATIENCE_SECONDS; the simulation goes on meanwhile.
        """
        if task.counts is None:
            if task.id not in self._running:
                loop = asyncio.get_running_loop()
                self._running[task.id] = loop.run_in_executor(self._pool, self._compute, task, switches)
            future = self._running[task.id]
            await asyncio.wait([future], timeout=PATIENCE_SECONDS)
            if not future.done():
                return None
            self._running.pop(task.id, None)
            task.counts = future.result()
        return task.counts

    def close(self) -> None:
        """Give up what nobody waits for any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if any(not future.done() for future in self._running.values()):
            shared_simulator().abort()

    def _compute(self, task: Task, switches: Switches) -> Counts:
        return tuple(
            self._run(task, index, program, shots, switches)
            for index, (program, shots) in enumerate(zip(task.programs, task.shots, strict=True))
        )

    def _run(self, task: Task, index: int, program: Program, shots: int, switches: Switches) -> dict[str, int]:
        device = task.target.device
        key = (program.md5, shots, device.id)
        cached = switches.results == "cached"
        if cached and key in self._cache:
            return self._cache[key]
        own = task.remarks if switches.drawn_from == "remarks" and task.remarks else task.id
        seed = zlib.crc32(f"{self._seed}:{key if cached else own}:{index}".encode())
        noisy_device = None if switches.results == "ideal" else device
        counts = shared_simulator().run(program.source, shots, seed, noisy_device)
        if cached:
            self._cache[key] = counts
        return counts
