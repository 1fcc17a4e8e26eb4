"""How long commands take from the shell, and how soon a worker is there again: each figure with its goal beside it."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from metriq_gym.service.pool import Pool, WorkerDied
from tests.bench.report import ms, progress, show, spread

MGYM = str(Path(sys.executable).with_name("mgym"))
COMMANDS = {
    "mgym run wit.example.json": "3,000",
    "mgym --help": "300",
    "mgym job list": "700",
    "mgym job view latest": "700",
    "mgym status": "700",
    "mgym devices --provider local": "1,000",
}
"""Each with its goal in milliseconds; the private database of the one before waits for the next."""
RECOVERY_GOAL = "200"


def run(*, quick: bool) -> None:
    """Measure and print."""
    times = 3 if quick else 9
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        environment = {**os.environ, "METRIQ_DATA_DIR": folder, "METRIQ_MONGOD_STAY_SECONDS": "180"}
        try:
            for command, goal in COMMANDS.items():
                progress(f"cli: {command}")
                spent, cpu = _timed([MGYM, *command.split()[1:]], environment, times)
                rows.append((command, *spread(spent), goal, ms(cpu)))
        finally:
            subprocess.run([MGYM, "stop"], env=environment, check=True)
    title = f"Commands from the shell, embedded, {times} runs (ms); CPU without that of the database and the workers"
    show(title, ["", "median", "95 %", "goal", "CPU"], rows)
    progress("cli: a worker's death")
    recoveries = asyncio.run(_recoveries(times))
    title = "From a worker's death to the answer of the one in its place (ms)"
    show(title, ["", "median", "95 %", "goal"], [("recovery", *spread(recoveries), RECOVERY_GOAL)])


def _timed(command: Sequence[str], environment: Mapping[str, str], times: int) -> tuple[list[float], float]:
    """Return the seconds that each run took, after one that warms caches, and their mean CPU time."""
    spent, cpu = [], 0.0
    for number in range(times + 1):
        if number == 1:
            cpu = _cpu_seconds()
        started = time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        spent.append(time.perf_counter() - started)
    return spent[1:], (_cpu_seconds() - cpu) / times


async def _recoveries(times: int) -> list[float]:
    spent = []
    async with Pool(1) as pool:
        await pool.run(abs, -1)
        for _ in range(times):
            with suppress(WorkerDied):
                await pool.run(os._exit, 1)
            started = time.perf_counter()
            await pool.run(abs, -1)
            spent.append(time.perf_counter() - started)
    return spent


def _cpu_seconds() -> float:
    """Return what all ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
