"""When a service stops since it makes dead letters of what it gets, and how it goes on."""

from __future__ import annotations

import asyncio

import pytest

from metriq_gym.service import breaker
from metriq_gym.service.breaker import LEAST_LETTERS, WINDOW, Breaker
from tests.support.patience import PATIENCE

PREFETCH = 20


class Told:
    """A subscription that writes down how many deliveries it may take."""

    healthy = True
    gone = False
    unsettled_seconds = 0.0

    def __init__(self) -> None:
        self.admitted: list[int] = []

    def admit(self, prefetch: int) -> None:
        self.admitted.append(prefetch)

    async def stop(self) -> None:
        raise AssertionError

    async def until(self, *admitted: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.admitted != list(admitted):  # noqa: ASYNC110
                await asyncio.sleep(0.001)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def closed(told: Told, monkeypatch: pytest.MonkeyPatch) -> Breaker:
    monkeypatch.setattr(breaker, "PAUSES", (0.01, 0.05))
    breaker_ = Breaker("metriq.scorer", PREFETCH)
    breaker_.steer(told)
    return breaker_


def opened(closed: Breaker) -> Breaker:
    for _ in range(LEAST_LETTERS):
        closed.buried()
    return closed


async def test_a_few_letters_are_no_reason_to_stop(closed: Breaker) -> None:
    for _ in range(LEAST_LETTERS - 1):
        closed.buried()
    assert closed.is_closed


async def test_letters_among_as_many_that_were_handled_are_no_reason_to_stop(closed: Breaker) -> None:
    for _ in range(10 * WINDOW):
        closed.handled()
        closed.buried()
    assert closed.is_closed


async def test_what_was_long_ago_does_not_count(closed: Breaker) -> None:
    for _ in range(1000):
        closed.handled()
    for _ in range(WINDOW // 2):
        closed.buried()
    assert closed.is_closed
    closed.buried()
    assert not closed.is_closed
    assert closed.reason.startswith("stopped: 26 of the last 50 messages")


async def test_service_whose_first_messages_all_become_letters_takes_no_more(closed: Breaker, told: Told) -> None:
    opened(closed)
    assert told.admitted == [PREFETCH, 0]
    assert not closed.lets_through
    closed.stop()


async def test_one_message_that_is_handled_lets_the_service_go_on(closed: Breaker, told: Told) -> None:
    opened(closed)
    closed.handled()  # begun before
    assert not closed.is_closed
    await told.until(PREFETCH, 0, 1)
    assert closed.lets_through
    assert not closed.is_closed
    closed.handled()
    await told.until(PREFETCH, 0, 1, PREFETCH)
    opened(closed)  # what was before counts no more, and the first pause is short again
    await told.until(PREFETCH, 0, 1, PREFETCH, 0, 1)


async def test_one_message_that_fails_stops_it_for_longer(closed: Breaker, told: Told) -> None:
    opened(closed)
    await told.until(PREFETCH, 0, 1)
    began = asyncio.get_running_loop().time()
    closed.failed()
    closed.failed()
    await told.until(PREFETCH, 0, 1, 0, 1)
    assert asyncio.get_running_loop().time() - began >= 0.04


async def test_failures_that_are_no_letters_yet_stop_nothing(closed: Breaker) -> None:
    for _ in range(100):
        closed.failed()
    assert closed.is_closed
