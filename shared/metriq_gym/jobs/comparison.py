"""Comparing two jobs of one benchmark: each metric's difference, in units of its error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from metriq_gym.errors import Permanent
from metriq_gym.jobs.documents import Job
from metriq_gym.jobs.series import series_of


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric of two jobs."""

    metric: str
    first: float
    first_error: float | None
    """Its standard uncertainty; None where none is known."""
    second: float
    second_error: float | None
    comparable: bool = True
    """Whether the two are of one series, but for their devices."""

    @property
    def value(self) -> float:
        """By how much the second is more than the first."""
        return self.second - self.first

    @property
    def error(self) -> float | None:
        """The difference's standard uncertainty, the two taken as independent; None where one is not known."""
        if self.first_error is None or self.second_error is None:
            return None
        return math.hypot(self.first_error, self.second_error)

    @property
    def in_errors(self) -> float | None:
        """The difference in units of its error; None where that is unknown or nothing, or the two mean other things."""
        return self.value / self.error if self.error and self.comparable else None


def compare(first: Job, second: Job) -> list[Difference]:
    """Return how the metrics that both jobs have differ; raises `Permanent` when the jobs cannot be compared."""
    for job in (first, second):
        if not job.result:
            raise Permanent(f"job {job.id} is {job.state}: it has no result to compare")
    if first.benchmark_name != second.benchmark_name:
        raise Permanent(
            f"job {first.id} is of {first.benchmark_name} and job {second.id} of {second.benchmark_name}: "
            "their metrics mean different things"
        )
    others = dict(_metrics(second))
    same = not incomparable(first, second)
    return [Difference(name, *found, *others[name], same) for name, found in _metrics(first) if name in others]


def incomparable(first: Job, second: Job) -> list[str]:
    """Return the names of what the score depends on and the two jobs do not share; their devices may differ."""
    values = [dict(series_of(job).parameters) for job in (first, second)]
    return [name for name in {**values[0], **values[1]} if values[0].get(name) != values[1].get(name)]


def other_parameters(first: Job, second: Job) -> dict[str, tuple[Any, Any]]:
    """Return the parameters that the two jobs do not share, with the value of each; None where one has none."""
    names = dict.fromkeys([*first.config, *second.config])
    values = {name: (first.config.get(name), second.config.get(name)) for name in names}
    return {name: (one, other) for name, (one, other) in values.items() if one != other}


def _metrics(job: Job) -> Iterator[tuple[str, tuple[float, float | None]]]:
    for name, found in (job.result or {}).items():
        value, error = (found.get("value"), found.get("uncertainty")) if isinstance(found, Mapping) else (found, None)
        if _is_number(value):
            yield name, (value, error if _is_number(error) else None)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
