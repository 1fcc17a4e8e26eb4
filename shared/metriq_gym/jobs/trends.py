"""The values over time of each series' metrics and of devices' calibrations, and whether they have drifted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from metriq_gym.jobs.documents import CalibrationPoint, Job
from metriq_gym.jobs.drift import Point, Trend
from metriq_gym.jobs.drift import trend as trend_of
from metriq_gym.jobs.rows import number_of
from metriq_gym.jobs.series import Series, labels, series_of

CALIBRATION = "calibration"
"""The label of what a provider says of a device, which no benchmark found."""


@dataclass(frozen=True, slots=True)
class History:
    """The values of one metric of a series, the oldest first."""

    series: Series
    label: str
    """The benchmark, and what tells the series from others of it."""
    metric: str
    points: tuple[Point, ...]
    trend: Trend | None
    """None while there are too few values."""


def histories(jobs: Iterable[Job], metric: str | None = None) -> list[History]:
    """Return the histories of jobs' metrics, or of one of them; a metric that is a list of numbers has none."""
    points: dict[tuple[Series, str], list[Point]] = {}
    for job in jobs:
        for name, found in (job.result or {}).items():
            if (number := number_of(found)) is not None and metric in (None, name):
                point = Point(job.dispatch_time or job.created_at, *number)
                points.setdefault((series_of(job), name), []).append(point)
    of_benchmark: dict[str, list[Series]] = {}
    for series, _ in points:
        of_benchmark.setdefault(series.benchmark, []).append(series)
    named = {each: label for same in of_benchmark.values() for each, label in labels(same).items()}
    made = []
    for (series, name), values in points.items():
        ordered = tuple(sorted(values, key=lambda each: each.at))
        made.append(History(series, f"{series.benchmark}, {named[series]}", name, ordered, trend_of(ordered)))
    return sorted(made, key=lambda each: (each.label, each.metric))


def calibrated(
    provider: str, device: str, calibrations: Iterable[CalibrationPoint], metric: str | None = None
) -> list[History]:
    """Return the history of each number of a device's calibrations: a value each time that a calibration changed."""
    points: dict[str, list[Point]] = {}
    for each in calibrations:
        for name, found in each.metadata.items():
            if (number := number_of(found)) is not None and metric in (None, name):
                points.setdefault(name, []).append(Point(each.at, *number))
    series = Series("", provider, device, ())
    label = f"{CALIBRATION}, {series.place}"
    return [History(series, label, name, tuple(values), trend_of(values)) for name, values in sorted(points.items())]
