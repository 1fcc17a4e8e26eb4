"""Quantum Volume: heavy outputs are the right ones, and the test passes good devices only."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import quantum_volume
from qiskit.quantum_info import Operator

from metriq_gym.benchmarks.benchmark import BenchmarkData, RunResult
from metriq_gym.benchmarks.quantum_volume import (
    QuantumVolume,
    QuantumVolumeParams,
    ideal_probabilities,
    p_value_above_threshold,
    score_trial,
)
from metriq_gym.errors import Permanent, Unsupported
from tests.support.devices import IdealDevice, RecordingDevice, depolarizing
from tests.support.noise import noisy_probabilities


def volume(seed: int = 0, **changes: Any) -> QuantumVolume:
    defaults: dict[str, Any] = {"num_qubits": 4, "shots": 1000, "trials": 20, "confidence_level": 0.95}
    return QuantumVolume(QuantumVolumeParams(**defaults | changes), seed)


def heavy_probability(probabilities: Any, actual: Any) -> float:
    """Brute force: how much of `actual` falls on outcomes above the median of `probabilities`."""
    ranked = sorted(probabilities)
    middle = len(ranked) // 2
    median = (ranked[middle - 1] + ranked[middle]) / 2
    return float(sum(a for p, a in zip(probabilities, actual, strict=True) if p > median))


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8])
def test_ideal_probabilities_are_those_of_the_whole_unitary(width: int) -> None:
    circuit = quantum_volume(width, width, seed=width)
    np.testing.assert_allclose(ideal_probabilities(circuit), abs(Operator(circuit).data[:, 0]) ** 2, atol=1e-12)


def test_noiseless_trials_have_the_exact_heavy_output_probability_of_their_circuits() -> None:
    device, benchmark = RecordingDevice(4), volume(5)
    benchmark.dispatch_handler(device)
    exact = []
    for circuit in device.circuits:
        probabilities = abs(Operator(circuit.remove_final_measurements(inplace=False)).data[:, 0]) ** 2
        exact.append(heavy_probability(probabilities, probabilities))
    result = IdealDevice(4).score(benchmark)
    sampling_error = sqrt(sum(h * (1 - h) / 1000 for h in exact)) / 20
    assert abs(result.hog_prob.value - np.mean(exact)) < 3 * sampling_error
    assert result.xeb == pytest.approx(1, abs=0.03)
    assert result.hog_above_threshold
    assert result.num_qubits == 4
    assert result.trials == 20


def test_deep_circuits_approach_the_heavy_output_probability_of_random_states() -> None:
    heavy = []
    for seed in range(60):
        probabilities = ideal_probabilities(quantum_volume(10, 30, seed=seed))
        heavy.append(probabilities[probabilities > np.median(probabilities)].sum())
    error = np.std(heavy) / sqrt(60)
    assert error < 0.002
    assert abs(np.mean(heavy) - (1 + log(2)) / 2) < 3 * error


def test_an_ideal_device_passes_with_enough_trials_and_a_random_one_does_not() -> None:
    good = IdealDevice(4).score(volume(1, trials=100, shots=200))
    assert good.confidence_pass
    assert good.hog_pass
    assert good.p_value < 0.01
    bad = RecordingDevice(4).score_uniform(volume(1, trials=100, shots=200))
    assert not bad.confidence_pass
    assert not bad.hog_pass
    assert bad.hog_prob.value == pytest.approx(0.5, abs=0.02)
    assert bad.xeb == pytest.approx(0, abs=0.03)


def test_known_depolarising_noise_gives_the_density_matrix_value() -> None:
    device, benchmark = RecordingDevice(4), volume(2, trials=8, shots=4000)
    benchmark.dispatch_handler(device)
    exact = []
    for circuit in device.circuits:
        bare = circuit.remove_final_measurements(inplace=False)
        exact.append(heavy_probability(ideal_probabilities(bare), noisy_probabilities(bare, 0.05)))
    result = IdealDevice(4).score(benchmark, noise=depolarizing(0.05, "unitary"), seed=3)
    sampling_error = sqrt(sum(h * (1 - h) / 4000 for h in exact)) / 8
    assert abs(result.hog_prob.value - np.mean(exact)) < 3 * sampling_error
    assert np.mean(exact) < 0.78


def test_cross_entropy_fidelity_is_the_fraction_of_shots_that_were_ideal() -> None:
    probabilities = ideal_probabilities(quantum_volume(3, 3, seed=1))
    for fidelity in (0.0, 0.3, 1.0):
        mixed = fidelity * probabilities + (1 - fidelity) / 8
        counts = {f"{outcome:03b}": round(p * 10**9) for outcome, p in enumerate(mixed)}
        assert score_trial(probabilities, counts)[1] == pytest.approx(fidelity, abs=1e-6)


@pytest.mark.slow
def test_the_error_bar_covers_the_mean_over_all_circuits_two_times_in_three() -> None:
    rng = np.random.default_rng(4)
    ensemble = [ideal_probabilities(quantum_volume(3, 3, seed=seed)) for seed in range(400)]
    truth = float(np.mean([heavy_probability(p, p) for p in ensemble]))
    covered = 0
    for seed in range(200):
        benchmark = volume(seed, num_qubits=3, trials=20)
        device = RecordingDevice(3)
        benchmark.dispatch_handler(device)
        counts = []
        for circuit in device.circuits:
            ideal = ideal_probabilities(circuit.remove_final_measurements(inplace=False))
            occurrences = rng.multinomial(1000, ideal / ideal.sum()).tolist()
            counts.append({f"{x:03b}": n for x, n in enumerate(occurrences) if n})
        score = benchmark.poll_handler(BenchmarkData(), [RunResult(counts)]).compute_score()
        covered += abs(score.value - truth) <= (score.uncertainty or 0)
    assert 0.58 <= covered / 200 <= 0.78


@pytest.mark.parametrize(("heavy", "passed"), [(0.74, False), (0.78, True)])
def test_with_the_papers_number_of_trials_two_standard_errors_decide_as_in_the_paper(
    heavy: float, passed: bool
) -> None:
    papers = heavy - 2 * sqrt(heavy * (1 - heavy) / 100) > 2 / 3
    assert papers is passed
    assert (p_value_above_threshold(heavy, 100) < 0.02275) is passed


@pytest.mark.parametrize(("heavy", "p_value"), [(1.0, (2 / 3) ** 10), (0.0, 1.0), (0.7, 0.5592645)])
def test_p_value_at_the_ends_and_at_the_threshold(heavy: float, p_value: float) -> None:
    assert p_value_above_threshold(heavy, 10) == pytest.approx(p_value)


def test_a_single_trial_has_no_error_bar() -> None:
    assert IdealDevice(4).score(volume(trials=1)).compute_score().uncertainty is None


def test_too_many_qubits_for_the_device_or_for_scoring_are_refused() -> None:
    with pytest.raises(Unsupported, match="needs 5 qubits"):
        volume(num_qubits=5).dispatch_handler(RecordingDevice(4))
    with pytest.raises(Unsupported, match="up to 24 qubits, not 25"):
        volume(num_qubits=25).dispatch_handler(RecordingDevice(100))


def test_no_shots_at_all_is_an_error_and_not_a_score() -> None:
    with pytest.raises(Permanent, match="no shots"):
        volume(trials=1).poll_handler(BenchmarkData(), [RunResult([{}])])
