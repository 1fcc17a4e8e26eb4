"""Want of means, and of a worker that is free, is waited out: it is neither the job's fault nor the handler's time."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from metriq_gym.bus.port import Delivery
from metriq_gym.errors import Crowded, FailureClass, NoMeans, classify
from metriq_gym.service import attempts, pool, waiting
from metriq_gym.service.breaker import AT_EASE, Breaker
from metriq_gym.service.pool import Pool, WorkerDied
from tests.support.patience import PATIENCE
from tests.support.workers import plain_workers as plain_workers
from tests.unit.test_breaker import Told

pytestmark = pytest.mark.usefixtures("plain_workers")


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing more while inside."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "START_PAUSES", (0.01, 0.05))


async def test_a_process_without_descriptors_waits_for_them_and_says_so_and_the_work_is_done() -> None:
    async with asyncio.timeout(PATIENCE), Pool(1) as workers:
        with no_descriptors():
            call = asyncio.create_task(workers.run(abs, -1))
            while workers.wants is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert "no worker process can be started" in workers.wants
            assert not call.done()
        assert await call == 1
        assert workers.wants is None


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC])
@pytest.mark.parametrize("failing", ["Popen", "socketpair", "send_fds"])
async def test_whatever_is_wanting_to_start_a_worker_is_not_the_works_fault(
    failing: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "START_SECONDS", 0.1)

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    async with asyncio.timeout(PATIENCE), Pool(1) as workers:
        with monkeypatch.context() as wanting:
            wanting.setattr(subprocess if failing == "Popen" else socket, failing, fail)
            workers.warm()
            with pytest.raises(NoMeans) as raised:
                await workers.run(abs, -1)
        assert classify(raised.value) is FailureClass.WAITING
        assert await workers.run(abs, -1) == 1


async def test_a_worker_that_cannot_be_forked_is_not_one_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "START_SECONDS", 0.1)
    monkeypatch.setattr(
        pool, "_START", pool._START.replace("; serve(", "; import os; os.fork = lambda: os.open('/none', 0); serve(")
    )
    async with asyncio.timeout(PATIENCE), Pool(1) as workers:
        with pytest.raises(NoMeans):
            await workers.run(abs, -1)


async def test_what_the_work_itself_raises_is_the_works() -> None:
    async with asyncio.timeout(PATIENCE), Pool(1) as workers:
        with pytest.raises(OSError, match="none"):
            await workers.run(os.open, "/none", 0)
        with pytest.raises(WorkerDied):
            await workers.run(os._exit, 1)


async def test_the_time_that_is_waited_for_a_worker_is_not_the_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "HANDLING_SECONDS", 0.5)

    async def handle(_: Delivery) -> None:
        for _turn in range(4):
            await waiting.wait(asyncio.sleep(0.2))
            await asyncio.sleep(0.01)

    await attempts._in_time(handle, Delivery("job.requested", b""))


async def test_a_delivery_that_waits_too_long_for_a_worker_is_put_off_uncounted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "WAITING_SECONDS", 0.2)
    async with asyncio.timeout(PATIENCE), Pool(1) as workers:
        busy = asyncio.create_task(workers.run(abs, -1))
        await busy
        held = await workers._idle.get()

        async def handle(_: Delivery) -> None:
            await workers.run(abs, -1)

        with pytest.raises(Crowded) as raised:
            await attempts._in_time(handle, Delivery("job.requested", b""))
        assert classify(raised.value) is FailureClass.WAITING
        workers._idle.put(held)


async def test_what_a_service_takes_follows_what_its_workers_can_take() -> None:
    told = Told()
    breaker = Breaker("metriq.scorer", 16, crowded_prefetch=3)
    breaker.steer(told)
    breaker.crowded()
    breaker.crowded()
    for _ in range(AT_EASE - 1):
        breaker.handled()
    assert told.admitted == [16, 3]
    breaker.handled()
    assert told.admitted == [16, 3, 16]
