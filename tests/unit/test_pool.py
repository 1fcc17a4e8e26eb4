"""Worker processes: isolated from each other, gone with their parent, and killed when their work is cancelled."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from metriq_gym.service.pool import Pool, WorkerDied
from tests.support.patience import PATIENCE
from tests.support.workers import plain_workers as plain_workers

SLOW = 600
MANY_FILES = 1100
"""More than `select.select` can watch."""
plain = pytest.mark.usefixtures("plain_workers")


@plain
async def test_a_worker_that_dies_takes_no_other_work_with_it() -> None:
    async with Pool(2) as pool:
        neighbour = asyncio.create_task(pool.run(time.sleep, 1))
        with pytest.raises(WorkerDied):
            await pool.run(os._exit, 1)
        await neighbour
        assert [*await asyncio.gather(pool.run(abs, -1), pool.run(abs, -2))] == [1, 2]


@plain
async def test_an_error_in_a_worker_is_the_callers_error() -> None:
    async with Pool(1) as pool:
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 1, 0)
        assert await pool.run(abs, -3) == 3


@plain
async def test_cancelling_kills_the_worker_at_its_work() -> None:
    async with Pool(1) as pool:
        worker = psutil.Process(await pool.run(os.getpid))
        call = asyncio.create_task(pool.run(time.sleep, SLOW))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not psutil.wait_procs([worker], timeout=PATIENCE)[1]
        assert await pool.run(abs, -4) == 4


@plain
async def test_what_takes_too_long_is_ended_with_its_worker_and_the_wait_for_one_is_not_counted() -> None:
    async with Pool(1) as pool:
        worker = psutil.Process(await pool.run(os.getpid))
        call = asyncio.create_task(pool.run_within(0.5, time.sleep, SLOW))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(pool.run_within(PATIENCE, time.sleep, 0.1))
        with pytest.raises(TimeoutError):
            await call
        await waiting
        assert not psutil.wait_procs([worker], timeout=PATIENCE)[1]


@plain
async def test_workers_start_where_a_thousand_files_are_open() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MANY_FILES + 1000, limits[1]))
    try:
        with ExitStack() as stack:
            descriptor = 0
            while descriptor < MANY_FILES:
                descriptor = os.open(os.devnull, os.O_RDONLY)
                stack.callback(os.close, descriptor)
            async with Pool(1) as pool:
                assert await pool.run(abs, -1) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@plain
async def test_closing_the_pool_ends_busy_workers() -> None:
    async with Pool(1) as pool:
        worker = psutil.Process(await pool.run(os.getpid))
        call = asyncio.create_task(pool.run(time.sleep, SLOW))
        await asyncio.sleep(0.1)
    assert not psutil.wait_procs([worker], timeout=PATIENCE)[1]
    with pytest.raises(WorkerDied):
        await call


@pytest.mark.slow
@pytest.mark.parametrize("busy", [True, False])
def test_workers_do_not_outlive_a_parent_that_is_killed(busy: bool) -> None:
    script = f"""
import asyncio, os, time
from metriq_gym.service.pool import Pool

from tests.support.patience import PATIENCE
from tests.support.workers import plain_workers as plain_workers

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
    assert not psutil.wait_procs([worker], timeout=PATIENCE)[1]


@pytest.mark.slow
async def test_workers_are_forked_from_one_process_that_has_imported_what_they_need_and_has_one_thread() -> None:
    async with Pool(2) as pool, Pool(1, beside=pool) as decoding:
        born = [*await asyncio.gather(pool.run(_birth, 0.2), pool.run(_birth, 0.2), decoding.run(_birth, 0.2))]
        assert await pool.run(sum, await pool.run(_simulate)) == 100
        with pytest.raises(WorkerDied):
            await pool.run(os._exit, 1)
        born += [await pool.run(_birth, 0)]
        (server,) = {birth.parent for birth in born}
        assert psutil.Process(server).num_threads() == 1
    assert len({birth.pid for birth in born}) == 4
    assert all({"qiskit_aer", "metriq_gym.jobs.plan", "metriq_gym.jobs.scoring"} <= birth.modules for birth in born)


@plain
async def test_workers_start_anew_after_the_process_they_are_forked_from_was_killed() -> None:
    async with Pool(1) as pool:
        first = await pool.run(_birth, 0)
        worker = psutil.Process(first.pid)
        call = asyncio.create_task(pool.run(time.sleep, SLOW))
        await asyncio.sleep(0)
        os.kill(first.parent, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            await call
        assert (await pool.run(_birth, 0)).parent != first.parent
        assert not psutil.wait_procs([worker], timeout=PATIENCE)[1]


@plain
async def test_an_error_says_where_in_the_worker_it_was_raised() -> None:
    async with Pool(1) as pool:
        with pytest.raises(ZeroDivisionError) as raised:
            await pool.run(_divide, 1)
    assert "in _divide" in str(raised.value.__cause__)


@plain
async def test_an_error_that_cannot_be_sent_is_told_in_words() -> None:
    async with Pool(1) as pool:
        with pytest.raises(RuntimeError, match="_Unsendable: of no use"):
            await pool.run(_raise_unsendable)
        assert await pool.run(abs, -5) == 5


@plain
async def test_what_leaves_the_process_by_an_exception_is_a_death() -> None:
    async with Pool(1) as pool:
        with pytest.raises(WorkerDied):
            await pool.run(sys.exit, 1)
        assert await pool.run(abs, -6) == 6


@pytest.mark.slow
def test_workers_never_run_the_callers_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio\n"
        "from metriq_gym.service.pool import Pool\n"
        "print('run')\n"
        "async def main():\n"
        "    async with Pool(1) as pool:\n"
        "        print(await pool.run(abs, -7))\n"
        "asyncio.run(main())\n"
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.split() == ["run", "7"]
    assert not run.stderr


@plain
async def test_a_call_may_be_large_both_ways() -> None:
    async with Pool(1) as pool:
        assert len(await pool.run(bytes.upper, bytes(20_000_000))) == 20_000_000


@dataclass(frozen=True)
class Birth:
    """Where a worker comes from."""

    pid: int
    parent: int
    modules: set[str]


def _birth(seconds: float) -> Birth:
    time.sleep(seconds)
    return Birth(os.getpid(), os.getppid(), set(sys.modules))


def _simulate() -> list[int]:
    """Run circuits on more threads than one."""
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator

    circuit = QuantumCircuit(16)
    circuit.h(range(16))
    circuit.measure_all()
    result = AerSimulator(max_parallel_threads=2, statevector_parallel_threshold=2).run(circuit, shots=100).result()
    return [*result.get_counts().values()]


def _divide(number: int) -> float:
    return number / 0


class _Unsendable(Exception):
    def __init__(self, one: str, another: str) -> None:
        super().__init__(f"{one} {another}")


def _raise_unsendable() -> None:
    raise _Unsendable("of no", "use")
