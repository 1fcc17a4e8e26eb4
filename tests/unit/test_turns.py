"""Whose turn it is to get a worker."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from metriq_gym.service.turns import LANE, Turns


async def _asks(turns: Turns[str], order: list[int], lane: int) -> None:
    LANE.set(lane)
    thing = await turns.get()
    order.append(lane)
    turns.put(thing)


async def _place_of_one_who_comes_late(turns: Turns[str], order: list[int], held: list[asyncio.Task[None]]) -> int:
    late = asyncio.create_task(_asks(turns, order, 0))
    await asyncio.sleep(0)
    turns.put("worker")
    await asyncio.gather(late, *held)
    return order.index(0)


async def test_lanes_get_a_thing_by_turns() -> None:
    turns, order = Turns[str](), list[int]()
    async with asyncio.TaskGroup() as asking:
        for lane in [3] * 5 + [0] * 2 + [1]:
            asking.create_task(_asks(turns, order, lane))
        await asyncio.sleep(0)
        turns.put("worker")
    assert order == [3, 0, 1, 3, 0, 3, 3, 3]


async def test_one_who_comes_late_in_a_lane_of_few_waits_for_one_turn() -> None:
    turns, order = Turns[str](), list[int]()
    held = [asyncio.create_task(_asks(turns, order, 3)) for _ in range(10)]
    await asyncio.sleep(0)
    assert await _place_of_one_who_comes_late(turns, order, held) == 1


async def test_what_is_free_is_lent_at_once_the_last_given_back_first() -> None:
    turns = Turns[str]()
    turns.put("first")
    turns.put("second")
    assert [await turns.get(), await turns.get()] == ["second", "first"]


async def test_who_gave_up_waiting_costs_the_next_of_its_lane_no_turn() -> None:
    turns, order = Turns[str](), list[int]()
    held = [asyncio.create_task(_asks(turns, order, 3)) for _ in range(10)]
    gave_up = [asyncio.create_task(_asks(turns, order, 0)) for _ in range(5)]
    await asyncio.sleep(0)
    for each in gave_up:
        each.cancel()
    await asyncio.sleep(0)
    assert await _place_of_one_who_comes_late(turns, order, held) == 1


async def test_nothing_is_lost_to_one_who_gave_up_waiting() -> None:
    turns = Turns[str]()
    gave_up, too_late = asyncio.create_task(turns.get()), asyncio.create_task(turns.get())
    await asyncio.sleep(0)
    gave_up.cancel()
    await asyncio.sleep(0)
    turns.put("worker")
    too_late.cancel()  # it has been lent, and not heard of it
    with suppress(asyncio.CancelledError):
        await too_late
    assert await turns.get() == "worker"
