"""Quantum Volume: how often a device returns the outcomes that ideal random square circuits favour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import quantum_volume
from scipy.special import ndtr

from metriq_gym.benchmarks.benchmark import (
    Benchmark,
    BenchmarkData,
    BenchmarkDevice,
    BenchmarkResult,
    BenchmarkScore,
    Counts,
    RunResult,
)
from metriq_gym.benchmarks.limits import require_operations, require_qubits
from metriq_gym.benchmarks.returned import counts_of
from metriq_gym.benchmarks.state_vectors import basis_state, evolved
from metriq_gym.benchmarks.statistics import binomial, tail
from metriq_gym.errors import Permanent, Unsupported

THRESHOLD = 2 / 3
"""Heavy-output probability a device must exceed."""
PAPERS_LEVEL = float(ndtr(2))
"""Level of the paper's two standard errors, 0.977."""
MAX_QUBITS = 24
"""Widest circuit whose heavy outputs are worked out: 16 bytes · 2^24 make a state vector of 256 MiB."""
MAX_AMPLITUDES = 2**30
"""Amplitudes of all trials together, such as 1,024 trials of 20 qubits: about a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class QuantumVolumeParams:
    """Configuration of `QuantumVolume`."""

    num_qubits: int
    shots: int
    trials: int
    confidence_level: float


@dataclass(frozen=True, slots=True)
class QuantumVolumeResult(BenchmarkResult):
    """`hog_prob` and `xeb` are means over the trials."""

    num_qubits: int
    trials: int
    hog_prob: BenchmarkScore
    xeb: float
    p_value: float
    confidence_pass: bool
    hog_pass: bool
    hog_above_threshold: bool

    def compute_score(self) -> BenchmarkScore:
        """Return `hog_prob`."""
        return self.hog_prob


class QuantumVolume(Benchmark[QuantumVolumeParams, BenchmarkData]):
    """Heavy-output generation with square circuits of random SU(4) on random pairs.

    An output is heavy when its ideal probability exceeds the median of all 2ⁿ.

    The test is the paper's (Algorithm 1: the mean h over m circuits minus two standard errors, σ = √(h(1 − h)/m),
    exceeds 2/3, which is level 0.977), made exact: p is the probability that a device at the threshold does as well, in
    the worst case that each of its circuits has either heavy outputs only or none, P(Bin(m, 2/3) ≥ h·m), as Clopper and
    Pearson have it. The paper's σ vanishes where all outputs are heavy, so that a single shot of random bits would pass
    half of the time; here few circuits prove little. `confidence_pass` is p < 1 − level, and `hog_pass` the same at the
    paper's level where that is the higher, so that neither passes a device at the threshold more often than the
    level says. That the mean alone exceeds 2/3, which proves nothing, is `hog_above_threshold`.

    The uncertainty quoted with `hog_prob` is the standard error estimated from the trials, but no less than that of so
    many shots; it is None for a single trial.

    References
    ----------
    Cross et al., "Validating quantum computers using randomized model circuits", Phys. Rev. A 100, 032328 (2019),
    https://arxiv.org/abs/1811.12926
    """

    params_type = QuantumVolumeParams

    def dispatch_handler(self, device: BenchmarkDevice) -> BenchmarkData:
        """Run one circuit per trial.

        Raises
        ------
        Unsupported
            When circuits are wider than the device, or too wide or too many to score.
        """
        params = self.params
        require_qubits(device, params.num_qubits)
        if params.num_qubits > MAX_QUBITS:
            raise Unsupported(f"heavy outputs are computed exactly up to {MAX_QUBITS} qubits, not {params.num_qubits}")
        if params.trials * 2**params.num_qubits > MAX_AMPLITUDES:
            raise Unsupported(
                f"heavy outputs of {params.num_qubits} qubits are computed for at most "
                f"{MAX_AMPLITUDES >> params.num_qubits} trials, not {params.trials}"
            )
        require_operations(params.trials * params.num_qubits**2)
        circuits = list(self._circuits())
        for circuit in circuits:
            circuit.measure_all()
        device.run(circuits, params.shots)
        return BenchmarkData()

    def poll_handler(self, job_data: BenchmarkData, result_data: Sequence[RunResult]) -> QuantumVolumeResult:
        """Compare each trial's counts with its ideal probabilities, one state vector at a time."""
        returned = counts_of(result_data, self.params.trials)
        trials = [
            score_trial(ideal_probabilities(circuit), counts)
            for circuit, counts in zip(self._circuits(), returned, strict=True)
        ]
        heavy_frequencies, fidelities = zip(*trials, strict=True)
        heavy = mean_with_error(heavy_frequencies, sum(sum(counts.values()) for counts in returned))
        p_value = p_value_above_threshold(heavy.value, len(trials))
        return QuantumVolumeResult(
            num_qubits=self.params.num_qubits,
            trials=len(trials),
            hog_prob=heavy,
            xeb=float(np.mean(fidelities)),
            p_value=p_value,
            confidence_pass=p_value < 1 - self.params.confidence_level,
            hog_pass=p_value < 1 - max(self.params.confidence_level, PAPERS_LEVEL),
            hog_above_threshold=heavy.value > THRESHOLD,
        )

    def ideal_counts(self, job_data: BenchmarkData, position: int) -> dict[str, float]:
        """Return the probabilities of a trial's outcomes, from its state vector."""
        width = self.params.num_qubits
        probabilities = ideal_probabilities(next(islice(self._circuits(), position, None)))
        return {format(outcome, f"0{width}b"): chance for outcome, chance in enumerate(probabilities.tolist())}

    def heavy_frequencies(self, result_data: Sequence[RunResult]) -> list[BenchmarkScore]:
        """Return the heavy-output frequency of each trial.

        Parameters
        ----------
        result_data
            The one run: a circuit for each trial.
        """
        return [
            binomial(round(score_trial(ideal_probabilities(circuit), counts)[0] * shots), shots)
            for circuit, counts in zip(self._circuits(), result_data[0].counts, strict=True)
            for shots in [sum(counts.values())]
        ]

    def _circuits(self) -> Iterator[QuantumCircuit]:
        width = self.params.num_qubits
        for seed in np.random.default_rng(self.seed).integers(2**32, size=self.params.trials).tolist():
            yield quantum_volume(width, width, seed=seed)


