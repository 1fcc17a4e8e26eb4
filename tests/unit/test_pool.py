"""Worker processes: isolated from each other, gone with their parent, and killed when their work is cancelled."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from metriq_gym.service.pool import Pool, WorkerDied

SLOW = 600


async def test_a_worker_that_dies_takes_no_other_work_with_it() -> None:
    async with Pool(2) as pool:
        neighbour = asyncio.create_task(pool.run(time.sleep, 1))
        with pytest.raises(WorkerDied):
            await pool.run(os._exit, 1)
        await neighbour
        assert [*await asyncio.gather(pool.run(abs, -1), pool.run(abs, -2))] == [1, 2]


async def test_an_error_in_a_worker_is_the_callers_error() -> None:
    async with Pool(1) as pool:
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 1, 0)
        assert await pool.run(abs, -3) == 3


async def test_cancelling_kills_the_worker_at_its_work() -> None:
    async with Pool(1) as pool:
        worker = psutil.Process(await pool.run(os.getpid))
        call = asyncio.create_task(pool.run(time.sleep, SLOW))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not psutil.wait_procs([worker], timeout=10)[1]
        assert await pool.run(abs, -4) == 4


async def test_what_takes_too_long_is_ended_with_its_worker_and_the_wait_for_one_is_not_counted() -> None:
    async with Pool(1) as pool:
        worker = psutil.Process(await pool.run(os.getpid))
        call = asyncio.create_task(pool.run_within(0.5, time.sleep, SLOW))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(pool.run_within(20, time.sleep, 0.1))
        with pytest.raises(TimeoutError):
            await call
        await waiting
        assert not psutil.wait_procs([worker], timeout=10)[1]


async def test_closing_the_pool_ends_busy_workers() -> None:
    async with Pool(1) as pool:
        worker = psutil.Process(await pool.run(os.getpid))
        call = asyncio.create_task(pool.run(time.sleep, SLOW))
        await asyncio.sleep(0.1)
    assert not psutil.wait_procs([worker], timeout=10)[1]
    with pytest.raises(WorkerDied):
        await call


@pytest.mark.parametrize("busy", [True, False])
def test_workers_do_not_outlive_a_parent_that_is_killed(busy: bool) -> None:
    script = f"""
import asyncio, os, time
from metriq_gym.service.pool import Pool

async def main():
    async with Pool(1) as pool:
        print(await pool.run(os.getpid), flush=True)
        await (pool.run(time.sleep, {SLOW}) if {busy} else asyncio.sleep({SLOW}))

asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert not psutil.wait_procs([worker], timeout=15)[1]


async def test_nobody_reads_of_what_a_worker_leaves_that_is_stopped_while_it_starts() -> None:
    async with Pool(1) as pool:
        await pool.run(abs, -1)
        commands = [child.cmdline() for child in psutil.Process().children()]
    (tracker,) = [command for command in commands if "loky.backend.resource_tracker" in command[-1]]
    assert any(word.startswith("-Wignore:resource_tracker") for word in tracker)
