"""A result that cannot be written down is a failure, not a record that nobody can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from metriq_gym import benchmarks
from metriq_gym.benchmarks.benchmark import Benchmark, BenchmarkData, BenchmarkDevice, BenchmarkResult, RunResult
from metriq_gym.errors import Permanent
from metriq_gym.jobs.scoring import Share, regroup, score
from metriq_gym.packing import pack_counts


@dataclass
class Ratio(BenchmarkResult):
    ratio: float


class Broken(Benchmark[Any, BenchmarkData]):
    def dispatch_handler(self, device: BenchmarkDevice) -> BenchmarkData:
        raise NotImplementedError

    def poll_handler(self, job_data: BenchmarkData, result_data: Sequence[RunResult]) -> Ratio:
        return Ratio(float("nan"))


def test_a_metric_that_is_not_a_number_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks, "load", lambda _: Broken)
    with pytest.raises(Permanent, match=r"Broken gave a result .* nan"):
        score({"benchmark_name": "Broken"}, 0, {}, [1], [Share(0, 0, pack_counts([{"0": 1}]), None)])


def test_a_circuit_without_counts_is_named() -> None:
    with pytest.raises(Permanent, match=r"circuits \[1\] of run 0"):
        regroup([2], [Share(0, 0, pack_counts([{"0": 1}]), None)])
