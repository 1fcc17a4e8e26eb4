"""Counts of completed tasks, computed when first asked for, beside the event loop and once per task."""

from __future__ import annotations

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor

from tests.sandbox.circuits import read_circuit
from tests.sandbox.execution import run
from tests.sandbox.switches import Switches
from tests.sandbox.tasks import Program, Task

Counts = tuple[dict[str, int], ...]


class Results:
    """Draws counts from a seed and the task's id, so that they do not depend on when they are asked for."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sandbox-aer")
        self._running: dict[str, asyncio.Future[Counts]] = {}
        self._cache: dict[tuple[str, int, str], dict[str, int]] = {}

    async def counts(self, task: Task, switches: Switches) -> Counts:
        """Of each circuit of the task, keyed by bit strings whose leftmost character was measured first."""
        if task.counts is None:
            if task.id not in self._running:
                loop = asyncio.get_running_loop()
                self._running[task.id] = loop.run_in_executor(self._pool, self._compute, task, switches)
            future = self._running[task.id]
            try:
                # A client that hangs up must not cancel what others wait for.
                task.counts = await asyncio.shield(future)
            finally:
                if future.done():
                    self._running.pop(task.id, None)
        return task.counts

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

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
        circuit = read_circuit(
            program.source, max_qubits=device.qubits, accept_missing_creg=True, accept_unlisted_gates=True
        )
        seed = zlib.crc32(f"{self._seed}:{key if cached else task.id}:{index}".encode())
        counts = run(circuit.measured, shots, seed, None if switches.results == "ideal" else device)
        if cached:
            self._cache[key] = counts
        return counts
