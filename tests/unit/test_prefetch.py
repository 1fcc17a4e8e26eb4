"""How many tasks a poller claims: as many as it has workers, and early those that are short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.poller.prefetch import MIXED_SECONDS, MOST, SECONDS, Prefetch

SECONDS_OF_A_TASK = st.floats(min_value=0, max_value=1e4)


def after(workers: int, *took: float) -> Prefetch:
    prefetch = Prefetch(workers)
    for seconds in took:
        prefetch.took(seconds)
    return prefetch


@pytest.mark.parametrize("workers", [1, 4])
def test_before_anything_is_known_it_is_one_task_for_each_worker(workers: int) -> None:
    assert [Prefetch(workers).room(in_hand) for in_hand in range(workers + 1)] == [*range(workers, 0, -1), 0]


@pytest.mark.parametrize(("seconds", "room"), [(600.0, 1), (SECONDS, 1), (0.04, 2), (0.02, 5), (0.001, 8), (0.0, 8)])
def test_as_many_as_are_done_in_a_tenth_of_a_second(seconds: float, room: int) -> None:
    assert after(1, *[seconds] * 16).room(0) == room
    assert after(4, *[seconds] * 16).room(0) == 4 * room


def test_a_few_are_claimed_only_for_a_worker_that_has_nothing_to_do() -> None:
    prefetch = after(2, *[0.001] * 16)
    assert [prefetch.room(in_hand) for in_hand in (0, 1, 2, 7, 8, 12, 16, 40)] == [16, 15, 14, 9, 0, 0, 0, 0]


def test_what_waited_in_vain_ends_it_until_enough_were_short_again() -> None:
    prefetch = after(1, *[0.001] * 16)
    prefetch.stumbled()
    rooms = []
    for _ in range(16):
        rooms.append(prefetch.room(0))
        prefetch.took(0.001)
    assert rooms[:8] == [1] * 8
    assert rooms == sorted(rooms)
    assert prefetch.room(0) == 1 + MOST


def test_none_is_claimed_early_while_some_pass_by_others_that_wait_in_lanes() -> None:
    clock = [0.0]
    prefetch = Prefetch(1, now=lambda: clock[0])
    for _ in range(16):
        prefetch.took(0.001)
    rooms = []
    for seconds, lanes in [(0, [2, 3]), (5, [0]), (0, [0, 0]), (0, [1]), (0, [2]), (MIXED_SECONDS, [2]), (9, [2, 0])]:
        clock[0] += seconds
        rooms.append(prefetch.room(0))
        prefetch.claimed(lanes)
    assert rooms == [8, 8, 8, 8, 1, 8, 8]
    assert prefetch.room(0) == 1
    assert prefetch.room(1) == 0


@given(st.integers(1, 64), st.lists(SECONDS_OF_A_TASK, max_size=40), st.integers(0, 2000))
def test_a_worker_has_always_something_to_do_and_never_too_much(workers: int, took: list[float], in_hand: int) -> None:
    room = after(workers, *took).room(in_hand)
    assert room >= workers - in_hand
    assert in_hand + room <= max(in_hand, workers * (1 + MOST))
    assert room >= 0
