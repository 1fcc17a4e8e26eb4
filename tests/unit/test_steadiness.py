"""The store's clock is trusted about the age of a submission only while it goes as the process's own does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf

import pytest

from services.dispatcher.steadiness import TOLERATED_SECONDS, Steadiness

BEGAN = datetime(2026, 11, 28, 12, tzinfo=UTC)


class Clocks:
    """Two that go together until one is set."""

    def __init__(self) -> None:
        self.own = 1000.0
        self.server = BEGAN
        self.steadiness = Steadiness(lambda: self.own)

    def compare(self, after: float = 0.0, *, set_by: float = 0.0) -> float:
        self.own += after
        self.server += timedelta(seconds=after + set_by)
        self.steadiness.compare(self.server)
        return self.steadiness.seconds


def test_a_clock_is_trusted_as_long_as_nothing_speaks_against_it() -> None:
    clocks = Clocks()
    assert [clocks.compare(), clocks.compare(60), clocks.compare(60, set_by=TOLERATED_SECONDS - 0.1)] == 3 * [inf]


def test_clocks_may_drift_apart_in_a_long_time() -> None:
    clocks = Clocks()
    clocks.compare()
    assert clocks.compare(86400, set_by=60) == inf


@pytest.mark.parametrize("seconds", [8 * 86400, -3600, 90])
def test_a_clock_that_was_set_is_not_trusted_about_the_time_before(seconds: float) -> None:
    clocks = Clocks()
    clocks.compare()
    assert clocks.compare(1, set_by=seconds) == 0
    assert clocks.compare(30) == 30
    assert clocks.compare(60) == 90
