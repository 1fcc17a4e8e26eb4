"""The rate at which a credential asks settles below what the service answers, and recovers."""

from __future__ import annotations

import asyncio
import math

import pytest

from metriq_gym.providers.tyxonq.pace import LEAST, Pace


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


def paced() -> tuple[Pace, Clock]:
    clock = Clock()
    return Pace(clock, clock.sleep), clock


async def test_nothing_waits_until_the_service_asks_for_patience() -> None:
    pace, clock = paced()
    for _ in range(100):
        await pace.turn()
        pace.answered()
    assert clock.seconds == 1000.0
    assert pace.per_second == math.inf


@pytest.mark.parametrize("limit", [1.0, 5.0, 50.0])
async def test_the_rate_settles_near_what_the_service_answers(limit: float) -> None:
    """The service answers `limit` requests a second, each in 10 ms, and refuses the others."""
    pace, clock = paced()
    answered, refused, quiet_until = 0, 0, 0.0
    started = clock.seconds
    while clock.seconds < started + 120:
        sent = await pace.turn()
        clock.seconds += 0.01
        if clock.seconds >= quiet_until:
            quiet_until = clock.seconds + 1 / limit
            answered += 1
            pace.answered()
        else:
            refused += 1
            pace.slow_down(sent)
    assert answered >= 0.5 * limit * 120
    assert refused <= 0.5 * answered


async def test_what_was_under_way_when_the_rate_fell_does_not_lower_it_again() -> None:
    pace, clock = paced()
    sent = [await pace.turn() for _ in range(8)]
    clock.seconds += 0.1
    pace.slow_down(sent[0])
    once = pace.per_second
    for each in sent:
        pace.slow_down(each)
    assert pace.per_second == once == 4


async def test_the_rate_never_falls_to_nothing_and_grows_again_without_end() -> None:
    pace, _clock = paced()
    for _ in range(50):
        pace.slow_down(await pace.turn())
    assert pace.per_second == LEAST
    for _ in range(1_000_000):
        await pace.turn()
        pace.answered()
        if pace.per_second == math.inf:
            break
    assert pace.per_second == math.inf
