"""The pauses between submissions that a provider refuses for now."""

from __future__ import annotations

import random

import pytest

from services.dispatcher.patience import FIRST_PAUSE, LONGEST_PAUSE, SHORTEST_PAUSE, Patience


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


def test_a_single_refusal_costs_what_the_provider_asks_for_and_no_more() -> None:
    patience = Patience(Clock())
    for asked in (1.0, 0.0, 7.0):
        assert patience.refused(asked) == asked
        patience.accepted(0.3)


def test_pauses_grow_only_while_nothing_goes_through() -> None:
    patience = Patience(Clock())
    assert [patience.refused(1.0) for _ in range(9)] == [1, 1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE]
    patience.accepted(0.3)
    assert patience.refused(1.0) == 1


@pytest.mark.parametrize(
    ("took", "pause"), [(0.0, SHORTEST_PAUSE), (0.1, 0.1), (0.45, 0.45), (20.0, FIRST_PAUSE)], ids=str
)
def test_where_nothing_is_asked_for_the_pause_is_as_long_as_a_submission_takes(took: float, pause: float) -> None:
    patience = Patience(Clock())
    assert patience.refused(None) == FIRST_PAUSE  # nothing is known yet
    patience.accepted(took)
    patience.accepted(took)
    assert [patience.refused(None) for _ in range(4)] == [pause, 2 * pause, 4 * pause, 8 * pause]


async def test_a_service_of_one_submission_a_second_refuses_little_more_than_twice_for_each() -> None:
    """It takes 10 ms and says nothing of when to come again: what helped last is not found out anew each time."""
    clock = Clock()
    patience, free_at, refusals = Patience(clock, clock.sleep), 0.0, 0
    for _ in range(100):
        while True:
            await patience.wait()
            await clock.sleep(0.01)
            if clock() >= free_at:
                free_at = clock() + 1
                patience.accepted(0.01)
                break
            refusals += 1
            patience.refused(None)
    assert refusals <= 220


async def seconds_for(circuits: int, each: float, refused: float, retry_after: float | None) -> float:
    """How long it takes to submit circuits one after the other, in virtual time; a share is refused, by a seed."""
    clock, draw = Clock(), random.Random(13)
    patience, began = Patience(clock, clock.sleep), clock()
    for _ in range(circuits):
        while True:
            await patience.wait()
            await clock.sleep(each)
            if draw.random() >= refused:
                patience.accepted(each)
                break
            patience.refused(retry_after)
    return clock() - began


@pytest.mark.parametrize(
    ("each", "retry_after"),
    [(0.02, None), (0.05, None), (0.1, None), (0.2, None), (0.45, None), (2.0, None), (0.45, 1.0)],
)
async def test_a_fifth_of_refusals_costs_less_than_the_time_of_a_clean_run(
    each: float, retry_after: float | None
) -> None:
    clean = await seconds_for(100, each, 0.0, retry_after)
    assert await seconds_for(100, each, 0.2, retry_after) < 2 * clean


@pytest.mark.parametrize("each", [0.02, 0.1])
async def test_where_a_service_asks_for_more_than_twice_the_time_the_pauses_are_what_it_asks_for(each: float) -> None:
    """25 refusals of 100 circuits ask for a second each, and cost a submission each: that is the floor."""
    refused = await seconds_for(100, each, 0.2, 1.0)
    told_apart = await seconds_for(100, each, 0.2, 0.0)
    assert refused > 2 * await seconds_for(100, each, 0.0, 1.0)
    assert refused - told_apart < 1.25 * 25 * 1.0


async def test_refusals_cost_what_was_asked_for_and_hardly_more() -> None:
    without_pauses = await seconds_for(100, 0.2, 0.2, 0.0)
    refusals = 100 * 0.2 / 0.8
    assert await seconds_for(100, 0.2, 0.2, 1.0) - without_pauses < 1.25 * refusals


def test_a_pause_is_never_shorter_than_asked_for() -> None:
    patience = Patience(Clock())
    patience.refused(None)
    assert patience.refused(600.0) == 600


async def test_all_who_submit_wait_for_the_longest_pause_that_was_asked_for() -> None:
    clock = Clock()
    patience = Patience(clock, clock.sleep)
    patience.refused(30.0)
    patience.accepted(0.3)
    patience.refused(1.0)
    await patience.wait()
    assert clock.slept == [30.0]
    assert patience.seconds_left == 0
