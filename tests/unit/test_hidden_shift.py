"""Hidden Shift: every shift is found, at even widths only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from metriq_gym.benchmarks.hidden_shift import HiddenShift, HiddenShiftParams, hidden_shift_circuit
from metriq_gym.errors import Unsupported
from tests.support.devices import IdealDevice, RecordingDevice, depolarizing
from tests.support.digest import digest


def hidden_shift(seed: int = 0, **params: Any) -> HiddenShift:
    defaults = {"shots": 100, "min_qubits": 2, "max_qubits": 6, "skip_qubits": 1, "max_circuits": 3}
    return HiddenShift(HiddenShiftParams(**{**defaults, **params}), seed)


def widths(device: RecordingDevice) -> list[int]:
    return sorted({circuit.num_qubits for circuit in device.circuits})


@pytest.mark.parametrize("shift", [format(value, "04b") for value in range(16)] + ["10", "101101"])
def test_the_state_before_measurement_is_exactly_the_shift(shift: str) -> None:
    circuit = hidden_shift_circuit(shift)
    circuit.remove_final_measurements()
    assert Statevector(circuit).probabilities_dict(decimals=12) == {shift: 1}


def test_the_first_query_is_the_shifted_function_by_definition() -> None:
    """(−1)^f(x⊕s) with f(x) = x₀x₁ ⊕ x₂x₃ on the uniform superposition."""
    shift = 0b0110
    circuit = hidden_shift_circuit(format(shift, "04b"))
    barriers = [index for index, gate in enumerate(circuit.data) if gate.operation.name == "barrier"]
    query = circuit.copy_empty_like()
    for gate in circuit.data[: barriers[1]]:
        query.append(gate)
    x = np.arange(16) ^ shift
    f = (x & 1) * (x >> 1 & 1) ^ (x >> 2 & 1) * (x >> 3 & 1)
    assert Statevector(query).equiv(Statevector((-1.0) ** f / 4))


def test_a_noiseless_device_scores_exactly_one() -> None:
    score = IdealDevice(6).score(hidden_shift()).compute_score()
    assert score.value == 1
    assert 0 < score.uncertainty < 0.01


def test_fully_depolarised_counts_score_about_zero() -> None:
    score = RecordingDevice(6).score_uniform(hidden_shift(shots=20000)).compute_score()
    assert score.value == pytest.approx(0, abs=0.02)


def test_two_qubit_depolarising_noise_follows_the_closed_form() -> None:
    """A pair is right when neither of its two gates failed, else in one case of four."""
    strength, shots = 0.2, 40_000
    benchmark = hidden_shift(shots=shots, min_qubits=4, max_qubits=4, max_circuits=1)
    score = IdealDevice(4).score(benchmark, noise=depolarizing(strength, "cz")).compute_score()
    clean = (1 - strength) ** 2
    right = (clean + (1 - clean) / 4) ** 2
    error = np.sqrt(right * (1 - right) / shots) / (1 - 1 / 16)
    assert score.value == pytest.approx((right - 1 / 16) / (1 - 1 / 16), abs=3 * error)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [2, 4, 6]),
        ({"min_qubits": 3, "max_qubits": 7}, [4, 6]),
        ({"skip_qubits": 3, "max_qubits": 10}, [2, 6, 10]),
    ],
)
def test_only_even_widths_are_run(params: dict[str, int], expected: list[int]) -> None:
    device = RecordingDevice(10)
    hidden_shift(**params).dispatch_handler(device)
    assert widths(device) == expected


def test_a_fixed_shift_is_the_one_that_is_run() -> None:
    data = hidden_shift(min_qubits=4, max_circuits=1, input_value=9).dispatch_handler(RecordingDevice(6))
    assert data.secrets == [["1001"], ["001001"]]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"min_qubits": 5, "max_qubits": 5}, "no width from 6 to 5"),
        ({"max_circuits": 1, "input_value": 4}, "input_value 4 does not fit in 2 bits"),
        ({"max_qubits": 12}, "needs 12 qubits and device 'recorder' has 10"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(params: dict[str, int], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        hidden_shift(**params).dispatch_handler(RecordingDevice(10))


def test_circuits_are_the_same_as_ever() -> None:
    device = RecordingDevice(6)
    hidden_shift(seed=42).dispatch_handler(device)
    assert digest(device.circuits) == "c1a95544866932d1"
