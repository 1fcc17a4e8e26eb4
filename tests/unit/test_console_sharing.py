"""However many ask, the work is done for one of them, and never before they asked."""

from __future__ import annotations

import asyncio

import pytest

from services.console.sharing import SharedWork


class Work:
    """Goes on when it is told to, and gives how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Semaphore(0)
        self.began = asyncio.Semaphore(0)

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        self.began.release()
        await self.may_end.acquire()
        return number


async def asked(shared: SharedWork[int], times: int) -> list[asyncio.Task[int]]:
    """Ask so many times at once."""
    tasks = [asyncio.create_task(shared.get()) for _ in range(times)]
    await asyncio.sleep(0)  # each has asked
    return tasks


async def test_those_who_ask_at_once_share_what_is_done() -> None:
    work = Work()
    tasks = await asked(SharedWork(work), 3)
    await work.began.acquire()
    work.may_end.release()
    assert await asyncio.gather(*tasks) == [1, 1, 1]


async def test_those_who_ask_while_it_is_done_share_what_is_begun_after_that() -> None:
    work = Work()
    shared = SharedWork(work)
    first = await asked(shared, 1)
    await work.began.acquire()
    later = await asked(shared, 3)
    work.may_end.release()
    await work.began.acquire()
    work.may_end.release()
    assert await asyncio.gather(*first, *later) == [1, 2, 2, 2]


async def test_one_who_goes_does_not_take_it_from_the_others() -> None:
    work = Work()
    going, staying = await asked(SharedWork(work), 2)
    await work.began.acquire()
    going.cancel()
    work.may_end.release()
    assert await staying == 1


async def test_an_error_is_of_those_who_asked_alone() -> None:
    answers = iter([ValueError("no"), None])

    async def work() -> None:
        if (answer := next(answers)) is not None:
            raise answer

    shared = SharedWork(work)
    with pytest.raises(ValueError, match="no"):
        await shared.get()
    await shared.get()
