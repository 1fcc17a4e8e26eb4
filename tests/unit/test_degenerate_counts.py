"""Counts that say little or nothing give a refusal, or a finite result that says so; in every benchmark alike."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_type_hints

import numpy as np
import pytest
import rustworkx as rx
from qiskit import QuantumCircuit

from metriq_gym import benchmarks
from metriq_gym.benchmarks.benchmark import Benchmark, BenchmarkResult, Counts, RunResult
from metriq_gym.benchmarks.quantum_volume import QuantumVolume, ideal_probabilities
from metriq_gym.constants import JobType
from metriq_gym.errors import Permanent
from metriq_gym.schema_validator import validate
from tests.compare.cases import ECHO
from tests.support.devices import RecordingDevice, uniform_counts

_ACCURACY = {"max_circuits": 2, "min_qubits": 3, "max_qubits": 4}
_ONE_SECRET = {"max_circuits": 1, "max_qubits": 3}
SMALL: dict[str, dict[str, Any]] = {
    JobType.BERNSTEIN_VAZIRANI: _ACCURACY,
    JobType.BSEQ: {},
    JobType.CLOPS: {"num_qubits": 4, "num_layers": 2, "num_circuits": 2},
    JobType.EPLG: {"num_qubits_in_chain": 4, "lengths": [2, 4], "num_samples": 2},
    JobType.HIDDEN_SHIFT: {**_ACCURACY, "min_qubits": 2},
    JobType.LR_QAOA: {"graph_type": "1D", "num_qubits": 4, "qaoa_layers": [3, 4], "trials": 2, "num_random_trials": 10},
    JobType.MIRROR_CIRCUITS: {"width": 4, "num_layers": 1, "num_circuits": 2},
    JobType.PHASE_ESTIMATION: _ACCURACY,
    JobType.QAT_OLE: {"qasm": ECHO, "observable_qubits": [0, 1], "num_initial_states": 2},
    JobType.QML_KERNEL: {"num_qubits": 4},
    JobType.QUANTUM_FOURIER_TRANSFORM: {**_ACCURACY, "min_qubits": 2},
    JobType.QUANTUM_VOLUME: {"num_qubits": 3, "trials": 2},
    JobType.WIT: {"num_qubits": 7},
}
SMALLEST: dict[str, dict[str, Any]] = {
    JobType.BERNSTEIN_VAZIRANI: _ONE_SECRET,
    JobType.CLOPS: {"num_circuits": 1, "num_layers": 1},
    JobType.EPLG: {"num_samples": 1},
    JobType.HIDDEN_SHIFT: {"max_circuits": 1, "max_qubits": 2},
    JobType.LR_QAOA: {"trials": 1, "qaoa_layers": [3]},
    JobType.MIRROR_CIRCUITS: {"num_circuits": 1},
    JobType.PHASE_ESTIMATION: _ONE_SECRET,
    JobType.QAT_OLE: {"num_initial_states": 1},
    JobType.QUANTUM_FOURIER_TRANSFORM: {"max_circuits": 1, "max_qubits": 2},
    JobType.QUANTUM_VOLUME: {"trials": 1},
}
"""One circuit, or trial, where a benchmark has a choice."""
WITHOUT_AN_ERROR_BAR = {JobType.BSEQ, JobType.CLOPS}
"""The size of a component, beside which stands how many pairs are undecided, and a speed: no means over shots."""
UNKNOWN_ERROR = {(JobType.QUANTUM_VOLUME, "one circuit"), (JobType.LR_QAOA, "one shot")}
"""Where the documented uncertainty is null: nothing tells how much a single trial, or shot, varies."""

SAYING_LITTLE: dict[str, Callable[[int, int], Counts]] = {
    "always zeros": lambda bits, shots: {"0" * bits: shots},
    "always ones": lambda bits, shots: {"1" * bits: shots},
    "every outcome as often": lambda bits, shots: {format(each, f"0{bits}b"): shots for each in range(2**bits)},
    "random bits": lambda bits, shots: uniform_counts(bits, shots, np.random.default_rng(bits)),
}
SAYING_NOTHING: dict[str, Callable[[list[Counts]], Sequence[Counts] | None]] = {
    "no outcome": lambda counts: [{} for _ in counts],
    "an outcome that never came": lambda counts: [dict.fromkeys(each, 0) for each in counts],
    "no outcome of one circuit": lambda counts: [{}, *counts[1:]],
    "a circuit missing": lambda counts: counts[:-1],
    "no circuit": lambda counts: [],
    "a circuit too many": lambda counts: [*counts, counts[0]],
    "no run": lambda counts: None,
}


def built(name: str, size: str, shots: int) -> Benchmark:
    smallest = SMALLEST.get(name, {}) if size == "one circuit" else {}
    of_shots = "shots" if "shots" in benchmarks.schema(name)["properties"] else "num_shots"
    config, _ = validate({"benchmark_name": name, **SMALL[name], **smallest, of_shots: shots})
    return benchmarks.load(name).from_config(config, 1)


def dispatched(benchmark: Benchmark) -> tuple[Any, list[tuple[list[QuantumCircuit], int]]]:
    device = RecordingDevice(7, rx.generators.path_graph(7))
    data = benchmark.dispatch_handler(device)
    return data, device.runs


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, float):
        yield value


def test_every_benchmark_is_swept() -> None:
    assert SMALL.keys() == set(JobType)


@pytest.mark.parametrize("size", ["two circuits", "one circuit"])
@pytest.mark.parametrize("name", SMALL)
def test_counts_that_say_little_give_a_finite_result_with_an_error_bar(name: str, size: str) -> None:
    for shots in (1, 2, 100):
        benchmark = built(name, size, shots)
        data, runs = dispatched(benchmark)
        for kind, counts in SAYING_LITTLE.items():
            results = [
                RunResult([counts(each.num_clbits, shots) for each in circuits], 1.0, 0.5) for circuits, _ in runs
            ]
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                result = benchmark.poll_handler(data, results)
            record, what = result.record(), f"{name}, {size}, {shots} shots, {kind}"
            assert all(map(math.isfinite, numbers(record))), what
            few = {size} | ({"one shot"} if shots == 1 and kind != "every outcome as often" else set())
            if name in WITHOUT_AN_ERROR_BAR or any((name, each) in UNKNOWN_ERROR for each in few):
                assert record["score"]["uncertainty"] is None, what
            elif name == JobType.EPLG:
                assert min(record["chain_eplg_uncertainties"]) > 0, what
            else:
                assert record["score"]["uncertainty"] > 0, what


@pytest.mark.parametrize("name", SMALL)
def test_counts_that_say_nothing_are_refused(name: str) -> None:
    benchmark = built(name, "two circuits", 10)
    data, runs = dispatched(benchmark)
    for kind, spoilt in SAYING_NOTHING.items():
        results = []
        for circuits, _ in runs:
            counts = spoilt([SAYING_LITTLE["random bits"](each.num_clbits, 10) for each in circuits])
            results += [] if counts is None else [RunResult(counts, 1.0)]
        with pytest.raises(Permanent) as caught:
            benchmark.poll_handler(data, results)
        assert "the device returned" in str(caught.value), kind


def test_pairs_that_few_shots_do_not_decide_are_counted() -> None:
    for shots, undecided in ((1, 6), (1000, 0)):
        benchmark = built(JobType.BSEQ, "", shots)
        data, runs = dispatched(benchmark)
        # The products of the four bases are 1, −1, 1 and 1: the sum is 4.
        counts = [[{"00" * (each.num_clbits // 2): shots} for each in circuits] for circuits, _ in runs]
        for of_run in counts:
            of_run[1::4] = [{"01" * (len(next(iter(each))) // 2): shots} for each in of_run[1::4]]
        result = benchmark.poll_handler(data, [RunResult(each) for each in counts]).record()
        assert (result["largest_connected_size"], result["undecided_pairs"]) == (7, undecided)


def passes_of(name: str) -> set[str]:
    """The fields of a benchmark's result that say whether it was passed."""
    kind: type[BenchmarkResult] = get_type_hints(benchmarks.load(name).poll_handler)["return"]
    return {field for field in get_type_hints(kind) if field.endswith("_pass")}


