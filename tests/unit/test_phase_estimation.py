"""Phase Estimation: phases the register can hold are found exactly, others are spread as theory says."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector

from metriq_gym.benchmarks.phase_estimation import (
    PhaseEstimation,
    PhaseEstimationParams,
    phase_distribution,
    phase_estimation_circuit,
)
from metriq_gym.errors import Unsupported
from tests.support.devices import IdealDevice, RecordingDevice, depolarizing
from tests.support.digest import digest


def phase_estimation(seed: int = 0, **params: Any) -> PhaseEstimation:
    defaults = {"shots": 100, "min_qubits": 3, "max_qubits": 6, "skip_qubits": 1, "max_circuits": 3}
    return PhaseEstimation(PhaseEstimationParams(**{**defaults, **params}), seed)


@pytest.mark.parametrize("phase", [Fraction(k, 16) for k in (0, 1, 5, 15)] + [Fraction(1, 10), Fraction(0.77)])
def test_the_state_before_measurement_has_the_ideal_distribution(phase: Fraction) -> None:
    circuit = phase_estimation_circuit(4, phase)
    circuit.remove_final_measurements()
    found = Statevector(circuit).probabilities_dict(range(4))
    for outcome, probability in phase_distribution(4, phase).items():
        assert found.get(outcome, 0) == pytest.approx(probability, abs=1e-12)


@given(st.fractions(min_value=0, max_value=1), st.integers(1, 7))
def test_ideal_distributions_sum_to_one(phase: Fraction, bits: int) -> None:
    assert sum(phase_distribution(bits, phase).values()) == pytest.approx(1)


@pytest.mark.parametrize("measured", [False, True])
def test_a_noiseless_device_scores_exactly_one(measured: bool) -> None:
    benchmark = phase_estimation(use_midcircuit_measurement=measured)
    score = IdealDevice(6).score(benchmark).compute_score()
    assert score.value == 1
    assert 0 < score.uncertainty < 0.01


@pytest.mark.parametrize("measured", [False, True])
def test_a_phase_between_two_outcomes_scores_one_within_shot_noise(measured: bool) -> None:
    benchmark = phase_estimation(
        shots=2000, max_circuits=1, init_phase=0.1, use_midcircuit_measurement=measured, max_qubits=5
    )
    assert IdealDevice(6).score(benchmark).compute_score().value == pytest.approx(1, abs=0.02)


def test_fully_depolarised_counts_score_about_zero() -> None:
    score = RecordingDevice(6).score_uniform(phase_estimation(shots=20000)).compute_score()
    assert score.value == pytest.approx(0, abs=0.02)


def test_noise_lowers_the_score() -> None:
    score = IdealDevice(6).score(phase_estimation(shots=1000), noise=depolarizing(0.05, "cp")).compute_score()
    assert 0.2 < score.value < 0.95


def test_an_init_phase_is_run_at_every_width() -> None:
    device = RecordingDevice(6)
    data = phase_estimation(max_circuits=1, init_phase=0.25).dispatch_handler(device)
    assert data.secrets == [["01"], ["010"], ["0100"], ["01000"]]


def test_phases_of_a_wide_register_are_exact() -> None:
    """Doubling a float phase seventy times would leave nothing of it."""
    circuit = phase_estimation_circuit(70, Fraction(2**69 + 1, 2**70))
    angles = [gate.operation.params[0] for gate in circuit.data if gate.operation.name == "cp"]
    assert angles[0] == pytest.approx(3.141592653589793)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"min_qubits": 7}, "no width from 7 to 6"),
        ({"max_qubits": 41}, "needs 41 qubits and device 'recorder' has 40"),
        ({"max_qubits": 18, "max_circuits": 1, "init_phase": 0.1}, "init_phase 0.1 is no multiple of 2"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(params: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        phase_estimation(**params).dispatch_handler(RecordingDevice(40))


@pytest.mark.parametrize(("measured", "expected"), [(False, "63cb90af82031124"), (True, "7152dcd67a5f6310")])
def test_circuits_are_the_same_as_ever(measured: bool, expected: str) -> None:
    device = RecordingDevice(6)
    phase_estimation(seed=42, use_midcircuit_measurement=measured).dispatch_handler(device)
    assert digest(device.circuits) == expected
