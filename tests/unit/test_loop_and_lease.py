"""Loops come round, wake up and say when they are stuck; leases are renewed while work goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from metriq_gym.errors import LeaseLost, Transient
from metriq_gym.service.lease import held
from metriq_gym.service.loop import Loop
from tests.support.patience import PATIENCE

LONG = 600


async def test_a_loop_comes_round_at_once_when_woken_and_stops_between_calls() -> None:
    calls: asyncio.Queue[None] = asyncio.Queue()

    async def body() -> None:
        calls.put_nowait(None)

    loop = Loop("test", body, LONG)
    loop.start()
    async with asyncio.timeout(PATIENCE):
        for _ in range(3):
            await calls.get()
            loop.wake()
        await loop.stop()
    assert not await loop.alive()


async def test_a_passing_failure_does_not_end_a_loop_and_any_other_does() -> None:
    failures: list[Exception] = [Transient("away"), ValueError("bug")]
    called = asyncio.Event()

    async def body() -> None:
        called.set()
        raise failures.pop(0)

    loop = Loop("test", body, LONG)
    loop.start()
    await called.wait()
    await asyncio.sleep(0)
    assert await loop.alive()
    loop.wake()
    assert loop.task is not None
    with pytest.raises(ValueError, match="bug"):
        await loop.task
    assert not await loop.alive()


async def test_a_loop_that_does_not_come_round_is_not_alive() -> None:
    go_on = asyncio.Event()

    async def body() -> None:
        await go_on.wait()

    loop = Loop("test", body, pause_seconds=LONG, patience=0.2 - LONG)
    loop.start()
    async with asyncio.timeout(PATIENCE):
        await asyncio.sleep(0)
        assert await loop.alive()
        while await loop.alive():  # noqa: ASYNC110  (time has to pass)
            await asyncio.sleep(0.01)
        go_on.set()
        await loop.stop()


async def test_a_lease_is_renewed_as_long_as_the_work_takes() -> None:
    renewed = asyncio.Semaphore(0)

    async def renew() -> None:
        renewed.release()

    async def work() -> str:
        for _ in range(3):
            await renewed.acquire()
        return "done"

    async with asyncio.timeout(PATIENCE):
        assert await held(work(), renew, 0.03) == "done"


@pytest.mark.parametrize(("failure", "goes_on"), [(LeaseLost("lost"), False), (Transient("store away"), True)])
async def test_losing_the_lease_ends_the_work_and_a_store_that_is_away_does_not(
    failure: Exception, goes_on: bool
) -> None:
    asked = asyncio.Event()
    ended: list[str] = []

    async def renew() -> None:
        asked.set()
        raise failure

    async def work() -> str:
        try:
            await asked.wait()
            await asyncio.sleep(0.05 if goes_on else LONG)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "done"

    async def outcome() -> Any:
        async with asyncio.timeout(PATIENCE):
            return await held(work(), renew, 0.03)

    if goes_on:
        assert await outcome() == "done"
    else:
        with pytest.raises(LeaseLost):
            await outcome()
        await asyncio.sleep(0)
        assert ended == ["cancelled"]


async def test_when_held_work_is_cancelled_it_has_ended_before_anyone_else_goes_on() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0.01)
            ended.append("work")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await held(work(), lambda: asyncio.sleep(0), LONG)
    assert ended == ["work"]


async def test_cutting_the_stop_of_a_loop_short_cancels_the_call_in_progress() -> None:
    started = asyncio.Event()

    async def body() -> None:
        started.set()
        await asyncio.sleep(LONG)

    loop = Loop("test", body, LONG)
    loop.start()
    await started.wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(loop.stop(), 0.05)
    assert loop.task is not None
    assert loop.task.cancelled()


async def test_an_error_of_the_work_is_the_callers_error() -> None:
    async def work() -> None:
        raise ValueError("bug")

    with pytest.raises(ValueError, match="bug"):
        await held(work(), lambda: asyncio.sleep(0), 1)
