"""Bernstein-Vazirani: both methods find every secret."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from metriq_gym.benchmarks.bernstein_vazirani import (
    BernsteinVazirani,
    BernsteinVaziraniParams,
    parallel_circuit,
    sequential_circuit,
)
from metriq_gym.errors import Unsupported
from tests.support.devices import IdealDevice, RecordingDevice, depolarizing
from tests.support.digest import digest


def bernstein_vazirani(seed: int = 0, **params: Any) -> BernsteinVazirani:
    defaults = {"shots": 100, "min_qubits": 2, "max_qubits": 6, "skip_qubits": 1, "max_circuits": 3, "method": 1}
    return BernsteinVazirani(BernsteinVaziraniParams(**{**defaults, **params}), seed)


@pytest.mark.parametrize("secret", ["00", "01", "10", "0110", "11111"])
def test_the_state_before_measurement_is_exactly_the_secret(secret: str) -> None:
    circuit = parallel_circuit(secret)
    circuit.remove_final_measurements()
    probabilities = Statevector(circuit).probabilities_dict(range(len(secret)), decimals=12)
    assert probabilities == {secret: 1}


def test_the_oracle_is_one_two_qubit_gate_per_one_in_the_secret() -> None:
    assert parallel_circuit("10110").num_nonlocal_gates() == 3
    assert sequential_circuit("10110").num_nonlocal_gates() == 3


@pytest.mark.parametrize("method", [1, 2])
def test_a_noiseless_device_scores_exactly_one(method: int) -> None:
    score = IdealDevice(6).score(bernstein_vazirani(method=method)).compute_score()
    assert score.value == 1
    assert 0 < score.uncertainty < 0.01


def test_fully_depolarised_counts_score_about_zero() -> None:
    score = RecordingDevice(6).score_uniform(bernstein_vazirani(shots=20000, max_circuits=10)).compute_score()
    assert score.value == pytest.approx(0, abs=0.01)


def test_two_qubit_depolarising_noise_follows_the_closed_form() -> None:
    """The one gate of secret 01 leaves a right answer unless the error flips the data bit: p = 1 − λ/2."""
    strength, shots = 0.3, 40_000
    benchmark = bernstein_vazirani(shots=shots, min_qubits=3, max_qubits=3, max_circuits=1, input_value=1)
    score = IdealDevice(3).score(benchmark, noise=depolarizing(strength, "cx")).compute_score()
    right = 1 - strength / 2
    error = np.sqrt(right * (1 - right) / shots) / (1 - 1 / 4)
    assert score.value == pytest.approx((right - 1 / 4) / (1 - 1 / 4), abs=3 * error)


def test_widths_below_three_are_lifted_to_three() -> None:
    device = RecordingDevice(3)
    bernstein_vazirani(min_qubits=2, max_qubits=2).dispatch_handler(device)
    assert {circuit.num_qubits for circuit in device.circuits} == {3}


def test_widths_run_from_the_smallest_to_the_largest_in_steps() -> None:
    device = RecordingDevice(10)
    bernstein_vazirani(min_qubits=4, max_qubits=9, skip_qubits=2, max_circuits=2).dispatch_handler(device)
    assert [circuit.num_qubits for circuit in device.circuits] == [4, 4, 6, 6, 8, 8]


def test_method_two_needs_two_qubits_however_long_the_secret() -> None:
    device = RecordingDevice(2)
    bernstein_vazirani(min_qubits=30, max_qubits=30, method=2).dispatch_handler(device)
    assert [(circuit.num_qubits, circuit.num_clbits) for circuit in device.circuits] == [(2, 29)] * 3


def test_a_fixed_secret_is_the_one_that_is_run() -> None:
    device = RecordingDevice(6)
    data = bernstein_vazirani(min_qubits=5, max_circuits=1, input_value=6).dispatch_handler(device)
    assert data.secrets == [["0110"], ["00110"]]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"input_value": 9, "max_circuits": 1}, "input_value 9 does not fit in 2 bits"),
        ({"min_qubits": 6, "max_qubits": 5}, "no width from 6 to 5"),
        ({"max_qubits": 21}, "needs 21 qubits and device 'recorder' has 20"),
        ({"method": 2, "max_qubits": 10_000, "max_circuits": 10_000}, "operations in all"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(params: dict[str, int], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        bernstein_vazirani(**params).dispatch_handler(RecordingDevice(20))


@pytest.mark.parametrize(("method", "expected"), [(1, "61f9381b4900421d"), (2, "48332b7cff76c274")])
def test_circuits_are_the_same_as_ever(method: int, expected: str) -> None:
    device = RecordingDevice(6)
    bernstein_vazirani(seed=42, method=method).dispatch_handler(device)
    assert digest(device.circuits) == expected


def test_another_seed_gives_other_secrets() -> None:
    drawn = [
        bernstein_vazirani(seed=seed, min_qubits=20, max_qubits=20).dispatch_handler(RecordingDevice(20)).secrets
        for seed in (1, 2)
    ]
    assert drawn[0] != drawn[1]
