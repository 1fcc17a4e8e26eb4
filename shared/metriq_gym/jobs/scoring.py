"""From a job's counts to its result. Runs where no provider and no simulator is installed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from metriq_gym import benchmarks
from metriq_gym.benchmarks.benchmark import BenchmarkResult, RunResult
from metriq_gym.errors import Permanent
from metriq_gym.packing import unpack_counts


@dataclass(frozen=True, slots=True)
class Share:
    """The packed counts of consecutive circuits of one run, the first of them at position `first`."""

    run: int
    first: int
    counts: bytes
    execution_seconds: float | None
    sampling_seconds: float | None = None


def score(
    config: Mapping[str, Any], seed: int, data: Mapping[str, Any], runs: Sequence[int], shares: Iterable[Share]
) -> dict[str, Any]:
    """Return the ``results`` object of the record: every metric, and ``score`` where there is one.

    Raises `Permanent` when a metric is not a finite number, which no JSON document can hold.
    """
    return result_of(config, seed, data, runs, shares).record()


def result_of(
    config: Mapping[str, Any], seed: int, data: Mapping[str, Any], runs: Sequence[int], shares: Iterable[Share]
) -> BenchmarkResult:
    """Return a job's result as its benchmark makes it; raises `Permanent` as `score`."""
    kind = benchmarks.load(config["benchmark_name"])
    benchmark = kind.from_config(config, seed)
    result = benchmark.poll_handler(kind.data_type.model_validate(data), regroup(runs, shares))
    record = result.record()
    try:
        json.dumps(record, allow_nan=False)
    except ValueError as error:
        raise Permanent(f"{config['benchmark_name']} gave a result that JSON cannot hold: {record}") from error
    return result


def regroup(runs: Sequence[int], shares: Iterable[Share]) -> list[RunResult]:
    """Put counts back in the order of the circuits: one `RunResult` per run, each circuit's counts by bitstring.

    `runs` is the number of circuits of each run. Counts of a circuit whose shots were shared out are added up.
    The order of the shares and of the counts in them changes nothing, not even a sum's last digit. Raises
    `Permanent` when a circuit has none.
    """
    counts = [[Counter[str]() for _ in range(circuits)] for circuits in runs]
    seconds: list[list[float]] = [[] for _ in runs]
    sampling: list[list[float]] = [[] for _ in runs]
    for share in shares:
        for position, each in enumerate(unpack_counts(share.counts), start=share.first):
            counts[share.run][position].update(each)
        if share.execution_seconds is not None:
            seconds[share.run].append(share.execution_seconds)
        if share.sampling_seconds is not None:
            sampling[share.run].append(share.sampling_seconds)
    for run, circuits in enumerate(counts):
        if missing := [position for position, each in enumerate(circuits) if not each]:
            raise Permanent(f"no counts for circuits {missing[:10]} of run {run}")
    return [
        RunResult([dict(sorted(each.items())) for each in circuits], *(fsum(each) if each else None for each in spent))
        for circuits, *spent in zip(counts, seconds, sampling, strict=True)
    ]
