"""Comparing two jobs: differences in units of their error, and only where that means something."""

from __future__ import annotations

import pytest

from metriq_gym.errors import Permanent
from metriq_gym.jobs import Job
from metriq_gym.jobs.comparison import compare, incomparable, other_parameters
from tests.support.jobs import ended_job, failed_job


def scored(value: float, uncertainty: float | None) -> Job:
    return ended_job(result={"score": {"value": value, "uncertainty": uncertainty}})


def test_a_difference_is_in_units_of_its_error() -> None:
    (found,) = compare(scored(0.9, 0.03), scored(0.8, 0.04))
    assert found.value == pytest.approx(-0.1)
    assert found.error == pytest.approx(0.05)
    assert found.in_errors == pytest.approx(-2)


@pytest.mark.parametrize("errors", [(None, 0.1), (0.1, None), (0.0, 0.0)])
def test_without_an_error_there_is_no_unit(errors: tuple[float | None, float | None]) -> None:
    (found,) = compare(scored(0.9, errors[0]), scored(0.8, errors[1]))
    assert found.in_errors is None
    assert found.value == pytest.approx(-0.1)


def test_metrics_that_only_one_has_and_what_is_no_number_are_left_out() -> None:
    one = ended_job(result={"depth": 3, "name": "x", "flag": True, "only": 1})
    other = ended_job(result={"depth": 5, "name": "y", "flag": False})
    assert [(each.metric, each.value) for each in compare(one, other)] == [("depth", 2)]


def test_jobs_of_other_benchmarks_and_jobs_without_a_result_are_not_compared() -> None:
    with pytest.raises(Permanent, match="mean different things"):
        compare(ended_job(), ended_job(benchmark_name="EPLG"))
    with pytest.raises(Permanent, match="no result"):
        compare(ended_job(), failed_job())


def test_parameters_that_differ_are_told() -> None:
    one, other = ended_job(), ended_job(config={"benchmark_name": "WIT", "num_qubits": 6})
    assert other_parameters(one, other) == {"num_qubits": (7, 6), "shots": (8192, None)}


def with_config(shots: int, num_qubits: int, device: str = "aer_simulator") -> Job:
    config = {"benchmark_name": "WIT", "num_qubits": num_qubits, "shots": shots}
    return ended_job(config=config, device=device, result={"score": {"value": 0.9, "uncertainty": 0.03}})


def test_only_scores_of_the_same_parameters_have_a_difference_in_units_of_its_error() -> None:
    job, wider = with_config(100, 7), with_config(100, 6)
    assert incomparable(job, wider) == ["num_qubits"]
    assert compare(job, wider)[0].in_errors is None
    for other in (with_config(8192, 7), with_config(100, 7, "fake_manila")):
        assert incomparable(job, other) == []
        assert compare(job, other)[0].in_errors == pytest.approx(0)
