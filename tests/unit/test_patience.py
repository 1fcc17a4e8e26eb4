"""The pauses between submissions that a provider refuses for now."""

from __future__ import annotations

from services.dispatcher.patience import LONGEST_PAUSE, Patience


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
        patience.accepted()


def test_pauses_grow_only_while_nothing_goes_through() -> None:
    patience = Patience(Clock())
    assert [patience.refused(1.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE]
    patience.accepted()
    assert patience.refused(1.0) == 1


def test_a_pause_is_never_shorter_than_asked_for() -> None:
    patience = Patience(Clock())
    patience.refused(None)
    assert patience.refused(600.0) == 600


async def test_all_who_submit_wait_for_the_longest_pause_that_was_asked_for() -> None:
    clock = Clock()
    patience = Patience(clock, clock.sleep)
    patience.refused(30.0)
    patience.accepted()
    patience.refused(1.0)
    await patience.wait()
    assert clock.slept == [30.0]
    assert patience.seconds_left == 0