def ideal_probabilities(circuit: QuantumCircuit) -> NDArray[np.float64]:
    """Return the probability of each outcome of a circuit of unitaries, shape (2ⁿ,), qubit 0 the lowest bit.

    Parameters
    ----------
    circuit
        Of n qubits, without measurements.
    """
    index = {qubit: number for number, qubit in enumerate(circuit.qubits)}
    gates = [
        (instruction.operation.to_matrix(), tuple(index[qubit] for qubit in instruction.qubits))
        for instruction in circuit.data
    ]
    amplitudes = evolved(basis_state(circuit.num_qubits, 0), gates)
    return amplitudes.real**2 + amplitudes.imag**2


def score_trial(probabilities: NDArray[np.float64], counts: Counts) -> tuple[float, float]:
    """Return one trial's heavy-output frequency and linear cross-entropy fidelity.

    With p(x) the ideal probabilities, N = 2ⁿ and ⟨p⟩ the mean of p over the shots, the fidelity is (⟨p⟩ − 1/N)/(Σp² −
    1/N): 1 for samples from p and 0 for uniform ones at every width. It agrees with N⟨p⟩ − 1 (Arute et al.) for
    Porter–Thomas distributed p.

    Parameters
    ----------
    probabilities
        Of all outcomes without noise, shape (2ⁿ,), qubit 0 the lowest bit.
    counts
        Bitstring → occurrences.

    Raises
    ------
    Permanent
        When there are no shots to count.

    References
    ----------
    Arute et al., "Quantum supremacy using a programmable superconducting processor", Nature 574, 505 (2019),
    https://arxiv.org/abs/1910.11333
    """
    shots = sum(counts.values())
    if shots < 1:
        raise Permanent("the device returned no shots, so there is nothing to score")
    outcomes = np.array([int(bitstring, 2) for bitstring in counts])
    frequencies = np.array(list(counts.values())) / shots
    sampled = probabilities[outcomes]
    uniform = 1 / len(probabilities)
    heavy = frequencies[sampled > np.median(probabilities)].sum()
    fidelity = (sampled @ frequencies - uniform) / (probabilities @ probabilities - uniform)
    return float(heavy), float(fidelity)


def mean_with_error(values: Sequence[float], shots: int) -> BenchmarkScore:
    """Return the mean and its standard error s/√m from the sample's standard deviation s, no less than of the shots.

    Parameters
    ----------
    values
        One for each trial, 0 to 1.
    shots
        Of all trials together.
    """
    mean = float(np.mean(values))
    if len(values) == 1:
        return BenchmarkScore(mean)
    least = binomial(round(mean * shots), shots).uncertainty or 0.0
    return BenchmarkScore(mean, max(float(np.std(values, ddof=1)) / sqrt(len(values)), least))


def p_value_above_threshold(heavy: float, trials: int) -> float:
    """Probability that a device at the threshold does this well at worst: P(Bin(trials, 2/3) ≥ heavy · trials).

    Parameters
    ----------
    heavy
        Mean heavy-output frequency, 0 to 1.
    trials
        How many trials the mean is over.
    """
    return tail(heavy, trials, THRESHOLD)
