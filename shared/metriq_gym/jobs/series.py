"""Which scores may be compared: those of one benchmark on one device with the same of all that the score depends on.

A benchmark's schema declares with ``scoreParameters`` what its score depends on; shots, which only make it more
certain, never are among them. A schema that declares nothing is taken to mean every other parameter but ``seed``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metriq_gym import benchmarks
from metriq_gym.errors import NotFound
from metriq_gym.jobs.documents import Job

KEYWORD = "scoreParameters"
_NEVER = {"benchmark_name", "shots"}
_UNLESS_DECLARED = {"seed"}


@dataclass(frozen=True, slots=True)
class Series:
    """What jobs have in common whose scores may be joined by a line, or told apart by their errors."""

    benchmark: str
    provider: str
    device: str
    parameters: tuple[tuple[str, Any], ...]
    """Name and value, hashable; how circuits are compiled is the last."""

    @property
    def place(self) -> str:
        """Provider and device."""
        return f"{self.provider}/{self.device}"


def score_parameters(benchmark: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the score depends on, with the schema's defaults where a configuration does not say."""
    return _score_parameters(_schema(benchmark), config)


def _schema(benchmark: str) -> Mapping[str, Any]:
    try:
        return benchmarks.schema(benchmark)
    except NotFound:  # of a third party's, whose package is not here
        return {}


def _score_parameters(schema: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    names = schema.get(KEYWORD) or [name for name in {**properties, **config} if name not in _NEVER | _UNLESS_DECLARED]
    defaults = {name: each.get("default") for name, each in properties.items() if isinstance(each, Mapping)}
    return {name: config.get(name, defaults.get(name)) for name in names if name not in _NEVER}


def series_of(job: Job) -> Series:
    """Return the series that a job's score belongs to."""
    return series_of_each([job])[0]


def series_of_each(jobs: Sequence[Job]) -> list[Series]:
    """Return the series of each job; what a benchmark declares is looked up once."""
    schemas = {name: _schema(name) for name in {job.benchmark_name for job in jobs}}
    found = []
    for job in jobs:
        parameters = _score_parameters(schemas[job.benchmark_name], job.config) | {"compilation": job.compilation}
        frozen = tuple((name, _frozen(value)) for name, value in parameters.items())
        found.append(Series(job.benchmark_name, job.provider, job.device, frozen))
    return found


def comparable(jobs: Sequence[Job]) -> bool:
    """Whether the scores of jobs may be compared."""
    return len(set(series_of_each(jobs))) <= 1


def labels(series: Iterable[Series]) -> dict[Series, str]:
    """Return what tells each series of a benchmark from the others: its device, and the parameters that differ."""
    known = list(dict.fromkeys(series))
    values: dict[str, set[Any]] = {}
    for each in known:
        for name, value in each.parameters:
            values.setdefault(name, set()).add(value)
    differing = [name for name, found in values.items() if len(found) > 1]
    return {each: ", ".join([each.place, *_told(each, differing)]) for each in known}


def _told(series: Series, names: Sequence[str]) -> list[str]:
    parameters = dict(series.parameters)
    return [f"{name} {_short(parameters[name])}" for name in names if parameters.get(name) is not None]


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 24 else f"{text[:23]}…"


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple(sorted((key, _frozen(each)) for key, each in value.items()))
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value
