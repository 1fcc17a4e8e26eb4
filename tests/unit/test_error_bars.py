"""Error bars and tests hold at their border too: one shot, one trial, counts that all agree; and cover as they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rustworkx as rx

from metriq_gym import benchmarks
from metriq_gym.benchmarks.benchmark import BenchmarkScore, RunResult
from metriq_gym.benchmarks.eplg import EPLG, EPLGData, EPLGResult, is_determined
from metriq_gym.benchmarks.lr_qaoa import LinearRampQAOA
from metriq_gym.benchmarks.mirror_circuits import MirrorCircuits, MirrorCircuitsData
from metriq_gym.benchmarks.qedc import QEDCBenchmark, QEDCData, bitstring
from metriq_gym.benchmarks.quantum_volume import mean_with_error, p_value_above_threshold
from metriq_gym.benchmarks.statistics import binomial, parts
from metriq_gym.schema_validator import validate
from tests.support.devices import RecordingDevice

CERTAIN = 3.5
"""Standard errors of a simulated rate within which it is as it should be."""


def benchmark(name: str, **changes: Any) -> Any:
    config, _ = validate({"benchmark_name": name, **changes})
    return benchmarks.load(name).from_config(config, 1)


def rate_bound(rate: float, repetitions: int) -> float:
    return float(rate + CERTAIN * (max(rate, 1 / repetitions) / repetitions) ** 0.5)


@pytest.mark.parametrize("shots", [1, 2, 10, 1000])
def test_shots_that_all_agree_prove_no_certainty(shots: int) -> None:
    for successes in (0, shots):
        assert binomial(successes, shots).uncertainty == pytest.approx(1 / (2 * (shots + 1)))


def test_elsewhere_the_uncertainty_is_the_binomial_one() -> None:
    assert binomial(300, 1000).uncertainty == pytest.approx((0.3 * 0.7 / 1000) ** 0.5, rel=2e-3)


@pytest.mark.parametrize("spread", ["all or nothing", "alike"])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("trials", "shots"), [(1, 1), (1, 100), (2, 2), (5, 1), (20, 10), (100, 100)])
def test_a_device_at_the_bar_of_quantum_volume_passes_no_more_often_than_the_level_says(
    trials: int, shots: int, level: float, spread: str
) -> None:
    rng, repetitions = np.random.default_rng(4), 4000
    heavy = rng.binomial(1, 2 / 3, size=(repetitions, trials)) if spread == "all or nothing" else np.full((1, 1), 2 / 3)
    found = rng.binomial(shots, np.broadcast_to(heavy, (repetitions, trials))).mean(axis=1) / shots
    passed = np.mean([p_value_above_threshold(each, trials) < 1 - level for each in found])
    print(f"Quantum Volume, {trials} trials of {shots} shots, {spread}: {passed:.4f} pass at level {level}")
    assert passed <= rate_bound(1 - level, repetitions)


@pytest.mark.parametrize(("trials", "shots"), [(1, 1), (2, 2)])
def test_random_bits_do_not_pass_quantum_volume_with_a_handful_of_shots(trials: int, shots: int) -> None:
    volume = benchmark("Quantum Volume", num_qubits=3, trials=trials, shots=shots, confidence_level=0.999)
    results = [RecordingDevice(3).score_uniform(volume, seed) for seed in range(60)]
    assert not any(result.confidence_pass for result in results)


def test_a_device_that_is_clearly_better_passes_quantum_volume() -> None:
    assert p_value_above_threshold(0.82, 100) < 0.001
    assert p_value_above_threshold(0.75, 100) > 0.01
    assert p_value_above_threshold(1.0, 1) == pytest.approx(2 / 3)
    assert p_value_above_threshold(0.0, 5) == 1


def test_trials_that_all_agree_are_as_uncertain_as_their_shots() -> None:
    assert mean_with_error([1.0, 1.0, 1.0], 30).uncertainty == pytest.approx(1 / 62)
    assert mean_with_error([1.0], 30).uncertainty is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_qubits", "shots", "trials", "random"), [(2, 1, 1, 10), (2, 2, 3, 10), (3, 1, 2, 25), (6, 50, 3, 25)]
)
@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_a_device_that_guesses_passes_linear_ramp_qaoa_no_more_often_than_the_level_says(
    num_qubits: int, shots: int, trials: int, random: int, level: float
) -> None:
    passed, repetitions = 0, 150
    for seed in range(repetitions):
        config, _ = validate(
            {
                "benchmark_name": "Linear Ramp QAOA",
                "graph_type": "1D",
                "num_qubits": num_qubits,
                "qaoa_layers": [3],
                "shots": shots,
                "trials": trials,
                "num_random_trials": random,
                "confidence_level": level,
            }
        )
        qaoa = benchmarks.load("Linear Ramp QAOA").from_config(config, seed)
        assert isinstance(qaoa, LinearRampQAOA)
        device = RecordingDevice(num_qubits, rx.generators.path_graph(num_qubits))
        passed += device.score_uniform(qaoa, seed).confidence_pass[0]
    print(f"LR-QAOA, {num_qubits} qubits, {trials} × {shots} shots: {passed / repetitions:.3f} pass at level {level}")
    assert passed / repetitions <= rate_bound(1 - level, repetitions)


def test_the_score_of_linear_ramp_qaoa_varies_as_its_uncertainty_says() -> None:
    qaoa = benchmark("Linear Ramp QAOA", graph_type="1D", num_qubits=6, qaoa_layers=[3, 4], shots=200, trials=2)
    device, rng = RecordingDevice(6, rx.generators.path_graph(6)), np.random.default_rng(3)
    data = qaoa.dispatch_handler(device)
    keys = ["010101", "010100", "110101", "000101", "000000"]
    scores = []
    for _ in range(150):
        counts = [
            dict(zip(keys, rng.multinomial(200, [0.3, 0.2, 0.2, 0.2, 0.1]).tolist(), strict=True))
            for _ in device.circuits
        ]
        scores.append(qaoa.poll_handler(data, [RunResult(counts)]).compute_score())
    observed = np.std([score.value for score in scores])
    assert np.mean([score.uncertainty for score in scores]) == pytest.approx(observed, rel=0.3)


def test_one_shot_leaves_the_score_of_linear_ramp_qaoa_without_an_uncertainty() -> None:
    qaoa = benchmark("Linear Ramp QAOA", graph_type="1D", num_qubits=4, qaoa_layers=[3], shots=1, trials=1)
    device = RecordingDevice(4, rx.generators.path_graph(4))
    assert device.score_uniform(qaoa).compute_score().uncertainty is None


@pytest.mark.parametrize("circuits", [2, 3, 10, 30])
def test_the_polarisation_covers_the_mean_over_new_circuits_as_often_as_it_says(circuits: int) -> None:
    mirror, rng, covered, repetitions = benchmark("Mirror Circuits"), np.random.default_rng(6), 0, 400
    assert isinstance(mirror, MirrorCircuits)
    data = MirrorCircuitsData(expected_bitstrings=["0000"] * circuits)
    truth = (0.8 - 2**-4) / (1 - 2**-4)
    for _ in range(repetitions):
        hits = rng.binomial(1000, rng.beta(40, 10, size=circuits)).tolist()
        result = mirror.poll_handler(data, [RunResult([{"0000": n, "1111": 1000 - n} for n in hits])])
        covered += abs(result.polarization.value - truth) <= (result.polarization.uncertainty or 0)
    assert covered / repetitions == pytest.approx(0.683, abs=0.08)


def test_the_polarisation_gives_both_parts_of_its_uncertainty() -> None:
    mirror = benchmark("Mirror Circuits")
    data = MirrorCircuitsData(expected_bitstrings=["0000"] * 3)
    alike = mirror.poll_handler(data, [RunResult([{"0000": 800, "1111": 200}] * 3)])
    apart = mirror.poll_handler(data, [RunResult([{"0000": n, "1111": 1000 - n} for n in (700, 800, 900)])])
    assert alike.shot_uncertainty == pytest.approx(apart.shot_uncertainty) == pytest.approx(0.0078, abs=1e-4)
    assert (alike.circuit_uncertainty, alike.polarization.uncertainty) == (0, alike.shot_uncertainty)
    assert apart.circuit_uncertainty == pytest.approx(0.061, abs=0.002)
    assert apart.polarization.uncertainty > apart.circuit_uncertainty
    single = mirror.poll_handler(
        MirrorCircuitsData(expected_bitstrings=["0000"]), [RunResult([{"0000": 800, "1111": 200}])]
    )
    assert single.circuit_uncertainty is None
    assert single.polarization.uncertainty == single.shot_uncertainty


def bernstein_vazirani_covers(secrets: int, rng: np.random.Generator, repetitions: int) -> float:
    found = benchmark("Bernstein-Vazirani", min_qubits=6, max_qubits=7, max_circuits=secrets)
    assert isinstance(found, QEDCBenchmark)
    truth, covered = 1 / 2, 0
    for _ in range(repetitions):
        groups, counts = [], []
        for bits in (5, 6):
            drawn = rng.choice(2**bits, size=secrets, replace=False).tolist()
            groups.append([bitstring(value, bits) for value in drawn])
            # How often a secret is found depends on it: on the number of its ones.
            chances = [0.9 - 0.8 * value.bit_count() / bits for value in drawn]
            frequencies = [chance * (1 - 2**-bits) + 2**-bits for chance in chances]
            for secret, hits in zip(groups[-1], rng.binomial(1000, frequencies).tolist(), strict=True):
                wrong = "".join("10"[int(bit)] for bit in secret)
                counts.append({secret: hits, wrong: 1000 - hits})
        score = found.poll_handler(QEDCData(secrets=groups), [RunResult(counts)]).accuracy_score
        covered += abs(score.value - truth) <= (score.uncertainty or 0)
    return covered / repetitions


@pytest.mark.parametrize("secrets", [2, 3, 10])
def test_an_algorithms_accuracy_covers_the_mean_over_all_secrets_as_often_as_it_says(secrets: int) -> None:
    assert bernstein_vazirani_covers(secrets, np.random.default_rng(5), 300) == pytest.approx(0.683, abs=0.09)


def test_where_all_secrets_are_run_only_the_shots_are_uncertain() -> None:
    found = benchmark("Bernstein-Vazirani", min_qubits=3, max_qubits=3, max_circuits=4)
    groups = [[bitstring(value, 2) for value in range(4)]]
    counts = [
        {secret: 900 - 100 * value, "".join("10"[int(b)] for b in secret): 100 + 100 * value}
        for value, secret in enumerate(groups[0])
    ]
    result = found.poll_handler(QEDCData(secrets=groups), [RunResult(counts)])
    assert result.circuit_uncertainty == 0
    assert result.accuracy_score.uncertainty == result.shot_uncertainty
    assert result.circuit_spread > 10 * result.shot_uncertainty


def test_one_of_several_secrets_leaves_the_part_of_their_choice_unknown() -> None:
    found = parts([[0.9], [0.8]], [[0.01], [0.01]], [True, True])
    assert found.circuits is None
    assert found.total == found.shots == pytest.approx(0.01 / 2**0.5)


def eplg_of(survival: Any, lengths: list[int], shots: int, samples: int, **changes: Any) -> EPLGResult:
    """The result for a chain of four qubits whose pairs survive together with these probabilities, one per length."""
    found = benchmark("EPLG", num_qubits_in_chain=4, lengths=lengths, shots=shots, num_samples=samples, **changes)
    assert isinstance(found, EPLG)
    alive = np.random.default_rng(changes.get("seed", 1)).binomial(shots, survival, size=(samples, 2 * len(lengths)))
    results = [RunResult([{"0000": n, "1111": shots - n} for n in row]) for row in alive.tolist()]
    return found.poll_handler(EPLGData(qubit_chain=[0, 1, 2, 3]), results)


def eplg_pair(survival: Any, lengths: list[int], seed: int) -> BenchmarkScore:
    """Process fidelity of the second pair, from 3 samples of 100 shots."""
    found = benchmark("EPLG", num_qubits_in_chain=4, lengths=lengths)
    assert isinstance(found, EPLG)
    alive = np.random.default_rng(seed).binomial(100, survival, size=(3, 2 * len(lengths)))
    return found.process_fidelities([RunResult([{"0000": n, "1111": 100 - n} for n in row]) for row in alive.tolist()])[
        2
    ]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("lengths", [[2, 4], [2, 4, 8, 16]])
def test_one_shot_does_not_make_an_ideal_device_a_bad_one(samples: int, lengths: list[int]) -> None:
    result = eplg_of(np.ones(2 * len(lengths)), lengths, 1, samples)
    assert result.chain_eplgs[-1] <= 2 * result.chain_eplg_uncertainties[-1]
    assert result.chain_eplgs[-1] < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.25, 0.27])
@pytest.mark.parametrize("lengths", [None, [2, 4, 8, 16, 30, 50]])
def test_short_and_long_decays_give_the_injected_error_without_bias(lengths: list[int] | None, offset: float) -> None:
    config, _ = validate({"benchmark_name": "EPLG", "num_qubits_in_chain": 4})
    lengths = lengths or config["lengths"]
    found = [eplg_pair(0.72 * 0.98 ** np.array(lengths * 2) + offset, lengths, seed) for seed in range(100)]
    errors = [1 - each.value for each in found]
    assert np.mean(errors) == pytest.approx(15 / 16 * 0.02, rel=0.08)
    covered = np.mean([abs(each.value - (1 - 15 / 16 * 0.02)) <= (each.uncertainty or 0) for each in found])
    print(f"EPLG, lengths {lengths}: error {np.mean(errors):.5f} ± {np.std(errors):.5f}, covered {covered:.2f}")
    assert covered >= 0.6
    assert all(is_determined(BenchmarkScore(1 - each.value, each.uncertainty)) for each in found)


def test_a_fit_that_does_not_determine_its_value_is_flagged_and_not_ranked() -> None:
    assert is_determined(BenchmarkScore(0.02, 0.004))
    assert is_determined(BenchmarkScore(0.0, 0.005))
    assert not is_determined(BenchmarkScore(0.3, 19.0))
    assert not is_determined(BenchmarkScore(0.02, 0.03))
    result = eplg_of(np.full(4, 0.5), [2, 3], 2, 1)
    assert result.undetermined_lengths == [4]
    assert len(result.chain_eplg_uncertainties) == 1


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"benchmark_name": "Quantum Volume", "num_qubits": 3, "trials": 99}, "$.trials"),
        ({"benchmark_name": "BSEQ", "shots": 1}, "$.shots"),
    ],
)
def test_so_few_that_they_prove_little_are_warned_of(config: dict[str, Any], path: str) -> None:
    key = path.removeprefix("$.")
    (warning,) = validate(config)[1]
    assert (warning.path, str(config[key]) in warning.message) == (path, True)
    assert validate({**config, key: 100})[1] == []