def volume_at_the_bar(trials: int, shots: int, alike: bool) -> Callable[[float, int], dict[str, float]]:
    """How often devices whose outputs are heavy two times in three pass: each circuit alike, or all heavy or none."""

    def rates(level: float, repetitions: int) -> dict[str, float]:
        params = {"num_qubits": 2, "trials": trials, "shots": shots, "confidence_level": level}
        config, _ = validate({"benchmark_name": JobType.QUANTUM_VOLUME, **params})
        benchmark = benchmarks.load(JobType.QUANTUM_VOLUME).from_config(config, 1)
        assert isinstance(benchmark, QuantumVolume)
        data, runs = dispatched(benchmark)
        ranked = [
            np.argsort(ideal_probabilities(circuit.remove_final_measurements(inplace=False))) for circuit in runs[0][0]
        ]
        rng, results = np.random.default_rng(5), []
        for _ in range(repetitions):
            chances = np.full(trials, 2 / 3) if alike else rng.binomial(1, 2 / 3, size=trials)
            counts = [
                {f"{order[-1]:02b}": int(heavy), f"{order[0]:02b}": shots - int(heavy)}
                for order, heavy in zip(ranked, rng.binomial(shots, chances), strict=True)
            ]
            results.append(benchmark.poll_handler(data, [RunResult(counts)]))
        return {
            name: float(np.mean([getattr(each, name) for each in results])) for name in ("confidence_pass", "hog_pass")
        }

    return rates


