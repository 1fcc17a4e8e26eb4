"""Drift as results come in: the newest values of each series, and what has left its baseline with one more value.

What is kept of a series is bounded. A metric that has drifted begins a new baseline where it did, so that one shift is
found once; a value that comes again, or is older than what is kept, changes nothing.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metriq_gym.jobs.documents import Job
from metriq_gym.jobs.drift import BASELINE, LIMIT, STEP, Point, trend
from metriq_gym.jobs.rows import number_of
from metriq_gym.jobs.series import Series, series_of
from metriq_gym.messages import DeviceDrifted

RECENT = 100
"""Values that are kept of a metric beside its baseline."""
_AT_ONCE = 50
"""Values that are looked at together: of these the first is among what is kept when the last is there."""
METRICS = 200
"""Metrics of a series that are looked at."""
_CALIBRATION = "calibration"
_LARGEST = 1e100

Value = tuple[datetime, float, float | None]
"""When, how much, and its uncertainty."""


class Watched(BaseModel):
    """A series and its newest values."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    id: str = Field(alias="_id")
    revision: int = 0
    since: dict[str, datetime] = {}
    """From when on a metric's values count that has drifted."""
    values: dict[str, list[Value]] = {}
    """Metric → values in the order of time: the baseline and the newest."""
    untold: list[DeviceDrifted] = []
    """Shifts that were found, until they are published."""
    to_notify: list[DeviceDrifted] = []
    """The same until the exporter has a notice of each. Apart from those: an exporter of an earlier version publishes a
    shift, takes it off that list, and leaves this one as it is."""


class Seen(BaseModel):
    """What a job says of a series: a benchmark's result, or the device's calibration."""

    job_id: str
    at: datetime
    provider: str
    device: str
    benchmark: str | None
    parameters: dict[str, Any] = {}
    numbers: dict[str, tuple[float, float | None]]
    changes_only: bool = False
    """Whether values that are all as they were are none."""

    @property
    def series_id(self) -> str:
        """Names the series in the store."""
        words = (self.provider, self.device, self.benchmark or _CALIBRATION, sorted(self.parameters.items()))
        return _digest(*words)


def _digest(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()[:32]


def seen_in(job: Job) -> list[Seen]:
    """Return what a job that has a result says of its series and of its device's calibration."""
    shared = {
        "job_id": job.id,
        "at": job.dispatch_time or job.created_at,
        "provider": job.provider,
        "device": job.device,
    }
    found = [
        Seen(**shared, benchmark=job.benchmark_name, parameters=_named(series_of(job)), numbers=_numbers(job.result)),
        Seen(**shared, benchmark=None, numbers=_numbers(job.device_metadata), changes_only=True),
    ]
    return [each for each in found if each.numbers]


def looked_at(before: Watched | None, seen: Iterable[Seen]) -> Watched | None:
    """Return a series with what was seen of it, and the shifts that shows; None if that changes nothing."""
    after, left = before, [*seen]
    while left:
        some, left = left[:_AT_ONCE], left[_AT_ONCE:]
        together, shifts = _with(after, some)
        if shifts:  # with which value each was found, and how many there are, is told by one after the other
            for each in some:
                after, _ = _with(after, [each])
        else:
            after = together
    return None if after is before else after


def without(watched: Watched | None, *, published: Collection[str] = (), noted: Collection[str] = ()) -> Watched | None:
    """Return the series without what is done with these shifts, by their ids; None if that changes nothing."""
    if watched is None:
        return None
    untold = [each for each in watched.untold if each.drift_id not in published]
    to_notify = [each for each in watched.to_notify if each.drift_id not in noted]
    if (len(untold), len(to_notify)) == (len(watched.untold), len(watched.to_notify)):
        return None
    return watched.model_copy(update={"untold": untold, "to_notify": to_notify})


def _with(before: Watched | None, seen: Sequence[Seen]) -> tuple[Watched | None, Sequence[DeviceDrifted]]:
    """Return a series with what was seen of it, and the shifts that all of that together shows."""
    watched = before or Watched(id=seen[0].series_id)
    values, since, last = dict(watched.values), dict(watched.since), dict[str, Seen]()
    for each in seen:
        if each.changes_only and all(_newest(values, name) == number for name, number in each.numbers.items()):
            continue
        for name, number in each.numbers.items():
            if (points := _added(values.get(name, []), (each.at, *number), since.get(name))) is not None:
                values[name], last[name] = points, each
    if not last:
        return before, ()
    found = list[DeviceDrifted]()
    for name, each in last.items():
        if (drifted := _drift(each, name, values[name])) is not None:
            found.append(drifted)
            since[name] = drifted.since
            values[name] = [value for value in values[name] if value[0] >= drifted.since]
    untold, to_notify = [*watched.untold, *found], [*watched.to_notify, *found]
    changes = {"values": values, "since": since, "untold": untold, "to_notify": to_notify}
    return watched.model_copy(update=changes), found


def _newest(values: Mapping[str, Sequence[Value]], name: str) -> tuple[float, float | None] | None:
    points = values.get(name)
    return None if not points else points[-1][1:]


def _added(before: list[Value], value: Value, since: datetime | None) -> list[Value] | None:
    """Return a metric's values with one more, or None if it is there already or too old to count."""
    at = value[0]
    oldest = since
    if len(before) >= BASELINE:
        oldest = before[BASELINE if len(before) >= BASELINE + RECENT else BASELINE - 1][0]
    if value in before or (oldest is not None and at < oldest):
        return None
    after = list(before)
    insort(after, value, key=lambda each: each[0])
    del after[BASELINE : max(BASELINE, len(after) - RECENT)]
    return after


def _drift(seen: Seen, metric: str, values: list[Value]) -> DeviceDrifted | None:
    found = trend([Point(*each) for each in values])
    if found is None or found.drift is None:
        return None
    drift = found.drift
    at, value, uncertainty = next(each for each in values if each[0] == drift.at)
    return DeviceDrifted(
        drift_id=_digest(seen.series_id, metric, drift.since.isoformat()),
        provider=seen.provider,
        device=seen.device,
        benchmark_name=seen.benchmark,
        parameters=seen.parameters,
        metric=metric,
        found=drift.found,
        since=drift.since,
        at=at,
        value=value,
        uncertainty=uncertainty,
        baseline=found.centre,
        scatter=found.scatter,
        deviation=drift.deviation,
        statistic=drift.statistic,
        threshold=STEP if drift.found == "step" else LIMIT,
        values=len(values),
        values_since=sum(drift.since <= each[0] <= drift.at for each in values),
        found_by=seen.job_id,
    )


def _numbers(found: Mapping[str, Any] | None) -> dict[str, tuple[float, float | None]]:
    numbers = ((name, number_of(each)) for name, each in sorted((found or {}).items()))
    return dict(
        islice(((name, number) for name, number in numbers if number is not None and _is_sane(number)), METRICS)
    )


def _is_sane(number: tuple[float, float | None]) -> bool:
    """Whether its square is a number still."""
    return all(abs(each) < _LARGEST for each in number if each is not None)


def _named(series: Series) -> dict[str, Any]:
    return dict(series.parameters)
