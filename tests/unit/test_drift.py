"""Drift: when values over time have left their baseline, how often that is a false alarm, how late a true one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest

from metriq_gym.jobs.documents import CalibrationPoint
from metriq_gym.jobs.drift import BASELINE, IN_A_ROW, Point, Trend, trend
from metriq_gym.jobs.trends import calibrated, histories
from tests.support.jobs import ended_job

PAGE = Path(__file__).parents[2] / "docs" / "trends.md"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NIGHTS, AFTER, SERIES = 365, 100, 200
"""A series is a year of nights; what is to be found begins so many nights after the baseline."""


def points(values: Sequence[float], uncertainty: float | None = None) -> list[Point]:
    return [Point(BEGIN + timedelta(days=day), value, uncertainty) for day, value in enumerate(values)]


def quiet(chance: random.Random, nights: int = NIGHTS) -> list[float]:
    """Of variance 1: what the uncertainty of 0.6 says, and what the device adds."""
    return [chance.gauss(0, 0.8) + chance.gauss(0, 0.6) for _ in range(nights)]


def found(values: Sequence[float]) -> Trend:
    seen = trend(points(values, 0.6))
    assert seen is not None
    return seen


def delays(shift: float, slope: float = 0.0) -> list[float]:
    """Nights from the first that is off to the one that it was found with; a year where it was not."""
    chance, begin = random.Random(17), BASELINE + AFTER
    late: list[float] = []
    for _ in range(SERIES):
        values = [
            value + (shift + slope * (night - begin) if night >= begin else 0.0)
            for night, value in enumerate(quiet(chance))
        ]
        drift = found(values).drift
        late.append(NIGHTS if drift is None else (drift.at - BEGIN).days - begin + 1)
    return late


def delay_row(what: str, shift: float, slope: float = 0.0) -> str:
    late = [each for each in delays(shift, slope) if each > 0]
    cuts = quantiles(late, n=20, method="inclusive")
    return f"| {what} | {cuts[9]:.0f} | {cuts[18]:.0f} |"


def alarms(outliers: float) -> str:
    chance, count = random.Random(7), 0
    for _ in range(2 * SERIES):
        values = [
            value + (chance.choice((-10, 10)) if outliers and chance.random() < outliers else 0)
            for value in quiet(chance)
        ]
        count += found(values).drift is not None
    return f"{count} of {2 * SERIES}"


@pytest.mark.slow
def test_the_page_has_the_rate_of_false_alarms_and_the_delays_that_are_simulated() -> None:
    page = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [
        f"| stationary | {alarms(0)} |",
        f"| stationary, every fiftieth night off by 10 σ | {alarms(0.02)} |",
        *(delay_row(f"a step of {size:g} σ", size) for size in (1.5, 2, 3, 5, 8)),
        delay_row("0.02 σ a night", 0, 0.02),
        delay_row("0.1 σ a night", 0, 0.1),
    ]
    assert [row for row in rows if row not in page] == []


def test_fewer_values_than_a_baseline_and_one_say_nothing() -> None:
    assert trend(points([1.0] * BASELINE)) is None
    assert trend(points([1.0] * (BASELINE + 1))) == Trend(1.0, 0.0, None)


def test_a_step_is_found_with_its_third_value_and_dated_to_its_first() -> None:
    values = quiet(random.Random(1), 60) + [-20.0] * IN_A_ROW
    drift = found(values).drift
    assert drift is not None
    assert (drift.found, (drift.since - BEGIN).days, (drift.at - BEGIN).days) == ("step", 60, 62)
    assert drift.deviation < -10
    assert found(values[:-1]).drift is None


@pytest.mark.parametrize("off", [(50.0,), (50.0, 50.0), (50.0, -50.0, 50.0)], ids=str)
def test_single_nights_however_bad_are_no_drift(off: tuple[float, ...]) -> None:
    assert found(quiet(random.Random(1), 60) + [*off] + [0.0] * 20).drift is None


def test_bad_nights_in_the_baseline_change_little() -> None:
    values = quiet(random.Random(5), 200)
    spoilt = [100.0 if night % 7 == 3 and night < BASELINE else value for night, value in enumerate(values)]
    assert found(spoilt).centre == pytest.approx(found(values).centre, abs=0.5)
    assert found(spoilt).drift is None
    assert found([*spoilt[:60], *[20.0] * IN_A_ROW]).drift is not None


def test_an_uncertain_value_counts_for_less() -> None:
    values = quiet(random.Random(1), 60)
    certain = [*points(values, 0.6), *points([0.0] * 60 + [8.0] * 4, 0.6)[60:]]
    uncertain = [*certain[:60], *(Point(each.at, each.value, 8.0) for each in certain[60:])]
    sure, unsure = trend(certain), trend(uncertain)
    assert sure is not None and sure.drift is not None  # noqa: PT018
    assert unsure is not None and unsure.drift is None  # noqa: PT018


def test_values_that_never_change_have_drifted_once_they_do() -> None:
    seen = trend(points([4.0] * 40 + [5.0] * IN_A_ROW))
    assert seen is not None
    assert seen.drift is not None


def of_night(night: int, **changes: Any) -> Any:
    return ended_job(f"job-{night}", dispatch_time=BEGIN + timedelta(days=night), **changes)


def test_only_what_may_be_compared_is_one_history() -> None:
    short = {"benchmark_name": "WIT", "num_qubits": 6, "shots": 10}
    jobs = [
        of_night(2),
        of_night(1, config={"benchmark_name": "WIT", "num_qubits": 7, "shots": 100}),
        of_night(3, config=short),
        of_night(4, device="other", result={"score": 0.5, "list": [1.0]}),
        of_night(5, result=None),
    ]
    made = [(each.series.device, each.metric, len(each.points)) for each in histories(jobs, "score")]
    assert sorted(made) == [("homebrew_s2", "score", 1), ("homebrew_s2", "score", 2), ("other", "score", 1)]
    assert {each.metric for each in histories(jobs)} == {"score", "expectation_value"}
    two = next(each for each in histories(jobs, "score") if len(each.points) == 2)
    assert [point.at.day for point in two.points] == [2, 3]  # in the order of time, and shots make no other series
    assert two.trend is None


def test_each_number_of_a_calibration_is_a_series() -> None:
    found = [
        CalibrationPoint(
            at=each.at,
            metadata={"T1_us": 50 + each.value, "SQ": 0.001, "dry": True, "flags": ["x"]},
        )
        for each in points([*quiet(random.Random(1), 40), *[-20.0] * IN_A_ROW])
    ]
    made = {each.metric: each for each in calibrated("tyxonq", "homebrew_s2", found)}
    assert made.keys() == {"T1_us", "SQ"}
    assert made["T1_us"].trend is not None
    assert made["T1_us"].trend.drift is not None
    assert made["SQ"].trend == Trend(0.001, 0.0, None)
    assert [each.metric for each in calibrated("tyxonq", "homebrew_s2", found, "SQ")] == ["SQ"]
