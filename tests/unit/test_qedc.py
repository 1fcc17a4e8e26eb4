"""What the QED-C algorithms share: fidelities between 0 and 1, and how they are averaged."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import hellinger_fidelity

from metriq_gym.benchmarks.qedc import draw_secrets, normalised_fidelity, pooled
from metriq_gym.errors import Permanent


def test_the_right_answer_every_time_scores_one() -> None:
    assert normalised_fidelity({"0101": 100}, {"0101": 1.0}) == 1


def test_uniform_counts_score_zero() -> None:
    assert normalised_fidelity({"00": 5, "01": 5, "10": 5, "11": 5}, {"10": 1.0}) == pytest.approx(0)


def test_worse_than_uniform_is_still_zero() -> None:
    assert normalised_fidelity({"11": 5}, {"10": 1.0}) == 0


def test_one_ideal_outcome_gives_the_rescaled_frequency() -> None:
    assert normalised_fidelity({"101": 70, "001": 30}, {"101": 1.0}) == pytest.approx((0.7 - 1 / 8) / (7 / 8))


def test_more_than_sixteen_bits_are_not_rescaled() -> None:
    wide = "0" * 17
    assert normalised_fidelity({wide: 1, "1" * 17: 3}, {wide: 1.0}) == pytest.approx(0.25, abs=1e-12)


def test_many_ideal_outcomes_are_compared_by_hellinger_fidelity() -> None:
    counts, ideal = {"00": 50, "01": 40, "11": 10}, {"00": 0.6, "01": 0.39, "10": 0.01, "11": 0.0}
    raw, floor = hellinger_fidelity(counts, ideal), hellinger_fidelity(dict.fromkeys(ideal, 1), ideal)
    assert 0 < normalised_fidelity(counts, ideal) == pytest.approx((raw - floor) / (1 - floor))


@given(
    st.dictionaries(st.sampled_from(["00", "01", "10", "11"]), st.integers(0, 50)),
    st.sampled_from(["00", "11"]),
)
def test_fidelity_is_between_zero_and_one(counts: dict[str, int], secret: str) -> None:
    if not sum(counts.values()):
        with pytest.raises(Permanent):
            normalised_fidelity(counts, {secret: 1.0})
    else:
        assert 0 <= normalised_fidelity(counts, {secret: 1.0}) <= 1


def test_every_circuit_weighs_the_same_and_the_scatter_is_pooled_over_widths() -> None:
    mean, spread = pooled([[0.9, 0.7], [0.4, 0.5, 0.6]])
    assert mean == pytest.approx(0.62)
    squares = 0.1**2 * 2 + 0.1**2 * 2
    assert spread == pytest.approx(sqrt(squares / 3))


def test_one_circuit_per_width_has_no_scatter() -> None:
    assert pooled([[0.9], [0.4]])[1] == 0


def test_the_uncertainty_is_the_spread_of_one_circuit_at_its_width() -> None:
    """Over many circuits it estimates the standard deviation they were drawn with, whatever the widths' means."""
    rng = np.random.default_rng(0)
    groups = [rng.normal(mean, 0.05, size=40).tolist() for mean in (0.9, 0.6, 0.3)]
    assert pooled(groups)[1] == pytest.approx(0.05, rel=0.2)


def test_all_secrets_are_run_when_there_are_few() -> None:
    assert draw_secrets(2, 4, seed=1) == ["00", "01", "10", "11"]


@given(st.integers(1, 80), st.integers(1, 20), st.integers(0, 5))
def test_secrets_are_distinct_of_the_right_length_and_reproducible(bits: int, limit: int, seed: int) -> None:
    found = draw_secrets(bits, limit, seed)
    assert len(found) == len(set(found)) == min(limit, 2**bits)
    assert {len(secret) for secret in found} == {bits}
    assert found == draw_secrets(bits, limit, seed)
    if 2**bits > limit:
        assert "0" * bits not in found


def test_random_secrets_are_the_same_as_ever() -> None:
    assert draw_secrets(6, 3, seed=7) == ["101010", "001101", "111011"]
