"""Which scores may be compared: one benchmark, one device, and the same of what the score depends on."""

from __future__ import annotations

from typing import Any

import pytest

from metriq_gym import benchmarks
from metriq_gym.constants import JobType
from metriq_gym.jobs.series import KEYWORD, comparable, labels, score_parameters, series_of
from tests.support.jobs import ended_job


def wit(name: str = "a", **changes: Any) -> Any:
    config = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 1000} | changes.pop("config", {})
    return ended_job(name, config=config, **changes)


@pytest.mark.parametrize("name", JobType)
def test_each_benchmark_declares_what_its_score_depends_on(name: JobType) -> None:
    schema = benchmarks.schema(name)
    declared = schema[KEYWORD]
    assert declared
    assert set(declared) <= schema["properties"].keys() - {"benchmark_name", "shots"}


def test_shots_make_a_score_more_certain_and_no_other() -> None:
    assert comparable([wit("a", config={"shots": 10}), wit("b", config={"shots": 100_000})])


@pytest.mark.parametrize(
    "other",
    [
        {"config": {"num_qubits": 6}},
        {"device": "other"},
        {"provider": "local"},
        {"compilation": "best"},
        {"benchmark_name": "QML Kernel"},
    ],
)
def test_scores_of_other_devices_and_problems_are_not_compared(other: dict[str, Any]) -> None:
    assert not comparable([wit(), wit("b", **other)])


def test_what_a_configuration_leaves_out_is_its_default() -> None:
    assert score_parameters("WIT", {}) == score_parameters("WIT", {"num_qubits": 6}) == {"num_qubits": 6}


def test_a_whole_number_is_the_same_however_it_is_written() -> None:
    assert comparable([wit(config={"num_qubits": 7}), wit("b", config={"num_qubits": 7.0})])


def test_of_a_benchmark_that_declares_nothing_each_parameter_but_shots_and_seed_counts() -> None:
    found = score_parameters("not installed here", {"benchmark_name": "x", "width": [1, 2], "shots": 5, "seed": 3})
    assert found == {"width": [1, 2]}
    assert hash(series_of(wit(benchmark_name="not installed here", config={"width": [1, {"a": 2}]})))


def test_labels_say_what_differs_and_nothing_else() -> None:
    six, seven = series_of(wit(config={"num_qubits": 6})), series_of(wit())
    assert labels([six, seven, seven]) == {
        six: "tyxonq/homebrew_s2, num_qubits 6",
        seven: "tyxonq/homebrew_s2, num_qubits 7",
    }
    assert labels([seven]) == {seven: "tyxonq/homebrew_s2"}