def qaoa_at_the_bar(num_qubits: int, trials: int, shots: int) -> Callable[[float, int], dict[str, float]]:
    """How often a device that guesses passes; a problem of its own each time."""

    def rates(level: float, repetitions: int) -> dict[str, float]:
        passed = 0
        for seed in range(repetitions):
            params = {"graph_type": "1D", "num_qubits": num_qubits, "qaoa_layers": [3], "num_random_trials": 10}
            params |= {"shots": shots, "trials": trials, "confidence_level": level}
            config, _ = validate({"benchmark_name": JobType.LR_QAOA, **params})
            benchmark = benchmarks.load(JobType.LR_QAOA).from_config(config, seed)
            device = RecordingDevice(num_qubits, rx.generators.path_graph(num_qubits))
            passed += device.score_uniform(benchmark, seed).confidence_pass[0]
        return {"confidence_pass": passed / repetitions}

    return rates


AT_THE_BAR: dict[str, list[Callable[[float, int], dict[str, float]]]] = {
    JobType.QUANTUM_VOLUME: [
        volume_at_the_bar(1, 1, alike=True),
        volume_at_the_bar(2, 2, alike=True),
        volume_at_the_bar(12, 5, alike=True),
        volume_at_the_bar(12, 5, alike=False),
    ],
    JobType.LR_QAOA: [qaoa_at_the_bar(2, 1, 1), qaoa_at_the_bar(4, 2, 30)],
}
REPETITIONS = 80
BOUND = 3.5
"""Standard errors of a simulated rate within which it is as it should be."""


def test_there_are_devices_at_the_bar_of_every_benchmark_that_is_passed() -> None:
    assert {name: passes_of(name) for name in JobType if passes_of(name)} == {
        JobType.QUANTUM_VOLUME: {"confidence_pass", "hog_pass"},
        JobType.LR_QAOA: {"confidence_pass"},
    }
    assert AT_THE_BAR.keys() == {name for name in JobType if passes_of(name)}


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("name", AT_THE_BAR)
def test_devices_at_the_bar_pass_no_more_often_than_the_level_says(name: str, level: float) -> None:
    allowed = 1 - level
    for number, device in enumerate(AT_THE_BAR[name]):
        rates = device(level, REPETITIONS)
        assert rates.keys() == passes_of(name)
        for field, rate in rates.items():
            print(f"{name}, device {number}, level {level}: {field} in {rate:.3f} of {REPETITIONS} runs")
            assert rate <= allowed + BOUND * math.sqrt(max(allowed * (1 - allowed), 1 / REPETITIONS) / REPETITIONS)
