"""Quantum Fourier Transform: both methods, with and without mid-circuit measurement, find what they should."""

from __future__ import annotations

from math import pi
from typing import Any

import pytest
from qiskit.quantum_info import Statevector

from metriq_gym.benchmarks.fourier import fourier_transform
from metriq_gym.benchmarks.quantum_fourier_transform import (
    QuantumFourierTransform,
    QuantumFourierTransformParams,
    phase_state,
)
from metriq_gym.errors import Unsupported
from tests.support.devices import IdealDevice, RecordingDevice, depolarizing
from tests.support.digest import digest


def transform(seed: int = 0, **params: Any) -> QuantumFourierTransform:
    defaults = {"shots": 100, "num_qubits": 5, "max_circuits": 3}
    return QuantumFourierTransform(QuantumFourierTransformParams(**{**defaults, **params}), seed)


@pytest.mark.parametrize(("method", "added"), [(1, 1), (2, 0)])
@pytest.mark.parametrize("value", [0, 5, 7])
def test_the_state_before_measurement_is_exactly_the_answer(method: int, added: int, value: int) -> None:
    benchmark = transform(method=method)
    secret, answer = format(value, "03b"), format((value + added) % 8, "03b")
    circuit = benchmark.circuit(secret)
    circuit.remove_final_measurements()
    assert Statevector(circuit).probabilities_dict(decimals=12) == {answer: 1}
    assert benchmark.ideal(secret) == {answer: 1.0}


def test_method_two_starts_from_the_transform_of_the_secret() -> None:
    expected = Statevector.from_label("1101").evolve(fourier_transform(4))
    assert Statevector(phase_state("1101")).equiv(expected)


@pytest.mark.parametrize("method", [1, 2])
@pytest.mark.parametrize("measured", [False, True])
def test_a_noiseless_device_scores_exactly_one(method: int, measured: bool) -> None:
    benchmark = transform(method=method, use_midcircuit_measurement=measured)
    score = IdealDevice(5).score(benchmark).compute_score()
    assert score.value == 1
    assert 0 < score.uncertainty < 0.01


@pytest.mark.parametrize("num_qubits", [4, 8, 12])
def test_the_widths_of_the_published_suite_score_exactly_one(num_qubits: int) -> None:
    assert IdealDevice(20).score(transform(num_qubits=num_qubits)).compute_score().value == 1


def test_fully_depolarised_counts_score_about_zero() -> None:
    score = RecordingDevice(5).score_uniform(transform(shots=20000)).compute_score()
    assert score.value == pytest.approx(0, abs=0.02)


def test_noise_lowers_the_score() -> None:
    score = IdealDevice(5).score(transform(shots=1000), noise=depolarizing(0.03, "cp")).compute_score()
    assert 0.2 < score.value < 0.95


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"num_qubits": 4}, [4]),
        ({"min_qubits": 2, "max_qubits": 6, "skip_qubits": 2}, [2, 4, 6]),
        ({"min_qubits": 5}, [5, 6]),
        ({"max_qubits": 3}, [2, 3]),
    ],
)
def test_there_is_one_width_unless_an_older_configuration_gives_a_range(
    params: dict[str, int], expected: list[int]
) -> None:
    device = RecordingDevice(6)
    transform(**params).dispatch_handler(device)
    assert sorted({circuit.num_qubits for circuit in device.circuits}) == expected


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"num_qubits": 21}, "needs 21 qubits and device 'recorder' has 20"),
        ({"max_circuits": 1, "input_value": 32}, "input_value 32 does not fit in 5 bits"),
        ({"min_qubits": 7}, "no width from 7 to 6"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(params: dict[str, int], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        transform(**params).dispatch_handler(RecordingDevice(20))


def test_angles_of_very_wide_secrets_do_not_overflow() -> None:
    angles = [gate.operation.params[0] for gate in phase_state("1" * 1200).data[1200:]]
    assert angles[0] == pytest.approx(pi)
    assert angles[-1] == pytest.approx(2 * pi)


def test_circuits_too_large_in_all_are_refused_before_they_are_built() -> None:
    with pytest.raises(Unsupported, match="operations in all"):
        transform(num_qubits=10_000, max_circuits=10_000).dispatch_handler(RecordingDevice(10_000))


@pytest.mark.parametrize(
    ("method", "measured", "expected"),
    [(1, False, "5ec0119d17f8f085"), (2, False, "56e18e32fdb3ebaf"), (1, True, "8e94309851bb2a1c")],
)
def test_circuits_are_the_same_as_ever(method: int, measured: bool, expected: str) -> None:
    device = RecordingDevice(5)
    transform(seed=42, method=method, use_midcircuit_measurement=measured).dispatch_handler(device)
    assert digest(device.circuits) == expected
