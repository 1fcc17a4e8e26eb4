"""When a poller keeps away from a provider, how many tasks it takes on, and when it asks for an overview."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metriq_gym.errors import Transient
from metriq_gym.providers.provider import Overview
from services.poller.pacing import PollingPace, ProviderBreaker
from services.poller.survey import SHARE, Survey


@dataclass
class Clock:
    """Seconds that pass when told to."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_each_failure_in_a_row_doubles_the_pause_up_to_a_bound() -> None:
    clock = Clock()
    breaker, pauses = ProviderBreaker(clock, first_seconds=1, max_seconds=60), []
    for _ in range(40):
        breaker.failed(None)
        pauses.append(breaker.seconds_left)
        clock.seconds += pauses[-1]
        assert breaker.seconds_left == 0
    assert pauses[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(pauses[7:]) == {60}


def test_a_success_makes_the_next_pause_short_again() -> None:
    breaker = ProviderBreaker(Clock())
    for _ in range(5):
        breaker.failed(None)
    breaker.succeeded()
    clock = Clock()
    again = ProviderBreaker(clock)
    again.failed(None)
    again.succeeded()
    clock.seconds += 1
    again.failed(None)
    assert again.seconds_left == 1


def test_a_pause_that_the_provider_asks_for_is_kept_even_if_it_is_long() -> None:
    clock = Clock()
    breaker = ProviderBreaker(clock, max_seconds=60)
    breaker.failed(600)
    clock.seconds += 599
    assert breaker.seconds_left == pytest.approx(1)


def test_batches_grow_while_they_are_quick_and_shrink_when_they_are_slow() -> None:
    pace, sizes = PollingPace(seconds=2), []
    for _ in range(10):
        pace.took(pace.size, 0.01)
        sizes.append(pace.size)
    assert sizes[:3] == [16, 32, 64]
    assert sizes[-1] == PollingPace.MOST
    pace.took(1000, 10)  # a hundred a second
    assert pace.size == 200
    pace.stumbled()
    assert pace.size == PollingPace.LEAST


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 1e6))))
def test_batches_stay_within_their_bounds(batches: list[tuple[int, float]]) -> None:
    pace = PollingPace(seconds=2)
    for tasks, seconds in batches:
        pace.took(tasks, seconds)
        assert PollingPace.LEAST <= pace.size <= PollingPace.MOST


@dataclass
class Listing:
    """A provider whose overview takes a while."""

    clock: Clock
    waiting: frozenset[str] = frozenset({"w"})
    ended: frozenset[str] = frozenset()
    takes: float = 0.0
    error: Transient | None = None
    asked: int = field(default=0)

    async def overview(self) -> Overview:
        self.asked += 1
        self.clock.seconds += self.takes
        if self.error:
            raise self.error
        return Overview(self.waiting, self.ended)


def survey(listing: Listing) -> Survey:
    return Survey(listing, listing.clock, least_seconds=5, most_seconds=60)  # type: ignore[arg-type]


@pytest.mark.parametrize(("takes", "serves"), [(0.0, 5), (0.5, SHARE * 0.5), (30, 60)])
async def test_an_overview_serves_the_longer_the_more_it_costs(takes: float, serves: float) -> None:
    listing = Listing(Clock(), takes=takes)
    looking = survey(listing)
    assert looking.due
    await looking.take()
    assert looking.serves_seconds == serves
    listing.clock.seconds += serves - 0.01
    assert not looking.due
    listing.clock.seconds += 0.02
    assert looking.due
    assert looking.shows_waiting("w")
    looking.forget()
    assert not looking.shows_waiting("w")


async def test_what_has_ended_is_reported_once() -> None:
    listing = Listing(Clock(), ended=frozenset({"a"}))
    looking = survey(listing)
    assert await looking.take() == {"a"}
    listing.ended = frozenset({"a", "b"})
    assert await looking.take() == {"b"}
    assert not looking.shows_waiting("a")


async def test_after_a_failure_nothing_is_known_and_the_next_overview_is_asked_for_later_each_time() -> None:
    listing = Listing(Clock())
    looking = survey(listing)
    await looking.take()
    listing.error = Transient("away")
    for pause in (5, 10, 20, 40, 60, 60):
        with pytest.raises(Transient, match="away"):
            await looking.take()
        assert not looking.shows_waiting("w")
        listing.clock.seconds += pause - 0.01
        assert not looking.due
        listing.clock.seconds += 0.02
        assert looking.due
    listing.error = None
    await looking.take()
    assert looking.shows_waiting("w")
